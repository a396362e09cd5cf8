#include "experiments/slurm_runner.h"

#include <algorithm>
#include <ctime>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/files.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"
#include "experiments/slurm_arrays.h"
#include "experiments/slurm_script.h"
#include "experiments/slurm_states.h"

namespace qwt {
namespace {

constexpr int kMostInterruptions = 20;  // of one run: whoever is preempted as often will be again
constexpr int kMostMissing = 2;         // answers without a task, one of which may come from a controller that restarts
constexpr double kLeastPause = 1, kMostPause = 30;  // seconds between questions: a tenth of the time without news

void Pause(int milliseconds) {
  const timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1'000'000};
  nanosleep(&pause, nullptr);
}

bool InQueue(const TaskState* state) { return state != nullptr && PhaseOf(state->state) != Phase::kEnded; }

}  // namespace

absl::StatusOr<std::unique_ptr<SlurmRunner>> SlurmRunner::Open(LaunchContext* context) {
  std::unique_ptr<SlurmRunner> runner(new SlurmRunner(*context));
  QWT_RETURN_IF_ERROR(CopyProgram(context->folder.path()));
  QWT_RETURN_IF_ERROR(runner->TakeOver(context));
  QWT_RETURN_IF_ERROR(runner->TestFirst());
  return runner;
}

absl::Status SlurmRunner::TakeOver(LaunchContext* context) {
  QWT_ASSIGN_OR_RETURN(submitted_, ReadSubmittedJobs(context->folder.path()));
  if (submitted_.empty()) return absl::OkStatus();
  QWT_ASSIGN_OR_RETURN(const TaskStates states, AskQueue(NamesInQueue()));
  std::vector<const SweepRun*> taken;
  std::vector<std::pair<std::string, int>> strays;
  for (size_t i = 0; i < submitted_.size(); ++i) {
    for (size_t task = 0; task < submitted_[i].tasks.size(); ++task) {
      SubmittedTask& record = submitted_[i].tasks[task];
      const TaskState* state = FindTask(states, submitted_[i].name, task);
      if (record.run.empty() || !InQueue(state)) {
        record.run.clear();
        continue;
      }
      submitted_[i].job = state->job;
      const auto run = std::find_if(context->runs.begin(), context->runs.end(), [&](const SweepRun* candidate) {
        return candidate->name == record.run && candidate->plan_sha256 == record.plan_sha256;
      });
      if (run == context->runs.end()) {
        record.run.clear();
        strays.emplace_back(submitted_[i].name, task);
      } else {
        prepared_.insert(static_cast<int>(taken.size()));
        places_[static_cast<int>(taken.size())] = {i, static_cast<int>(task)};
        taken.push_back(*run);
        context->runs.erase(run);
      }
    }
  }
  context->runs.insert(context->runs.begin(), taken.begin(), taken.end());
  if (!taken.empty()) context->note(absl::StrCat("  ", taken.size(), " of them in the queue already"));
  QWT_RETURN_IF_ERROR(CancelAndWait(strays));
  return Record();
}

absl::Status SlurmRunner::CancelAndWait(const std::vector<std::pair<std::string, int>>& strays) {
  if (strays.empty()) return absl::OkStatus();
  std::set<std::string> names;
  for (const auto& [name, task] : strays) names.insert(name);
  for (bool first = true;; first = false) {
    QWT_ASSIGN_OR_RETURN(const TaskStates states, AskQueue({names.begin(), names.end()}));
    std::vector<std::string> left;
    for (const auto& [name, task] : strays) {
      const TaskState* state = FindTask(states, name, task);
      if (InQueue(state)) left.push_back(absl::StrCat(state->job, "_", task));
    }
    if (left.empty()) return absl::OkStatus();
    QWT_RETURN_IF_ERROR(CheckInterrupt());
    if (first) {
      context_.note(absl::StrCat("  cancels what this sweep no longer holds: ", absl::StrJoin(left, " ")));
      QWT_RETURN_IF_ERROR(CancelTasks(left));
    }
    Pause(1000);
  }
}

absl::Status SlurmRunner::TestFirst() {
  if (places_.size() == context_.runs.size()) return absl::OkStatus();
  const ArrayJob job = MakeArrayJob("qwt-test", context_.folder.path(), {context_.runs[places_.size()]}, {},
                                    context_.arguments, context_.sweep.slurm);
  QWT_RETURN_IF_ERROR(WriteFileAtomically(ScriptPath(job), ArrayScript(job)));
  const absl::Status status = TestSubmission(SbatchCommand(job));
  std::error_code ignored;
  std::filesystem::remove(ScriptPath(job), ignored);
  return status;
}

absl::Status SlurmRunner::Start(const StartOf& start) {
  if (places_.count(start.job) > 0) return absl::OkStatus();
  // One that was under way when this sweep began may have ended since.
  const auto outcome = context_.folder.Outcome(*context_.runs[start.job]);
  if (start.attempt == 0 && outcome.ok() && outcome->ok) {
    endings_.push_back(*EndingOf(start.job, outcome));
  } else {
    starting_.push_back(start);
  }
  return absl::OkStatus();
}

