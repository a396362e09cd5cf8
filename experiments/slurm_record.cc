#include "experiments/slurm_record.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/files.h"
#include "core/base/status.h"

namespace qwt {
namespace {

std::string PathIn(const std::string& folder) { return folder + "/slurm/jobs.json"; }

}  // namespace

bool SubmittedJob::ended() const {
  return std::all_of(tasks.begin(), tasks.end(), [](const SubmittedTask& task) { return task.run.empty(); });
}

absl::StatusOr<std::vector<SubmittedJob>> ReadSubmittedJobs(const std::string& folder) {
  std::vector<SubmittedJob> jobs;
  const auto text = ReadFile(PathIn(folder));
  if (absl::IsNotFound(text.status())) return jobs;
  QWT_RETURN_IF_ERROR(text.status());
  const absl::Status status = CatchExceptions(PathIn(folder), [&] {
    const nlohmann::json record = nlohmann::json::parse(*text);
    for (const auto& json : record.at("jobs")) {
      SubmittedJob job = {json.at("name"), json.at("job"), {}};
      for (const auto& task : json.at("tasks")) job.tasks.push_back({task.at("run"), task.at("plan_sha256")});
      jobs.push_back(std::move(job));
    }
    return absl::OkStatus();
  });
  if (status.ok()) return jobs;
  return absl::DataLossError(absl::StrCat("'", PathIn(folder), "' is damaged (", status.message(),
                                          "); end this sweep's jobs (squeue --me, scancel) and remove the file"));
}

absl::Status WriteSubmittedJobs(const std::string& folder, const std::vector<SubmittedJob>& jobs) {
  nlohmann::ordered_json json = {{"schema", 1}, {"jobs", nlohmann::ordered_json::array()}};
  for (const SubmittedJob& job : jobs) {
    if (job.ended()) continue;
    nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
    for (const SubmittedTask& task : job.tasks) tasks.push_back({{"run", task.run}, {"plan_sha256", task.plan_sha256}});
    json["jobs"].push_back({{"name", job.name}, {"job", job.job}, {"tasks", tasks}});
  }
  if (!json["jobs"].empty()) return WriteFileAtomically(PathIn(folder), json.dump(1) + "\n");
  std::error_code error;
  std::filesystem::remove(PathIn(folder), error);
  return error ? ErrnoStatus(error.value(), absl::StrCat("remove '", PathIn(folder), "'")) : absl::OkStatus();
}

std::string NewJobName(const std::string& sweep) {
  std::random_device random;
  return absl::StrFormat("qwt-%s-%08x%04x", sweep.substr(0, 40), random(), random() & 0xffff);
}

}  // namespace qwt
