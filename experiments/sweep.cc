#include "experiments/sweep.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/byte_count.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "core/comm/rank_settings.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "experiments/processes.h"
#include "experiments/report.h"
#include "experiments/schedule.h"
#include "experiments/sweep_display.h"
#include "experiments/sweep_folder.h"
#include "experiments/sweep_plan.h"
#include "experiments/sweep_text.h"
#include "pipelines/exit_code.h"

namespace qwt {
namespace {

constexpr int64_t kProgramBytes = 500'000'000;  // of a run beside its values: LibTorch and what it keeps
constexpr time_t kGraceSeconds = 20;            // from SIGTERM to SIGKILL

// This slot's part of the GPUs that the sweep may use, as CUDA_VISIBLE_DEVICES; more slots than GPUs share them.
std::map<std::string, std::string> GpusOf(int slot, int jobs) {
  const int gpus = jobs > 1 ? GpuCount() : 0;
  if (gpus == 0) return {};
  std::vector<std::string> names;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) names = absl::StrSplit(visible, ',');
  const int parts = std::min(jobs, gpus);
  std::vector<std::string> own;
  for (int gpu = slot % parts; gpu < gpus; gpu += parts) {
    own.push_back(gpu < static_cast<int>(names.size()) ? names[gpu] : absl::StrCat(gpu));
  }
  return {{"CUDA_VISIBLE_DEVICES", absl::StrJoin(own, ",")}};
}

// Whether the error named in result.json is one that IsRequestWrong would say.
bool IsRequestWrongCode(const std::string& code) {
  for (int i = 0; i <= static_cast<int>(absl::StatusCode::kUnauthenticated); ++i) {
    const auto status_code = static_cast<absl::StatusCode>(i);
    if (code == absl::StatusCodeToString(status_code)) return IsRequestWrong(absl::Status(status_code, ""));
  }
  return false;
}

// The runs as processes.
class Processes : public JobRunner {
 public:
  // runs: those of the sweep that are jobs, in order.
  Processes(const SweepArguments& arguments, const SweepFolder& folder, std::vector<const SweepRun*> runs,
            std::function<void(const SweepRun&)> started, std::function<void()> tick)
      : arguments_(arguments), folder_(folder), runs_(std::move(runs)), started_(started), tick_(tick) {}

  absl::Status Start(int job, int slot, int attempt) override {
    const SweepRun& run = *runs_[job];
    std::string path = folder_.RunPath(run);
    if (attempt == 0) {
      QWT_ASSIGN_OR_RETURN(path, folder_.PrepareRun(run));
    }
    std::vector<std::string> command = {path + "/config.yaml"};
    command.insert(command.end(), run.overrides.begin(), run.overrides.end());
    if (arguments_.jobs > 1 && run.threads == 0) {
      const int sharers = arguments_.jobs * std::max(1, arguments_.ranks);
      command.push_back(absl::StrCat("runtime.threads=", ResolveThreads(0, sharers)));
    }
    command.push_back(absl::StrCat("--out=", path));
    if (arguments_.ranks > 0) command.push_back(absl::StrCat("--nproc=", arguments_.ranks));
    QWT_ASSIGN_OR_RETURN(const pid_t pid, StartRun(command, GpusOf(slot, arguments_.jobs), path + "/output.log"));
    jobs_[pid] = job;
    started_(run);
    return absl::OkStatus();
  }

  std::optional<Ending> Poll() override {
    tick_();
    if (stopping_since_ != 0 && time(nullptr) - stopping_since_ > kGraceSeconds) SignalAll(SIGKILL);
    const std::optional<Exit> exit = PollExit();
    const auto known = exit.has_value() ? jobs_.find(exit->pid) : jobs_.end();
    if (known == jobs_.end()) {
      const timespec pause = {0, 20'000'000};
      nanosleep(&pause, nullptr);
      return std::nullopt;
    }
    const int job = known->second;
    jobs_.erase(known);
    return EndingOf(job, *exit);
  }

  void StopAll() override {
    stopping_since_ = time(nullptr);
    SignalAll(SIGTERM);
  }

 private:
  void SignalAll(int signal) {
    for (const auto& [pid, job] : jobs_) kill(pid, signal);
  }

