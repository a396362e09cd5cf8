#include "pipelines/run_folder.h"

#include <ctime>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/paths.h"
#include "core/base/status.h"
#include "core/base/version.h"
#include "pipelines/report.h"

namespace qwt {
namespace {

std::string TimeStamp() {
  const std::time_t now = std::time(nullptr);
  std::tm local;
  localtime_r(&now, &local);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H-%M-%S", &local);
  return text;
}

// Two runs that start in the same second get two folders.
std::string FreshFolder(const std::string& name) {
  const std::string path = AbsolutePath(absl::StrCat("runs/", name, "/", TimeStamp()));
  std::string candidate = path;
  std::error_code error;
  for (int i = 2; std::filesystem::exists(candidate, error); ++i) candidate = absl::StrCat(path, "-", i);
  return candidate;
}

// Each image by each model: images and labels once, then by model what Evaluation holds.
TensorFile PredictionsOf(const std::vector<Evaluation>& evaluations, const std::map<std::string, std::string>& origin) {
  TensorFile file{{{"images", evaluations[0].images}, {"labels", evaluations[0].labels}}, origin};
  for (const Evaluation& evaluation : evaluations) {
    file.tensors[evaluation.model + ".predictions"] = evaluation.predictions;
    file.tensors[evaluation.model + ".top1"] = evaluation.top1;
    file.tensors[evaluation.model + ".top5"] = evaluation.top5;
    if (!evaluation.squared_error.defined()) continue;
    file.tensors[evaluation.model + ".squared_error"] = evaluation.squared_error;
  }
  return file;
}

}  // namespace

absl::StatusOr<RunFolder> RunFolder::Create(const std::string& out, const Request& request) {
  RunFolder folder;
  folder.path_ = out.empty() ? FreshFolder(request.name) : AbsolutePath(out);
  std::error_code error;
  std::filesystem::create_directories(folder.path_, error);
  absl::Status status = error ? ErrnoStatus(error.value(), absl::StrCat("make '", folder.path_, "'"))
                              : WriteFileAtomically(folder.path_ + "/config.yaml", request.ToYaml());
  QWT_RETURN_IF_ERROR(Annotate(status, "the run's folder cannot be written to; choose another with --out DIR"));
  // What an earlier run left here is not this one's.
  for (const char* name : {"result.json", "predictions.safetensors", "model.safetensors", "report.html", "run.log"}) {
    std::filesystem::remove(folder.path_ + "/" + name, error);
  }
  SetLogFile(folder.path_ + "/run.log");
  QWT_LOG(INFO) << "run '" << request.name << "', version " << kVersion;
  return folder;
}

absl::Status RunFolder::Write(const Values& values, const absl::Status& status, RunResult* result) const {
  result->status = status;
  const std::map<std::string, std::string> origin = {
      {"run", result->name}, {"config_sha256", result->config_sha256}, {"version", kVersion}};
  if (status.ok() && !values.evaluations.empty()) {
    result->status = WriteSafetensors(path_ + "/predictions.safetensors", PredictionsOf(values.evaluations, origin));
  }
  if (result->status.ok() && values.quantized.has_value()) {
    QuantizedModel model = *values.quantized;
    model.provenance = origin;
    result->status = SaveQuantizedModel(path_ + "/model.safetensors", model);
  }
  // INFO: stderr hears it from the runner.
  if (!result->status.ok()) QWT_LOG(INFO) << "failed: " << result->status.message();
  const absl::StatusOr<std::string> config = ReadFile(path_ + "/config.yaml");
  QWT_RETURN_IF_ERROR(WriteFileAtomically(path_ + "/report.html", ResultToHtml(*result, config.value_or(""))));
  QWT_RETURN_IF_ERROR(WriteFileAtomically(path_ + "/result.json", ResultToJson(*result)));
  return result->status;
}

}  // namespace qwt
