#include "experiments/sweep_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/files.h"
#include "core/base/paths.h"
#include "core/base/status.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr char kPlanned[] = "/plan_sha256";
constexpr int kLockAttempts = 50;  // a tenth of a second apart

absl::Status TakeLock(int file, const std::string& path) {
  const timespec pause = {0, 100'000'000};
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    if (flock(file, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, absl::StrCat("lock '", path, "'"));
    nanosleep(&pause, nullptr);
  }
  return absl::FailedPreconditionError(
      absl::StrCat("another sweep runs in '", path, "'; wait for it, or choose another folder with --out DIR"));
}

// What a sweep that was killed while it wrote a file left of it.
void RemoveHalfWritten(const std::string& path) {
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().filename().string().find(".tmp.") != std::string::npos) fs::remove(entry->path(), ignored);
  }
}

}  // namespace

absl::StatusOr<SweepFolder> SweepFolder::Open(const std::string& path) {
  const std::string absolute = AbsolutePath(path);
  std::error_code error;
  fs::create_directories(absolute + "/runs", error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("make folder '", absolute, "'"));
  // Not closed when a run is started: the lock is held as long as one of them lives.
  const int file = open((absolute + "/lock").c_str(), O_RDWR | O_CREAT, 0666);
  if (file < 0) return ErrnoStatus(errno, absl::StrCat("open '", absolute, "/lock'"));
  SweepFolder folder(absolute, file);
  QWT_RETURN_IF_ERROR(TakeLock(file, absolute));
  RemoveHalfWritten(absolute);
  return folder;
}

SweepFolder::~SweepFolder() {
  if (lock_ >= 0) close(lock_);
}

absl::StatusOr<RunOutcome> SweepFolder::Outcome(const SweepRun& run) const {
  QWT_ASSIGN_OR_RETURN(const std::string text, ReadFile(RunPath(run) + "/result.json"));
  RunOutcome outcome;
  bool on_gpu = false;
  const absl::Status status = CatchExceptions("result.json", [&] {
    const nlohmann::json json = nlohmann::json::parse(text);
    outcome.ok = json.at("status") == "ok";
    if (!outcome.ok) json.at("error").get_to(outcome.error);
    if (!outcome.ok) json.at("error_code").get_to(outcome.error_code);
    json.at("plan_sha256").get_to(outcome.plan_sha256);
    on_gpu = json.at("environment").at("device").get<std::string>().rfind("cuda", 0) == 0;
    for (const auto& [model, score] : json.at("evaluation").items()) outcome.top1[model] = score.at("top1");
    for (const auto& stage : json.at("stages")) {
      outcome.seconds += stage.at("seconds").get<double>();
      const bool loads = &stage == &json.at("stages").front();
      if (!stage.at("cached").get<bool>() && !loads) outcome.computed_stages.push_back(stage.at("name"));
    }
    return absl::OkStatus();
  });
  // A plan for the CPU is another's keys on a GPU: there it is the folder that was made for the plan.
  const bool elsewhere = on_gpu && !run.on_gpu && ReadFile(RunPath(run) + kPlanned).value_or("") == run.plan_sha256;
  if (!status.ok() || (outcome.plan_sha256 != run.plan_sha256 && !elsewhere)) {
    return absl::NotFoundError(absl::StrCat("'", RunPath(run), "' holds no result of this plan"));
  }
  return outcome;
}

absl::StatusOr<std::string> SweepFolder::PrepareRun(const SweepRun& run) const {
  const std::string path = RunPath(run);
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) fs::create_directories(path, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("make folder '", path, "' anew"));
  QWT_RETURN_IF_ERROR(WriteFileAtomically(path + "/config.yaml", run.config));
  QWT_RETURN_IF_ERROR(WriteFileAtomically(path + kPlanned, run.plan_sha256));
  return path;
}

absl::Status SweepFolder::WriteState(const Sweep& sweep, const std::vector<absl::Status>& statuses) const {
  nlohmann::ordered_json json = {
      {"schema", 1}, {"name", sweep.name}, {"axes", sweep.axes}, {"runs", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < sweep.runs.size(); ++i) {
    nlohmann::ordered_json axes = nlohmann::ordered_json::object();
    for (const auto& [key, value] : sweep.runs[i].axes) axes[key] = value;
    nlohmann::ordered_json run = {{"name", sweep.runs[i].name}, {"folder", sweep.runs[i].folder}, {"axes", axes}};
    const bool not_run = absl::IsCancelled(statuses[i]);
    run["status"] = statuses[i].ok() ? "ok" : not_run ? "not run" : "failed";
    run["error"] = nullptr;
    if (!statuses[i].ok() && !not_run) run["error"] = std::string(statuses[i].message());
    json["runs"].push_back(std::move(run));
  }
  return WriteFileAtomically(path_ + "/sweep.json",
                             json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

std::string LastError(const std::string& output) {
  const size_t found = output.rfind("\nerror");
  std::string text;
  if (found != std::string::npos) {
    text = output.substr(found + 1);
  } else if (output.rfind("error", 0) == 0) {
    text = output.substr(0, output.find('\n'));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return std::string(absl::StripPrefix(text, "error: "));
}

}  // namespace qwt