  Ending EndingOf(int job, const Exit& exit) const {
    const SweepRun& run = *runs_[job];
    const auto outcome = folder_.Outcome(run);
    if (exit.code == kDone && outcome.ok() && outcome->ok) return {job, absl::OkStatus(), false};
    if (exit.code == kInterrupted && !CheckInterrupt().ok()) return {job, CheckInterrupt(), false};
    if (exit.signal != 0) {
      if (!CheckInterrupt().ok()) return {job, CheckInterrupt(), false};
      return {job, absl::InternalError(absl::StrCat("was ended by signal ", exit.signal)), false};
    }
    if (outcome.ok() && !outcome->ok) {
      return {job, absl::InternalError(outcome->error), IsRequestWrongCode(outcome->error_code)};
    }
    const auto printed = ReadFile(folder_.RunPath(run) + "/output.log");
    std::string error = printed.ok() ? LastError(*printed) : "";
    if (error.empty()) error = absl::StrCat("ended with exit code ", exit.code, " and no result of its plan");
    return {job, absl::InternalError(error), exit.code == kRequestWrong};
  }

  const SweepArguments& arguments_;
  const SweepFolder& folder_;
  const std::vector<const SweepRun*> runs_;
  const std::function<void(const SweepRun&)> started_;
  const std::function<void()> tick_;
  std::map<pid_t, int> jobs_;  // that run
  time_t stopping_since_ = 0;
};

// An entry of one store.
std::string EntryId(const SweepRun& run, const StoreKey& key) { return absl::StrCat(run.store, "\n", key.hash()); }

class SweepExecution {
 public:
  SweepExecution(const SweepArguments& arguments, const Sweep& sweep, const SweepFolder& folder)
      : arguments_(arguments),
        sweep_(sweep),
        folder_(folder),
        display_(sweep.runs.size(), isatty(STDOUT_FILENO) != 0),
        statuses_(sweep.runs.size(), absl::CancelledError("not run")) {}

  int Run() {
    std::vector<const SweepRun*> left = FindFinished();
    display_.Print(absl::StrCat("sweep ", sweep_.name, ": ", sweep_.runs.size(), " runs, ",
                                sweep_.runs.size() - left.size(), " of them done before, in ", folder_.path()));
    absl::Status written = folder_.WriteState(sweep_, statuses_);
    Processes processes(
        arguments_, folder_, left,
        [&](const SweepRun& run) { display_.Started(run.name, folder_.RunPath(run) + "/output.log"); },
        [&] { display_.Tick(Done()); });
    const std::vector<Job> jobs = JobsOf(left);
    const ScheduleOptions options = {arguments_.jobs, MemoryFor(left),
                                     [&](const std::string& id) { return IsStored(id); }};
    if (written.ok()) {
      RunJobs(jobs, options, processes, [&](const Ending& ending, bool last) { End(*left[ending.job], ending, last); });
    }
    display_.Clear();
    return Finish(written.ok() ? written_ : written);
  }

 private:
  int Done() const {
    return std::count_if(statuses_.begin(), statuses_.end(), [](const auto& status) { return status.ok(); });
  }

  std::vector<const SweepRun*> FindFinished() {
    std::vector<const SweepRun*> left;
    for (size_t i = 0; i < sweep_.runs.size(); ++i) {
      const auto outcome = folder_.Outcome(sweep_.runs[i]);
      if (outcome.ok() && outcome->ok) {
        statuses_[i] = absl::OkStatus();
      } else {
        left.push_back(&sweep_.runs[i]);
      }
    }
    return left;
  }

  std::vector<Job> JobsOf(const std::vector<const SweepRun*>& runs) {
    std::vector<Job> jobs;
    for (const SweepRun* run : runs) {
      Job job;
      job.memory_bytes = run->MemoryBytes() + (run->on_gpu ? 0 : kProgramBytes);
      const auto add = [&](const std::vector<StoreKey>& keys, std::vector<std::string>* ids) {
        for (const StoreKey& key : keys) {
          ids->push_back(EntryId(*run, key));
          entries_.emplace(ids->back(), std::make_pair(run->store, key));
        }
      };
      for (const SweepStage& stage : run->stages) {
        add(stage.keys, &job.keys);
        add(stage.shared, &job.shared);
        add(stage.values, &job.shared);
      }
      jobs.push_back(std::move(job));
    }
    return jobs;
  }

