#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "pipelines/diagnosis_json.h"
#include "pipelines/progress.h"
#include "pipelines/result.h"

namespace qwt {
namespace {

using Json = nlohmann::ordered_json;

// Lines of text, so that a result reads "87.60" and not 87.599999999.
double Rounded(double value, int digits) {
  double rounded = 0;
  (void)absl::SimpleAtod(absl::StrFormat("%.*f", digits, value), &rounded);
  return rounded;
}

Json BlockToJson(const BlockSolution& block) {
  Json json = {{"name", block.block},
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

Json ScoreToJson(const ModelScore& score) {
  Json json = {{"images", score.images},
               {"top1", Rounded(score.top1, 4)},
               {"top5", Rounded(score.top5, 4)},
               {"top1_ci95", {Rounded(score.top1_low, 4), Rounded(score.top1_high, 4)}}};
  if (score.logits_mse.has_value()) json["logits_mse"] = *score.logits_mse;
  return json;
}

Json ComparisonToJson(const Comparison& comparison) {
  return {{"models", {comparison.first, comparison.second}},
          {"only_right", {comparison.only_first, comparison.only_second}},
          {"method", comparison.test.exact ? "binomial" : "chi_squared"},
          {"p", comparison.test.p}};
}

Json ExpectedToJson(const RunResult& result) {
  Json json = {{"top1", result.expected.top1}, {"tolerance", result.expected.tolerance}};
  json["difference"] = Json::object();
  for (const std::string& model : result.models) {
    if (const auto above = AboveExpected(result, model)) json["difference"][model] = Rounded(*above, 4);
  }
  return json;
}

Json StageToJson(const StageRecord& stage) {
  Json json = {{"name", stage.name},
               {"seconds", Rounded(stage.seconds, 3)},
               {"cached", stage.cached},
               {"images", stage.images},
               {"forward_images", stage.forward_images},
               {"images_per_second", stage.seconds > 0 ? Rounded(stage.images / stage.seconds, 1) : 0.0},
               {"peak_bytes", stage.peak_bytes}};
  if (stage.gpu_peak_bytes > 0) json["gpu_peak_bytes"] = stage.gpu_peak_bytes;
  if (stage.images_sha256.empty()) return json;
  json["images_sha256"] = stage.images_sha256;
  json["skipped"] = stage.skipped;
  if (stage.images == 0) return json;
  json["load_seconds"] = Rounded(stage.load_seconds, 3);
  json["transfer_seconds"] = Rounded(stage.transfer_seconds, 3);
  json["bound_by"] = BoundBy(stage.load_seconds, stage.transfer_seconds, stage.seconds);
  return json;
}

ModelScore ScoreFrom(const Json& json) {
  ModelScore score;
  score.images = json.at("images");
  score.top1 = json.at("top1");
  score.top5 = json.at("top5");
  score.top1_low = json.at("top1_ci95").at(0);
  score.top1_high = json.at("top1_ci95").at(1);
  if (json.contains("logits_mse")) score.logits_mse = json["logits_mse"].get<double>();
  return score;
}

Comparison ComparisonFrom(const Json& json) {
  Comparison comparison;
  comparison.first = json.at("models").at(0);
  comparison.second = json.at("models").at(1);
  comparison.only_first = json.at("only_right").at(0);
  comparison.only_second = json.at("only_right").at(1);
  comparison.test = {json.at("p"), json.at("method") == "binomial"};
  return comparison;
}

BlockSolution BlockFrom(const Json& json) {
  BlockSolution block;
  block.block = json.at("name");
  block.r2 = json.at("r2");
  block.kept = json.at("kept");
  block.mse_before = json.at("mse_before");
  block.mse_after = json.at("mse_after");
  const Json& condition = json.at("condition");
  block.condition = condition.is_null() ? std::numeric_limits<double>::infinity() : condition.get<double>();
  block.rank = json.at("rank");
  if (json.contains("held_out_r2")) block.held_out_r2 = json["held_out_r2"].get<double>();
  block.reason = json.value("reason", "");
  return block;
}

StageRecord StageFrom(const Json& json) {
  StageRecord stage;
  stage.name = json.at("name");
  stage.seconds = json.at("seconds");
  stage.cached = json.at("cached");
  stage.images = json.at("images");
  stage.forward_images = json.value("forward_images", int64_t{0});
  stage.peak_bytes = json.at("peak_bytes");
  stage.gpu_peak_bytes = json.value("gpu_peak_bytes", int64_t{0});
  stage.images_sha256 = json.value("images_sha256", "");
  if (json.contains("skipped")) stage.skipped = json["skipped"].get<std::vector<std::string>>();
  stage.load_seconds = json.value("load_seconds", 0.0);
  stage.transfer_seconds = json.value("transfer_seconds", 0.0);
  return stage;
}

void ReadScores(const Json& json, RunResult* result) {
  for (const auto& [model, score] : json.at("evaluation").items()) {
    result->models.push_back(model);
    result->scores[model] = ScoreFrom(score);
    if (json.contains("images_per_second")) {
      result->scores[model].images_per_second = json["images_per_second"].value(model, 0.0);
    }
  }
  for (const Json& comparison : json.at("mcnemar")) result->comparisons.push_back(ComparisonFrom(comparison));
  for (const auto& [model, size] : json.at("size_mb").items()) result->size_mb[model] = size;
  if (!json.contains("expected")) return;
  for (const auto& [model, top1] : json["expected"].at("top1").items()) result->expected.top1[model] = top1;
  result->expected.tolerance = json["expected"].at("tolerance");
}

absl::StatusOr<RunResult> Read(const Json& json) {
  if (json.at("schema") != 1) {
    return absl::DataLossError(absl::StrCat("a result of schema ", json["schema"].dump(), "; this program reads 1"));
  }
  RunResult result;
  result.name = json.at("name");
  if (json.at("status") != "ok") result.status = absl::UnknownError(json.at("error").get<std::string>());
  result.config_sha256 = json.at("config_sha256");
  result.plan_sha256 = json.value("plan_sha256", "");
  ReadScores(json, &result);
  for (const Json& block : json.at("blocks")) result.blocks.push_back(BlockFrom(block));
  for (const Json& stage : json.at("stages")) result.stages.push_back(StageFrom(stage));
  if (json.contains("diagnosis")) {
    auto diagnosis = DiagnosisFromJson(json["diagnosis"].dump());
    if (!diagnosis.ok()) return diagnosis.status();
    result.diagnosis = *std::move(diagnosis);
  }
  const Json& environment = json.at("environment");
  result.version = environment.at("version");
  result.libtorch = environment.at("libtorch");
  result.device = environment.at("device");
  result.ranks = environment.at("ranks");
  result.threads = environment.at("threads");
  return result;
}

}  // namespace

std::string ResultToJson(const RunResult& result) {
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
      {"images_per_second", Json::object()},
      {"blocks", Json::array()},
      {"stages", Json::array()}};
  for (const std::string& model : result.models) {
    json["evaluation"][model] = ScoreToJson(result.scores.at(model));
    json["images_per_second"][model] = Rounded(result.scores.at(model).images_per_second, 1);
  }
  for (const Comparison& comparison : result.comparisons) json["mcnemar"].push_back(ComparisonToJson(comparison));
  if (!result.expected.top1.empty()) json["expected"] = ExpectedToJson(result);
  for (const char* model : {"float", "quantized", "compensated"}) {
    if (auto size = result.size_mb.find(model); size != result.size_mb.end())
      json["size_mb"][model] = Rounded(size->second, 6);
  }
  for (const BlockSolution& block : result.blocks) json["blocks"].push_back(BlockToJson(block));
  if (result.diagnosis.has_value()) json["diagnosis"] = Json::parse(DiagnosisToJson(*result.diagnosis));
  for (const StageRecord& stage : result.stages) json["stages"].push_back(StageToJson(stage));
  json["environment"] = {{"version", result.version},
                         {"libtorch", result.libtorch},
                         {"device", result.device},
                         {"ranks", result.ranks},
                         {"threads", result.threads}};
  return json.dump(2) + "\n";
}

absl::StatusOr<RunResult> ResultFromJson(const std::string& json) {
  try {
    return Read(Json::parse(json));
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("no run's result: ", error.what()));
  }
}

}  // namespace qwt
