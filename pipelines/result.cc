#include "pipelines/result.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/text_table.h"
#include "core/base/version.h"
#include "pipelines/progress.h"
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
  if (block.held_out_r2.has_value()) json["held_out_r2"] = *block.held_out_r2;
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

nlohmann::ordered_json ScoreToJson(const ModelScore& score) {
  nlohmann::ordered_json json = {{"images", score.images},
                                 {"top1", Rounded(score.top1, 4)},
                                 {"top5", Rounded(score.top5, 4)},
                                 {"top1_ci95", {Rounded(score.top1_low, 4), Rounded(score.top1_high, 4)}}};
  if (score.logits_mse.has_value()) json["logits_mse"] = *score.logits_mse;
  return json;
}

nlohmann::ordered_json ComparisonToJson(const Comparison& comparison) {
  return {{"models", {comparison.first, comparison.second}},
          {"only_right", {comparison.only_first, comparison.only_second}},
          {"method", comparison.test.exact ? "binomial" : "chi_squared"},
          {"p", comparison.test.p}};
}

nlohmann::ordered_json ExpectedToJson(const RunResult& result) {
  nlohmann::ordered_json json = {{"top1", result.expected.top1}, {"tolerance", result.expected.tolerance}};
  json["difference"] = nlohmann::ordered_json::object();
  for (const std::string& model : result.models) {
    if (const auto above = AboveExpected(result, model)) json["difference"][model] = Rounded(*above, 4);
  }
  return json;
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
  result->size_mb["float"] = FloatSizeMb(values.graph);
  if (!values.quantized.has_value()) return;
  result->size_mb["quantized"] = QuantizedSizeMb(*values.quantized, false);
  if (values.quantized->compensation.empty()) return;
  result->size_mb["compensated"] = QuantizedSizeMb(*values.quantized, true);
  result->blocks = values.quantized->compensation;
}

std::string ResultToJson(const RunResult& result) {
  using Json = nlohmann::ordered_json;
  Json json = {
      {"schema", 1},
      {"name", result.name},
      {"status", result.status.ok() ? "ok" : "failed"},
      {"error", result.status.ok() ? Json(nullptr) : Json(std::string(result.status.message()))},
      {"error_code", result.status.ok() ? Json(nullptr) : Json(absl::StatusCodeToString(result.status.code()))},
      {"config_sha256", result.config_sha256},
      {"plan_sha256", result.plan_sha256},
      {"evaluation", Json::object()},
      {"mcnemar", Json::array()},
      {"size_mb", Json::object()},
      {"blocks", Json::array()},
      {"stages", Json::array()}};
  for (const std::string& model : result.models) {
    json["evaluation"][model] = ScoreToJson(result.scores.at(model));
  }
  for (const Comparison& comparison : result.comparisons) json["mcnemar"].push_back(ComparisonToJson(comparison));
  if (!result.expected.top1.empty()) json["expected"] = ExpectedToJson(result);
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
                              {"forward_images", stage.forward_images},
                              {"images_per_second", stage.seconds > 0 ? Rounded(stage.images / stage.seconds, 1) : 0.0},
                              {"peak_bytes", stage.peak_bytes}});
    if (stage.gpu_peak_bytes > 0) json["stages"].back()["gpu_peak_bytes"] = stage.gpu_peak_bytes;
    if (stage.images_sha256.empty()) continue;
    Json& entry = json["stages"].back();
    entry["images_sha256"] = stage.images_sha256;
    entry["skipped"] = stage.skipped;
    if (stage.images > 0) {
      entry["load_seconds"] = Rounded(stage.load_seconds, 3);
      entry["transfer_seconds"] = Rounded(stage.transfer_seconds, 3);
      entry["bound_by"] = BoundBy(stage.load_seconds, stage.transfer_seconds, stage.seconds);
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
  return text;
}

}  // namespace qwt
