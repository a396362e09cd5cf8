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
      if (Running() > 0 && (!HasMemory(job) || SharesWork(job))) continue;
      Start(static_cast<int>(job), slot - slots_.begin());
    }
  }

  void Start(int job, int64_t slot) {
    State& state = states_[job];
    state.waiting = false;
    state.computing.clear();
    for (const std::string& key : jobs_[job].keys) {
      if (!options_.is_stored(key)) state.computing.insert(key);
    }
    for (const std::string& key : jobs_[job].shared) {
      if (!state.computing.empty()) state.computing.insert(key);
    }
    slots_[slot] = job;
    const absl::Status started = runner_.Start(job, static_cast<int>(slot), state.attempts++);
    if (!started.ok()) End({job, started, false});
  }

  bool HasMemory(int64_t job) const {
    int64_t taken = jobs_[job].memory_bytes;
    for (int running : slots_) {
      if (running >= 0) taken += jobs_[running].memory_bytes;
    }
    return taken <= options_.memory_bytes;
  }

  bool SharesWork(int64_t job) const {
    const auto computed = [&](const std::string& key) {
      return std::any_of(slots_.begin(), slots_.end(),
                         [&](int running) { return running >= 0 && states_[running].computing.count(key) > 0; });
    };
    const Job& candidate = jobs_[job];
    return std::any_of(candidate.shared.begin(), candidate.shared.end(), computed) ||
           std::any_of(candidate.keys.begin(), candidate.keys.end(),
                       [&](const std::string& key) { return computed(key) && !options_.is_stored(key); });
  }

  void End(const Ending& ending) {
    State& state = states_[ending.job];
    std::replace(slots_.begin(), slots_.end(), ending.job, -1);
    const bool interrupted = absl::IsCancelled(ending.status) || !CheckInterrupt().ok();
    const bool again = !ending.status.ok() && !ending.by_user && !interrupted && state.attempts < kAttempts;
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
