#include "qwt/diagnosis.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace qwt {
namespace {

// "mlp.fc2.input" -> "mlp.fc2's input", "attn.matmul1.left" -> "attn.matmul1's left operand".
std::string InWords(const std::string& kind) {
  const size_t dot = kind.rfind('.');
  if (dot == std::string::npos) return kind;
  const std::string operand = kind.substr(dot + 1);
  const bool product = operand == "left" || operand == "right";
  return absl::StrCat(kind.substr(0, dot), "'s ", operand, product ? " operand" : "");
}

std::string Images(int64_t images) { return absl::StrCat(images, images == 1 ? " image" : " images"); }

}  // namespace

std::optional<double> SqnrDb(double signal, double noise) {
  if (signal <= 0 || noise <= 0) return std::nullopt;
  return 10 * std::log10(signal / noise);
}

const SegmentError* WorstBlock(const Diagnosis& diagnosis) {
  const SegmentError* worst = nullptr;
  double lowest = 0;
  for (const SegmentError& segment : diagnosis.segments) {
    const auto db = SqnrDb(segment.signal, segment.mse_alone);
    if (!segment.block || !db.has_value() || (worst != nullptr && *db >= lowest)) continue;
    worst = &segment;
    lowest = *db;
  }
  return worst;
}

const SiteNoise* WorstSite(const Diagnosis& diagnosis, const std::string& segment) {
  const SiteNoise* worst = nullptr;
  for (const SiteNoise& site : diagnosis.sites) {
    if (site.segment != segment || !site.sqnr_db.has_value()) continue;
    if (worst == nullptr || *site.sqnr_db < *worst->sqnr_db) worst = &site;
  }
  return worst;
}

std::optional<double> WonBack(const Diagnosis& diagnosis) {
  if (diagnosis.segments.empty()) return std::nullopt;
  const SegmentError& logits = diagnosis.segments.back();
  if (!logits.mse_compensated.has_value() || logits.mse_quantized == 0) return std::nullopt;
  return 1 - *logits.mse_compensated / logits.mse_quantized;
}

std::string DiagnosisSentence(const Diagnosis& diagnosis) {
  const SegmentError* block = WorstBlock(diagnosis);
  if (block == nullptr) return absl::StrCat("Quantisation loses nothing on ", Images(diagnosis.images), ".");
  std::string text =
      absl::StrFormat("Most is lost in %s (%.1f dB)", block->segment, *SqnrDb(block->signal, block->mse_alone));
  if (const SiteNoise* site = WorstSite(diagnosis, block->segment)) {
    absl::StrAppendFormat(&text, ", there at %s (%.1f dB)", InWords(site->kind), *site->sqnr_db);
  }
  const auto won_back = WonBack(diagnosis);
  if (!won_back.has_value()) return absl::StrCat(text, ", measured on ", Images(diagnosis.images), ".");
  absl::StrAppendFormat(&text, "; compensation %s %.0f %% %s the logits' squared error on %s it was not fitted to.",
                        *won_back < 0 ? "adds" : "wins back", std::abs(*won_back) * 100, *won_back < 0 ? "to" : "of",
                        Images(diagnosis.images));
  return text;
}

}  // namespace qwt
