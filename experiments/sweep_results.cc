#include "experiments/sweep_results.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/status.h"

namespace qwt {
namespace {

using Json = nlohmann::ordered_json;

absl::StatusOr<RunResult> ReadResult(const std::string& folder) {
  const std::string path = folder + "/result.json";
  QWT_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  auto result = ResultFromJson(json);
  if (!result.ok()) return Annotate(result.status(), path);
  return result;
}

void ReadFolder(const std::string& folder, ReportedRun* run) {
  run->config_yaml = ReadFile(folder + "/config.yaml").value_or("");
  auto result = ReadResult(folder);
  if (result.ok()) {
    run->result = *std::move(result);
    return;
  }
  if (run->status != "ok") return;
  run->status = "failed";
  run->error = std::string(result.status().message());
}

std::string TextOf(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

SweepResults Parse(const Json& json) {
  SweepResults sweep;
  sweep.name = json.at("name");
  sweep.axes = json.at("axes").get<std::vector<std::string>>();
  for (const Json& entry : json.at("runs")) {
    ReportedRun run;
    run.name = entry.at("name");
    run.folder = entry.at("folder");
    for (const auto& [axis, value] : entry.at("axes").items()) run.axes[axis] = TextOf(value);
    run.status = entry.at("status");
    if (entry.contains("error") && entry["error"].is_string()) run.error = entry["error"];
    sweep.runs.push_back(std::move(run));
  }
  return sweep;
}

}  // namespace

absl::StatusOr<SweepResults> ReadSweep(const std::string& folder) {
  const std::string path = folder + "/sweep.json";
  QWT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  SweepResults sweep;
  try {
    const Json json = Json::parse(text);
    if (json.at("schema") != 1) {
      return absl::DataLossError(
          absl::StrCat(path, ": a sweep of schema ", json["schema"].dump(), "; this program reads 1"));
    }
    sweep = Parse(json);
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat(path, ": no sweep's results: ", error.what()));
  }
  for (ReportedRun& run : sweep.runs) {
    if (run.status != "not run") ReadFolder(absl::StrCat(folder, "/", run.folder), &run);
  }
  return sweep;
}

absl::StatusOr<SweepResults> ReadSingleRun(const std::string& folder) {
  QWT_ASSIGN_OR_RETURN(const RunResult result, ReadResult(folder));
  ReportedRun run;
  run.name = result.name;
  run.folder = ".";
  run.status = result.status.ok() ? "ok" : "failed";
  run.error = std::string(result.status.message());
  ReadFolder(folder, &run);
  return SweepResults{result.name, {}, {run}};
}

std::string FinalModel(const ReportedRun& run) {
  std::string last;
  for (const char* model : {"float", "quantized", "compensated"}) {
    if (ScoreOf(run, model) != nullptr) last = model;
  }
  return last;
}

const ModelScore* FinalScore(const ReportedRun& run) { return ScoreOf(run, FinalModel(run)); }

const ModelScore* ScoreOf(const ReportedRun& run, const std::string& model) {
  if (!run.result.has_value()) return nullptr;
  const auto score = run.result->scores.find(model);
  return score == run.result->scores.end() ? nullptr : &score->second;
}

std::optional<double> SizeOf(const ReportedRun& run, const std::string& model) {
  if (!run.result.has_value()) return std::nullopt;
  const auto size = run.result->size_mb.find(model);
  return size == run.result->size_mb.end() ? std::nullopt : std::optional<double>(size->second);
}

}  // namespace qwt
