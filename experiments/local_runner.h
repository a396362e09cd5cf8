// The runs of a sweep as processes of this machine.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <map>
#include <optional>

#include "experiments/launch.h"
#include "experiments/processes.h"
#include "experiments/schedule.h"

namespace qwt {

class LocalRunner : public JobRunner {
 public:
  explicit LocalRunner(const LaunchContext& context) : context_(context) {}

  absl::Status Start(const StartOf& start) override;
  std::optional<Ending> Poll() override;
  void StopAll() override;

 private:
  void SignalAll(int signal);
  Ending EndingOfExit(int job, const Exit& exit) const;

  const LaunchContext& context_;
  std::map<pid_t, int> jobs_;  // that run
  time_t stopping_since_ = 0;
};

}  // namespace qwt
