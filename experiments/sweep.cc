#include "experiments/sweep.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/interrupt.h"
#include "core/base/paths.h"
#include "core/base/status.h"
#include "core/comm/rank_settings.h"
#include "experiments/launch.h"
#include "experiments/local_runner.h"
#include "experiments/report.h"
#include "experiments/schedule.h"
#include "experiments/slurm_arrays.h"
#include "experiments/slurm_record.h"
#include "experiments/slurm_runner.h"
#include "experiments/sweep_display.h"
#include "experiments/sweep_folder.h"
#include "experiments/sweep_jobs.h"
#include "experiments/sweep_plan.h"
#include "experiments/sweep_text.h"
#include "pipelines/exit_code.h"

namespace qwt {
namespace {

int Fail(const absl::Status& status, ExitCode code) {
  std::cerr << "error: " << status.message() << std::endl;
  return code;
}

// A queue takes all runs at once, whatever memory this machine has.
ScheduleOptions OptionsFor(const SweepArguments& arguments, const SweepJobs& jobs) {
  const auto is_stored = [&jobs](const std::string& id) { return jobs.IsStored(id); };
  if (arguments.launcher == Launcher::kSlurm) {
    return {static_cast<int>(jobs.jobs().size()), 0, is_stored, /*queue=*/true};
  }
  return {std::max(1, arguments.jobs), jobs.MemoryBytes(), is_stored};
}

// FailedPrecondition where runs are in a cluster's queue, which would be computed a second time.
absl::Status CheckNoneIsQueued(const SweepFolder& folder) {
  QWT_ASSIGN_OR_RETURN(const std::vector<SubmittedJob> submitted, ReadSubmittedJobs(folder.path()));
  if (submitted.empty()) return absl::OkStatus();
  std::string jobs;
  for (const SubmittedJob& job : submitted)
    absl::StrAppend(&jobs, " ", job.job.empty() ? "--name=" + job.name : job.job);
  return absl::FailedPreconditionError(
      absl::StrCat("runs of this sweep may still be in SLURM's queue; come back to them with --launcher=slurm, or "
                   "`scancel",
                   jobs, "` and remove '", folder.path(), "/slurm/jobs.json'"));
}

absl::StatusOr<std::unique_ptr<JobRunner>> OpenRunner(LaunchContext* context) {
  if (context->arguments.launcher == Launcher::kSlurm) return SlurmRunner::Open(context);
  QWT_RETURN_IF_ERROR(CheckNoneIsQueued(context->folder));
  return std::make_unique<LocalRunner>(*context);
}

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
    LaunchContext context = {
        arguments_,
        sweep_,
        folder_,
        left,
        [&](const SweepRun& run) { display_.Started(run.name, folder_.RunPath(run) + "/output.log"); },
        [&](const SweepRun& run) { display_.Ended(run.name); },
        [&](const std::string& line) { display_.Print(line); },
        [&] { display_.Tick(Done()); }};
    std::unique_ptr<JobRunner> runner;
    // A queue may hold what is no longer wanted.
    if (!left.empty() || arguments_.launcher == Launcher::kSlurm) {
      auto opened = OpenRunner(&context);
      if (absl::IsCancelled(opened.status())) return Finish(absl::OkStatus());
      if (!opened.ok()) return Fail(opened.status(), kRequestWrong);
      runner = *std::move(opened);
    }
    const SweepJobs jobs(context.runs);
    const absl::Status written = folder_.WriteState(sweep_, statuses_);
    if (written.ok() && runner != nullptr) {
      RunJobs(jobs.jobs(), OptionsFor(arguments_, jobs), *runner,
              [&](const Ending& ending, bool last) { End(*context.runs[ending.job], ending, last); });
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

  void End(const SweepRun& run, const Ending& ending, bool last) {
    display_.Ended(run.name);
    if (absl::IsCancelled(ending.status)) return;
    if (!last) {
      const char* again = ending.retry == Retry::kAlways ? ": again: " : " failed and is tried once more: ";
      display_.Print(absl::StrCat("  ", run.name, again, ending.status.message()));
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
  std::vector<absl::Status> statuses_;  // of each run; Cancelled: not run
  absl::Status written_;
  int ended_ = 0;
};

std::string DescribeDryRun(const SweepArguments& arguments, const Sweep& sweep, const std::string& path) {
  std::string text = DescribeSweep(sweep, path);
  if (arguments.launcher != Launcher::kSlurm) return text;
  std::vector<const SweepRun*> runs;
  for (const SweepRun& run : sweep.runs) runs.push_back(&run);
  const SweepJobs jobs(runs);
  return text + DescribeArrays(AbsolutePath(path), sweep, jobs.jobs(), OptionsFor(arguments, jobs), arguments);
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
  const bool elsewhere = arguments.launcher == Launcher::kSlurm;
  const auto sweep = PlanSweep(arguments.manifest, arguments.overrides, arguments.ranks, elsewhere);
  if (!sweep.ok()) return Fail(sweep.status(), kRequestWrong);
  const std::string path = arguments.out.empty() ? absl::StrCat("runs/", sweep->name) : arguments.out;
  if (arguments.dry_run) {
    std::cout << DescribeDryRun(arguments, *sweep, path);
    return kDone;
  }
  const auto folder = SweepFolder::Open(path);
  if (!folder.ok()) return Fail(folder.status(), kRequestWrong);
  return SweepExecution(arguments, *sweep, *folder).Run();
}

}  // namespace qwt
