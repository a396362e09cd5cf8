#include "experiments/local_runner.h"

#include <signal.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "pipelines/exit_code.h"

namespace qwt {
namespace {

constexpr time_t kGraceSeconds = 20;  // from SIGTERM to SIGKILL

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

}  // namespace

absl::Status LocalRunner::Start(const StartOf& start) {
  const SweepRun& run = *context_.runs[start.job];
  const SweepArguments& arguments = context_.arguments;
  std::string path = context_.folder.RunPath(run);
  if (start.attempt == 0) {
    QWT_ASSIGN_OR_RETURN(path, context_.folder.PrepareRun(run));
  }
  const int sharers = arguments.jobs * std::max(1, arguments.ranks);
  const int threads = arguments.jobs > 1 ? ResolveThreads(0, sharers) : 0;
  QWT_ASSIGN_OR_RETURN(const pid_t pid, StartRun(ArgumentsOf(run, path, threads, arguments.ranks),
                                                 GpusOf(start.slot, arguments.jobs), path + "/output.log"));
  jobs_[pid] = start.job;
  context_.began(run);
  return absl::OkStatus();
}

std::optional<Ending> LocalRunner::Poll() {
  context_.tick();
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
  return EndingOfExit(job, *exit);
}

void LocalRunner::StopAll() {
  stopping_since_ = time(nullptr);
  SignalAll(SIGTERM);
}

void LocalRunner::SignalAll(int signal) {
  for (const auto& [pid, job] : jobs_) kill(pid, signal);
}

Ending LocalRunner::EndingOfExit(int job, const Exit& exit) const {
  const SweepRun& run = *context_.runs[job];
  const auto outcome = context_.folder.Outcome(run);
  if (exit.code == kDone && outcome.ok() && outcome->ok) return {job, absl::OkStatus()};
  if ((exit.code == kInterrupted || exit.signal != 0) && !CheckInterrupt().ok()) return {job, CheckInterrupt()};
  if (exit.signal != 0) return {job, absl::InternalError(absl::StrCat("was ended by signal ", exit.signal))};
  if (outcome.ok() && !outcome->ok) return *EndingOf(job, outcome);
  const auto printed = ReadFile(context_.folder.RunPath(run) + "/output.log");
  std::string error = printed.ok() ? LastError(*printed) : "";
  if (error.empty()) error = absl::StrCat("ended with exit code ", exit.code, " and no result of its plan");
  return {job, absl::InternalError(error), exit.code == kRequestWrong ? Retry::kNever : Retry::kOnce};
}

}  // namespace qwt