std::optional<Ending> SlurmRunner::Poll() {
  context_.tick();
  if (leaving_) {
    for (const StartOf& start : starting_) endings_.push_back({start.job, absl::CancelledError("interrupted")});
    for (const auto& [job, place] : places_) endings_.push_back({job, absl::CancelledError("interrupted")});
    starting_.clear();
    places_.clear();
  }
  if (endings_.empty()) {
    const double since_news = std::chrono::duration<double>(Clock::now() - changed_).count();
    const double since_asked = std::chrono::duration<double>(Clock::now() - asked_).count();
    if (since_asked >= std::clamp(since_news / 10, kLeastPause, kMostPause)) {
      Ask();
    } else {
      Pause(50);
    }
    if (!leaving_) SubmitStarting();
  }
  if (endings_.empty()) return std::nullopt;
  const Ending ending = endings_.front();
  endings_.pop_front();
  if (ending.status.ok()) succeeded_.insert(ending.job);
  return ending;
}

void SlurmRunner::StopAll() {
  leaving_ = true;
  std::set<std::string> jobs;
  for (const auto& [job, place] : places_) jobs.insert(submitted_[place.submitted].job);
  jobs.erase("");
  if (places_.empty()) return;
  context_.note(absl::StrCat("  ", places_.size(), places_.size() == 1 ? " run goes" : " runs go",
                             " on in the queue; the same command comes back to ", places_.size() == 1 ? "it" : "them",
                             ", `scancel ", absl::StrJoin(jobs, " "), "` ends ", places_.size() == 1 ? "it" : "them"));
}

std::optional<std::vector<std::string>> SlurmRunner::TasksOf(const std::vector<int>& jobs, bool* failed) const {
  std::vector<std::string> tasks;
  *failed = false;
  for (int job : jobs) {
    const auto place = places_.find(job);
    if (place == places_.end()) {
      *failed |= succeeded_.count(job) == 0;
    } else if (submitted_[place->second.submitted].job.empty()) {
      return std::nullopt;
    } else {
      tasks.push_back(TaskName(job));
    }
  }
  return tasks;
}

void SlurmRunner::SubmitStarting() {
  while (!starting_.empty() && endings_.empty() && noted_.empty() && CheckInterrupt().ok()) {
    bool failed = false;
    const auto after = TasksOf(starting_[0].after, &failed);
    if (!failed && !after.has_value()) return;
    const std::vector<StartOf> alike = TakeAlike(&starting_);
    if (failed) {
      for (const StartOf& start : alike) {
        endings_.push_back({start.job, absl::InternalError("a run whose values it uses has failed"), Retry::kAlways});
      }
    } else {
      SubmitAlike(alike, *after);
    }
  }
}

void SlurmRunner::SubmitAlike(const std::vector<StartOf>& alike, const std::vector<std::string>& after) {
  const size_t index = submitted_.size();
  SubmittedJob record = {NewJobName(context_.sweep.name), "", {}};
  std::vector<const SweepRun*> runs;
  absl::Status status;
  for (const StartOf& start : alike) {
    const SweepRun& run = *context_.runs[start.job];
    std::error_code ignored;
    if (prepared_.insert(start.job).second) {
      if (status.ok()) status = context_.folder.PrepareRun(run).status();
    } else {
      std::filesystem::remove(context_.folder.RunPath(run) + "/result.json", ignored);
    }
    places_[start.job] = {index, static_cast<int>(runs.size())};
    watches_[start.job] = {};
    record.tasks.push_back({run.name, run.plan_sha256});
    runs.push_back(&run);
  }
  const ArrayJob job =
      MakeArrayJob(record.name, context_.folder.path(), runs, after, context_.arguments, context_.sweep.slurm);
  submitted_.push_back(record);
  commands_[index] = SbatchCommand(job);
  if (status.ok()) status = WriteFileAtomically(ScriptPath(job), ArrayScript(job));
  if (status.ok()) status = Record();
  if (status.ok()) return SubmitJob(index);
  for (const StartOf& start : alike) End(start.job, {start.job, status, Retry::kOnce});
}

void SlurmRunner::SubmitJob(size_t index) {
  SubmittedJob& record = submitted_[index];
  const auto job = Submit(commands_[index]);
  std::vector<int> runs;
  std::vector<std::string> names;
  for (const auto& [run, place] : places_) {
    if (place.submitted != index) continue;
    runs.push_back(run);
    names.push_back(context_.runs[run]->name);
  }
  Changed();
  if (job.ok()) {
    record.job = *job;
    noted_.clear();
    context_.note(absl::StrCat("  job ", *job, ": ", absl::StrJoin(names, " ")));
    const absl::Status written = Record();
    if (!written.ok()) context_.note(absl::StrCat("  ", written.message()));
  } else if (absl::IsUnavailable(job.status())) {
    // Whether the controller has taken it the queue will tell; its name is in the record.
    NoteOnce(absl::StrCat("  ", job.status().message(), "; tries again"));
  } else {
    for (int run : runs) End(run, {run, job.status(), Retry::kNever});
  }
}

