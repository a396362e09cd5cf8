// A sweep's runs as their schedule sees them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/store/store.h"
#include "experiments/schedule.h"
#include "experiments/sweep_plan.h"

namespace qwt {

class SweepJobs {
 public:
  explicit SweepJobs(const std::vector<const SweepRun*>& runs);

  const std::vector<Job>& jobs() const { return jobs_; }  // in the order of the runs
  bool IsStored(const std::string& id) const;             // of a Job's keys
  // What all at a time may take: of the GPUs where a run is on one, else of the machine.
  int64_t MemoryBytes() const;

 private:
  std::vector<Job> jobs_;
  std::map<std::string, std::pair<std::string, StoreKey>> entries_;  // store and key, by id
  bool on_gpu_ = false;
};

}  // namespace qwt
