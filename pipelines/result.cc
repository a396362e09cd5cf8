#include "pipelines/result.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/text_table.h"
#include "torch/headeronly/version.h"

namespace qwt {
namespace {

ModelScore Score(const Evaluation& evaluation) {
  ModelScore score;
  score.images = evaluation.predictions.ge(0).sum().item<int64_t>();  // without those skipped
  const int64_t top1 = evaluation.top1.sum().item<int64_t>(), top5 = evaluation.top5.sum().item<int64_t>();
  score.top1 = 100.0 * top1 / score.images;
  score.top5 = 100.0 * top5 / score.images;
  const Interval interval = WilsonInterval(top1, score.images);
  score.top1_low = 100 * interval.low;
  score.top1_high = 100 * interval.high;
  score.images_per_second = evaluation.images_per_second;
  if (evaluation.squared_error.defined()) {
    // One after the other: an operator's sum would depend on the number of threads.
    double sum = 0;
    const double* errors = evaluation.squared_error.const_data_ptr<double>();
    for (int64_t i = 0; i < evaluation.squared_error.numel(); ++i) sum += errors[i];
    score.logits_mse = sum / static_cast<double>(score.images);
  }
  return score;
}

Comparison Compare(const Evaluation& first, const Evaluation& second) {
  Comparison comparison;
  comparison.first = first.model;
  comparison.second = second.model;
  comparison.only_first = first.top1.gt(second.top1).sum().item<int64_t>();
  comparison.only_second = second.top1.gt(first.top1).sum().item<int64_t>();
  comparison.test = McNemarTest(comparison.only_first, comparison.only_second);
  return comparison;
}

// Names a few; result.json has them all.
std::string SkippedLine(const StageRecord& stage) {
  constexpr size_t kNamed = 3;
  if (stage.skipped.empty()) return "";
  std::string text = absl::StrCat("\n  ", stage.name, ": ", stage.skipped.size(),
                                  stage.skipped.size() == 1 ? " image" : " images", " could not be decoded:");
  for (size_t i = 0; i < std::min(kNamed, stage.skipped.size()); ++i) absl::StrAppend(&text, " ", stage.skipped[i]);
  return text + (stage.skipped.size() > kNamed ? " …\n" : "\n");
}

std::string ComparisonTable(const RunResult& result) {
  std::vector<std::vector<std::string>> rows = {{"images that only one gets right", "first", "second", "McNemar's p"}};
  for (const Comparison& comparison : result.comparisons) {
    rows.push_back({absl::StrCat(comparison.first, ", ", comparison.second), absl::StrCat(comparison.only_first),
                    absl::StrCat(comparison.only_second), ProbabilityText(comparison.test.p)});
  }
  return TextTable({Align::kLeft, Align::kRight, Align::kRight, Align::kRight}, rows);
}

std::string BlocksText(const RunResult& result) {
  const int64_t kept =
      std::count_if(result.blocks.begin(), result.blocks.end(), [](const auto& block) { return block.kept; });
  std::string text =
      absl::StrCat("  compensation kept in ", kept, " of ", result.blocks.size(), " blocks; R² by block:");
  for (const BlockSolution& block : result.blocks) absl::StrAppendFormat(&text, " %.2f", block.r2);
  return text + "\n";
}

}  // namespace

std::string LibTorchVersion() { return TORCH_VERSION; }

std::optional<double> AboveExpected(const RunResult& result, const std::string& model) {
  const auto expected = result.expected.top1.find(model);
  const auto score = result.scores.find(model);
  if (expected == result.expected.top1.end() || score == result.scores.end()) return std::nullopt;
  return score->second.top1 - expected->second;
}

std::string ProbabilityText(double p) { return absl::StrFormat(p < 0.01 ? "%.1e" : "%.2f", p); }

void AddValues(const Values& values, RunResult* result) {
  for (const Evaluation& evaluation : values.evaluations) {
    result->models.push_back(evaluation.model);
    result->scores[evaluation.model] = Score(evaluation);
  }
  for (size_t i = 0; i < values.evaluations.size(); ++i) {
    for (size_t j = i + 1; j < values.evaluations.size(); ++j) {
      result->comparisons.push_back(Compare(values.evaluations[i], values.evaluations[j]));
    }
  }
  result->diagnosis = values.diagnosis;
  result->size_mb["float"] = FloatSizeMb(values.graph);
  if (!values.quantized.has_value()) return;
  result->size_mb["quantized"] = QuantizedSizeMb(*values.quantized, false);
  if (values.quantized->compensation.empty()) return;
  result->size_mb["compensated"] = QuantizedSizeMb(*values.quantized, true);
  result->blocks = values.quantized->compensation;
}

std::string ResultToTable(const RunResult& result) {
  if (result.models.empty()) return "";
  const bool expected = !result.expected.top1.empty();
  bool apart = false;
  std::string text = absl::StrFormat("  %-12s %7s   %-14s %7s %10s %10s%s\n", "model", "top-1", "95 % interval",
                                     "top-5", "size", "images/s", expected ? "  published  difference" : "");
  for (const std::string& model : result.models) {
    const ModelScore& score = result.scores.at(model);
    auto size = result.size_mb.find(model);
    absl::StrAppendFormat(&text, "  %-12s %6.2f%%   %5.2f to %5.2f %6.2f%% %10s %10.0f", model, score.top1,
                          score.top1_low, score.top1_high, score.top5,
                          size == result.size_mb.end() ? "-" : absl::StrFormat("%.3f MB", size->second),
                          score.images_per_second);
    if (const auto above = AboveExpected(result, model)) {
      const bool far = std::abs(*above) > result.expected.tolerance;
      absl::StrAppendFormat(&text, "    %6.2f%%      %+6.2f%s", result.expected.top1.at(model), *above,
                            far ? " *" : "");
      apart = apart || far;
    }
    text += "\n";
  }
  if (apart) absl::StrAppend(&text, "  * more than ", result.expected.tolerance, " points apart\n");
  for (const StageRecord& stage : result.stages) absl::StrAppend(&text, SkippedLine(stage));
  if (!result.comparisons.empty()) absl::StrAppend(&text, "\n", ComparisonTable(result));
  if (!result.blocks.empty()) absl::StrAppend(&text, "\n", BlocksText(result));
  if (result.diagnosis.has_value()) absl::StrAppend(&text, "  ", DiagnosisSentence(*result.diagnosis), "\n");
  return text;
}

}  // namespace qwt