  bool IsStored(const std::string& id) const {
    const auto& [store, key] = entries_.at(id);
    return ArtifactStore::Contains(store, key);
  }

  static int64_t MemoryFor(const std::vector<const SweepRun*>& runs) {
    const bool on_gpu = std::any_of(runs.begin(), runs.end(), [](const SweepRun* run) { return run->on_gpu; });
    return on_gpu ? FreeBytes(at::Device(at::kCUDA, 0)) * GpuCount() : AvailableMemoryBytes();
  }

  void End(const SweepRun& run, const Ending& ending, bool last) {
    display_.Ended(run.name);
    if (absl::IsCancelled(ending.status)) return;
    if (!last) {
      display_.Print(absl::StrCat("  ", run.name, " failed and is tried once more: ", ending.status.message()));
      return;
    }
    statuses_[&run - sweep_.runs.data()] = ending.status;
    ++ended_;
    std::string line = absl::StrFormat("  [%d/%d] %s: ", Done() + Failed(), sweep_.runs.size(), run.name);
    const auto outcome = folder_.Outcome(run);
    line +=
        ending.status.ok() && outcome.ok() ? OutcomeText(*outcome) : absl::StrCat("failed: ", ending.status.message());
    display_.Print(line);
    const absl::Status written = folder_.WriteState(sweep_, statuses_);
    if (written_.ok()) written_ = written;
  }

  int Failed() const {
    return std::count_if(statuses_.begin(), statuses_.end(),
                         [](const auto& status) { return !status.ok() && !absl::IsCancelled(status); });
  }

  int Finish(const absl::Status& written) const {
    if (!written.ok()) {
      std::cerr << "error: " << written.message() << std::endl;
      return kRunFailed;
    }
    if (!CheckInterrupt().ok()) {
      std::cerr << "interrupted; the same command goes on from here" << std::endl;
      return kInterrupted;
    }
    const absl::Status report = WriteSweepReport(folder_.path());
    if (!report.ok()) std::cerr << "error: " << report.message() << std::endl;
    std::cout << absl::StrFormat("%d of %d runs done, %d failed, %d now; table.md in %s", Done(), sweep_.runs.size(),
                                 Failed(), ended_, folder_.path())
              << std::endl;
    return report.ok() && Failed() == 0 ? kDone : kRunFailed;
  }

  const SweepArguments& arguments_;
  const Sweep& sweep_;
  const SweepFolder& folder_;
  SweepDisplay display_;
  std::vector<absl::Status> statuses_;                               // of each run; Cancelled: not run
  std::map<std::string, std::pair<std::string, StoreKey>> entries_;  // by id
  absl::Status written_;
  int ended_ = 0;
};

int Fail(const absl::Status& status, ExitCode code) {
  std::cerr << "error: " << status.message() << std::endl;
  return code;
}

}  // namespace

int RunSweep(const SweepArguments& arguments) {
  const auto ranks = RankSettingsFromEnvironment();
  if (!ranks.ok()) return Fail(ranks.status(), kRequestWrong);
  if (ranks->size > 1) {
    return Fail(absl::InvalidArgumentError("a sweep is one process that starts its runs' ranks itself: start it once, "
                                           "with --nproc=N or runtime.ranks"),
                kRequestWrong);
  }
  const auto sweep = PlanSweep(arguments.manifest, arguments.overrides, arguments.ranks);
  if (!sweep.ok()) return Fail(sweep.status(), kRequestWrong);
  const std::string path = arguments.out.empty() ? absl::StrCat("runs/", sweep->name) : arguments.out;
  if (arguments.dry_run) {
    std::cout << DescribeSweep(*sweep, path);
    return kDone;
  }
  const auto folder = SweepFolder::Open(path);
  if (!folder.ok()) return Fail(folder.status(), kRequestWrong);
  return SweepExecution(arguments, *sweep, *folder).Run();
}

}  // namespace qwt
