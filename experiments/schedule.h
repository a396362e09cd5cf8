// Which run starts when: several at a time, none that would compute what another is computing, each tried again once
// where its error may not come again.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace qwt {

// A run as its schedule sees it.
struct Job {
  std::vector<std::string> keys;         // of all it makes, as hashes
  std::vector<std::string> shared = {};  // of what others can use and it may store
  int64_t memory_bytes = 0;
};

// Whether an attempt that failed is followed by another.
enum class Retry {
  kOnce,    // the run is at fault, or nobody knows: once more in all
  kNever,   // what was asked for is at fault, and will be again
  kAlways,  // the run is not: its machine failed, or another took its place
};

// How a run's attempt ended.
struct Ending {
  int job = 0;
  absl::Status status;  // Cancelled where it was interrupted
  Retry retry = Retry::kOnce;
};

struct StartOf {
  int job = 0;
  int slot = 0;            // from 0, free at the moment, below ScheduleOptions::jobs
  int attempt = 0;         // 0 or 1
  std::vector<int> after;  // jobs under way that compute what it lacks; only where ScheduleOptions::queue
};

class JobRunner {
 public:
  virtual ~JobRunner() = default;
  virtual absl::Status Start(const StartOf& start) = 0;
  // A run that has ended since; waits a moment where none has.
  virtual std::optional<Ending> Poll() = 0;
  // Asks all that run to stop; each still ends by Poll.
  virtual void StopAll() = 0;
};

struct ScheduleOptions {
  int jobs = 1;
  int64_t memory_bytes = 0;                                // that all at a time may take; one alone may take more
  std::function<bool(const std::string& hash)> is_stored;  // whether an entry is in the store now
  // Whether the runner keeps runs waiting for others by itself: they are started at once, with these others.
  bool queue = false;
};

// What became of a job, in the end.
struct JobResult {
  bool done = false;  // that it ran; with its status
  absl::Status status;
};

// Runs the jobs in order as far as they can start; `ended` hears of each attempt as it ends (`last`: there is no other)
// on the caller's thread. Returns when none runs; after an interrupt (CheckInterrupt) no other starts.
std::vector<JobResult> RunJobs(const std::vector<Job>& jobs, const ScheduleOptions& options, JobRunner& runner,
                               const std::function<void(const Ending& ending, bool last)>& ended);

}  // namespace qwt
