#include "experiments/schedule.h"

#include <algorithm>
#include <set>

#include "core/base/interrupt.h"

namespace qwt {
namespace {

constexpr int kAttempts = 2;

class Schedule {
 public:
  Schedule(const std::vector<Job>& jobs, const ScheduleOptions& options, JobRunner& runner,
           const std::function<void(const Ending&, bool)>& ended)
      : jobs_(jobs),
        options_(options),
        runner_(runner),
        ended_(ended),
        states_(jobs.size()),
        slots_(options.jobs, -1) {}

  std::vector<JobResult> Run() {
    bool stopped = false;
    while (true) {
      const bool interrupted = !CheckInterrupt().ok();
      if (interrupted && !stopped) runner_.StopAll();
      stopped = interrupted;
      if (!interrupted) StartThoseThatCan();
      if (Running() > 0) {
        if (auto ending = runner_.Poll()) End(*ending);
      } else if (interrupted ||
                 std::none_of(states_.begin(), states_.end(), [](auto& state) { return state.waiting; })) {
        break;
      }
    }
    std::vector<JobResult> results;
    for (const State& state : states_) results.push_back(state.result);
    return results;
  }

 private:
  struct State {
    int attempts = 0;
    bool waiting = true;
    std::set<std::string> computing;  // keys, while it runs
    JobResult result;
  };

  int64_t Running() const {
    return std::count_if(slots_.begin(), slots_.end(), [](int job) { return job >= 0; });
  }

  void StartThoseThatCan() {
    for (size_t job = 0; job < jobs_.size(); ++job) {
      const auto slot = std::find(slots_.begin(), slots_.end(), -1);
      if (slot == slots_.end()) return;
      if (!states_[job].waiting) continue;
      // Missing what a running one computes, or without memory: a later one may be small enough, or share nothing.
      const std::vector<int> after = ComputedBy(job);
      if (!options_.queue && Running() > 0 && (!HasMemory(job) || !after.empty())) continue;
      Start({static_cast<int>(job), static_cast<int>(slot - slots_.begin()), states_[job].attempts, after});
    }
  }

  void Start(const StartOf& start) {
    const Job& job = jobs_[start.job];
    State& state = states_[start.job];
    state.waiting = false;
    ++state.attempts;
    state.computing.clear();
    // What one before it computes is not this one's to compute: who lacks it waits for that one alone.
    for (const std::string& key : job.keys) {
      if (!options_.is_stored(key) && !IsComputed(key)) state.computing.insert(key);
    }
    const bool computes = !state.computing.empty();
    for (const std::string& key : job.shared) {
      if (computes && !IsComputed(key)) state.computing.insert(key);
    }
    slots_[start.slot] = start.job;
    const absl::Status started = runner_.Start(start);
    if (!started.ok()) End({start.job, started, Retry::kOnce});
  }

  bool HasMemory(int64_t job) const {
    int64_t taken = jobs_[job].memory_bytes;
    for (int running : slots_) {
      if (running >= 0) taken += jobs_[running].memory_bytes;
    }
    return taken <= options_.memory_bytes;
  }

  bool IsComputed(const std::string& key) const {
    return std::any_of(slots_.begin(), slots_.end(),
                       [&](int running) { return running >= 0 && states_[running].computing.count(key) > 0; });
  }

  // The jobs under way that compute what this one lacks.
  std::vector<int> ComputedBy(int64_t job) const {
    std::vector<int> computed_by;
    for (int running : slots_) {
      const auto computes = [&](const std::string& key) { return states_[running].computing.count(key) > 0; };
      if (running >= 0 && (std::any_of(jobs_[job].shared.begin(), jobs_[job].shared.end(), computes) ||
                           std::any_of(jobs_[job].keys.begin(), jobs_[job].keys.end(), [&](const std::string& key) {
                             return computes(key) && !options_.is_stored(key);
                           }))) {
        computed_by.push_back(running);
      }
    }
    return computed_by;
  }

  void End(const Ending& ending) {
    State& state = states_[ending.job];
    std::replace(slots_.begin(), slots_.end(), ending.job, -1);
    const bool interrupted = absl::IsCancelled(ending.status) || !CheckInterrupt().ok();
    if (ending.retry == Retry::kAlways) --state.attempts;
    const bool again =
        !ending.status.ok() && ending.retry != Retry::kNever && !interrupted && state.attempts < kAttempts;
    state.waiting = again;
    state.result = {!absl::IsCancelled(ending.status), ending.status};
    ended_(ending, !again);
  }

  const std::vector<Job>& jobs_;
  const ScheduleOptions& options_;
  JobRunner& runner_;
  const std::function<void(const Ending&, bool)>& ended_;
  std::vector<State> states_;
  std::vector<int> slots_;  // the job in each; -1: free
};

}  // namespace

std::vector<JobResult> RunJobs(const std::vector<Job>& jobs, const ScheduleOptions& options, JobRunner& runner,
                               const std::function<void(const Ending&, bool)>& ended) {
  return Schedule(jobs, options, runner, ended).Run();
}

}  // namespace qwt
