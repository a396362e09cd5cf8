#include "pipelines/result.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/version.h"
#include "pipelines/progress.h"
#include "pipelines/statistics.h"
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
  return score;
}

// Lines of text, so that a result reads "87.60" and not 87.599999999.
double Rounded(double value, int digits) {
  double rounded = 0;
  (void)absl::SimpleAtod(absl::StrFormat("%.*f", digits, value), &rounded);
  return rounded;
}

nlohmann::ordered_json BlockToJson(const BlockSolution& block) {
  nlohmann::ordered_json json = {{"name", block.block},
                                 {"r2", block.r2},
                                 {"kept", block.kept},
                                 {"mse_before", block.mse_before},
                                 {"mse_after", block.mse_after},
                                 {"condition", block.condition},
                                 {"rank", block.rank}};
  if (!block.kept) json["reason"] = block.reason;
  return json;
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

}  // namespace

void AddValues(const Values& values, RunResult* result) {
  for (const Evaluation& evaluation : values.evaluations) {
    result->models.push_back(evaluation.model);
    result->scores[evaluation.model] = Score(evaluation);
  }
  result->size_mb["float"] = FloatSizeMb(values.graph);
  if (!values.quantized.has_value()) return;
  result->size_mb["quantized"] = QuantizedSizeMb(*values.quantized, false);
  if (values.quantized->compensation.empty()) return;
  result->size_mb["compensated"] = QuantizedSizeMb(*values.quantized, true);
  result->blocks = values.quantized->compensation;
}

std::string ResultToJson(const RunResult& result) {
  using Json = nlohmann::ordered_json;
  Json json = {{"schema", 1},
               {"name", result.name},
               {"status", result.status.ok() ? "ok" : "failed"},
               {"error", result.status.ok() ? Json(nullptr) : Json(std::string(result.status.message()))},
               {"config_sha256", result.config_sha256},
               {"evaluation", Json::object()},
               {"size_mb", Json::object()},
               {"blocks", Json::array()},
               {"stages", Json::array()}};
  for (const std::string& model : result.models) {
    const ModelScore& score = result.scores.at(model);
    json["evaluation"][model] = {{"images", score.images},
                                 {"top1", Rounded(score.top1, 4)},
                                 {"top5", Rounded(score.top5, 4)},
                                 {"top1_ci95", {Rounded(score.top1_low, 4), Rounded(score.top1_high, 4)}}};
  }
  for (const char* model : {"float", "quantized", "compensated"}) {
    if (auto size = result.size_mb.find(model); size != result.size_mb.end())
      json["size_mb"][model] = Rounded(size->second, 6);
  }
  for (const BlockSolution& block : result.blocks) json["blocks"].push_back(BlockToJson(block));
  for (const StageRecord& stage : result.stages) {
    json["stages"].push_back({{"name", stage.name},
                              {"seconds", Rounded(stage.seconds, 3)},
                              {"cached", stage.cached},
                              {"images", stage.images},
                              {"images_per_second", stage.seconds > 0 ? Rounded(stage.images / stage.seconds, 1) : 0.0},
                              {"peak_bytes", stage.peak_bytes}});
    if (stage.images_sha256.empty()) continue;
    Json& entry = json["stages"].back();
    entry["images_sha256"] = stage.images_sha256;
    entry["skipped"] = stage.skipped;
    if (stage.images > 0) {
      entry["load_seconds"] = Rounded(stage.load_seconds, 3);
      entry["bound_by"] = BoundBy(stage.load_seconds, stage.seconds);
    }
  }
  json["environment"] = {{"version", kVersion},
                         {"libtorch", TORCH_VERSION},
                         {"device", result.device},
                         {"ranks", result.ranks},
                         {"threads", result.threads}};
  return json.dump(2) + "\n";
}

std::string ResultToTable(const RunResult& result) {
  if (result.models.empty()) return "";
  std::string text = absl::StrFormat("  %-12s %7s   %-14s %7s %10s %10s\n", "model", "top-1", "95 % interval", "top-5",
                                     "size", "images/s");
  for (const std::string& model : result.models) {
    const ModelScore& score = result.scores.at(model);
    auto size = result.size_mb.find(model);
    absl::StrAppendFormat(&text, "  %-12s %6.2f%%   %5.2f to %5.2f %6.2f%% %10s %10.0f\n", model, score.top1,
                          score.top1_low, score.top1_high, score.top5,
                          size == result.size_mb.end() ? "-" : absl::StrFormat("%.3f MB", size->second),
                          score.images_per_second);
  }
  for (const StageRecord& stage : result.stages) absl::StrAppend(&text, SkippedLine(stage));
  if (result.blocks.empty()) return text;
  const int64_t kept =
      std::count_if(result.blocks.begin(), result.blocks.end(), [](const auto& block) { return block.kept; });
  absl::StrAppend(&text, "\n  compensation kept in ", kept, " of ", result.blocks.size(), " blocks; R² by block:");
  for (const BlockSolution& block : result.blocks) absl::StrAppendFormat(&text, " %.2f", block.r2);
  return text + "\n";
}

}  // namespace qwt
