// The runs of a sweep as array jobs of a SLURM cluster.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "experiments/launch.h"
#include "experiments/slurm_queue.h"
#include "experiments/slurm_record.h"

namespace qwt {

class SlurmRunner : public JobRunner {
 public:
  // Takes over what an earlier call has left in the queue: these runs are put first in context->runs, and starting them
  // is watching them. What is there of other plans is cancelled. InvalidArgument where the cluster would refuse the
  // runs; Unavailable where it does not answer.
  static absl::StatusOr<std::unique_ptr<SlurmRunner>> Open(LaunchContext* context);

  absl::Status Start(const StartOf& start) override;
  std::optional<Ending> Poll() override;
  // Leaves all in the queue, and says so.
  void StopAll() override;

 private:
  using Clock = std::chrono::steady_clock;
  struct Place {  // of a run
    size_t submitted = 0;
    int task = 0;
  };
  struct Watch {  // of a run in the queue
    bool running = false, held = false;
    int missing = 0;                               // answers without it
    std::optional<Clock::time_point> ended_since;  // seen as ended
  };

  explicit SlurmRunner(LaunchContext& context) : context_(context) {}
  absl::Status TakeOver(LaunchContext* context);
  absl::Status CancelAndWait(const std::vector<std::pair<std::string, int>>& strays);
  absl::Status TestFirst();

  void SubmitStarting();
  void SubmitAlike(const std::vector<StartOf>& alike, const std::vector<std::string>& after);
  void SubmitJob(size_t submitted);
  // The tasks to wait for; nothing where not all are in the queue yet. *failed: one of them has failed since.
  std::optional<std::vector<std::string>> TasksOf(const std::vector<int>& jobs, bool* failed) const;
  void Ask();
  void Look(int job, const TaskStates& states);
  void SeeWaiting(int job, const TaskState& state);
  void SeeEnded(int job, const TaskState& state);
  void End(int job, Ending ending);
  absl::Status Record() const;
  std::string TaskName(int job) const;
  std::vector<std::string> NamesInQueue() const;
  void NoteOnce(const std::string& line);
  void Changed() { changed_ = Clock::now(); }

  LaunchContext& context_;
  std::vector<SubmittedJob> submitted_;
  std::map<size_t, std::vector<std::string>> commands_;  // sbatch's, by submitted job
  std::map<int, Place> places_;                          // of runs in the queue
  std::map<int, Watch> watches_;
  std::map<int, int> interruptions_;  // by run: attempts that ended for no fault of its own
  std::set<int> prepared_, succeeded_;
  std::vector<StartOf> starting_;
  std::deque<Ending> endings_;
  Clock::time_point changed_ = Clock::now(), asked_;
  bool leaving_ = false;
  std::string noted_;  // that the cluster does not answer or takes no job, as last said; "" once it does
};

}  // namespace qwt