void SlurmRunner::Ask() {
  asked_ = Clock::now();
  if (places_.empty()) return;
  const auto states = AskQueue(NamesInQueue());
  if (!states.ok()) {
    NoteOnce(absl::StrCat("  ", states.status().message(), "; asks again"));
    return;
  }
  for (size_t i = 0; i < submitted_.size(); ++i) {
    SubmittedJob& record = submitted_[i];
    if (!record.job.empty() || record.ended()) continue;
    const TaskState* state = FindTask(*states, record.name, 0);
    if (state == nullptr) {
      SubmitJob(i);
    } else {
      record.job = state->job;
    }
  }
  const bool all_taken = std::none_of(submitted_.begin(), submitted_.end(),
                                      [](const SubmittedJob& record) { return record.job.empty() && !record.ended(); });
  if (all_taken) noted_.clear();
  std::vector<int> jobs;
  for (const auto& [job, place] : places_) jobs.push_back(job);
  for (int job : jobs) Look(job, *states);
}

void SlurmRunner::Look(int job, const TaskStates& states) {
  const Place& place = places_.at(job);
  const std::string& name = submitted_[place.submitted].name;
  if (submitted_[place.submitted].job.empty()) return;
  Watch& watch = watches_[job];
  const TaskState* state = FindTask(states, name, place.task);
  TaskState last = {submitted_[place.submitted].job, kLost, ""};
  if (state == nullptr) {
    if (++watch.missing < kMostMissing) return;
    const auto accounting = AskAccounting({name});
    const TaskState* told = accounting.ok() ? FindTask(*accounting, name, place.task) : nullptr;
    if (told != nullptr) last = *told;
    state = &last;
    // What the accounting takes for running the queue would know.
    if (PhaseOf(last.state) != Phase::kEnded) last.state = kLost;
  }
  watch.missing = 0;
  switch (PhaseOf(state->state)) {
    case Phase::kWaits:
      return SeeWaiting(job, *state);
    case Phase::kRuns:
      watch.ended_since.reset();
      if (watch.running) return;
      watch.running = true;
      Changed();
      return context_.began(*context_.runs[job]);
    case Phase::kEnded:
      return SeeEnded(job, *state);
  }
}

void SlurmRunner::SeeWaiting(int job, const TaskState& state) {
  Watch& watch = watches_[job];
  if (watch.running || watch.ended_since.has_value()) {
    watch = {};
    Changed();
    context_.waits(*context_.runs[job]);
    context_.note(absl::StrCat("  ", context_.runs[job]->name, " is back in the queue (", TaskName(job), ")"));
  }
  const bool held = absl::StrContains(state.reason, "Held") || absl::StrContains(state.reason, "held");
  if (held && !watch.held) {
    context_.note(absl::StrCat("  ", context_.runs[job]->name, " is held in the queue: ", state.reason,
                               "; `scontrol release ", TaskName(job), "` lets it go"));
  }
  watch.held = held;
}

void SlurmRunner::SeeEnded(int job, const TaskState& state) {
  Watch& watch = watches_[job];
  if (!watch.ended_since.has_value()) {
    watch.ended_since = Clock::now();
    Changed();
  }
  const SweepRun& run = *context_.runs[job];
  const Place& place = places_.at(job);
  const std::string log =
      absl::StrCat(context_.folder.path(), "/slurm/", submitted_[place.submitted].name, "_", place.task, ".log");
  // SLURM's own last words (of memory, of a node) after the run's.
  const std::string printed = absl::StrCat(ReadFile(context_.folder.RunPath(run) + "/output.log").value_or(""), "\n",
                                           ReadFile(log).value_or(""));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - *watch.ended_since).count();
  auto ending = EndingOfTask(job, state, context_.folder.Outcome(run), printed, seconds);
  if (!ending.has_value()) return;
  if (ending->retry == Retry::kAlways && ++interruptions_[job] > kMostInterruptions) ending->retry = Retry::kNever;
  if (!ending->status.ok()) {
    ending->status = absl::InternalError(absl::StrCat(ending->status.message(), " (job ", TaskName(job), ")"));
  }
  End(job, *std::move(ending));
}

void SlurmRunner::End(int job, Ending ending) {
  const Place place = places_.at(job);
  submitted_[place.submitted].tasks[place.task].run.clear();
  places_.erase(job);
  watches_.erase(job);
  const absl::Status written = Record();
  if (!written.ok()) context_.note(absl::StrCat("  ", written.message()));
  endings_.push_back(std::move(ending));
  Changed();
}

void SlurmRunner::NoteOnce(const std::string& line) {
  if (line != noted_) context_.note(line);
  noted_ = line;
}

absl::Status SlurmRunner::Record() const { return WriteSubmittedJobs(context_.folder.path(), submitted_); }

std::string SlurmRunner::TaskName(int job) const {
  const Place& place = places_.at(job);
  return absl::StrCat(submitted_[place.submitted].job, "_", place.task);
}

std::vector<std::string> SlurmRunner::NamesInQueue() const {
  std::vector<std::string> names;
  for (const SubmittedJob& job : submitted_) {
    if (!job.ended()) names.push_back(job.name);
  }
  return names;
}

}  // namespace qwt
