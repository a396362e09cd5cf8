// A manifest's runs, checked whole and planned: what each makes, shares and needs.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/config/schema.h"
#include "core/store/store.h"

namespace qwt {

struct SweepStage {
  std::string name;
  std::vector<StoreKey> keys;    // PlannedStage's
  std::vector<StoreKey> shared;  // its first, where it is to be stored; else none
  std::vector<StoreKey> values;  // names the values between blocks, where the run keeps them for others; else none
  int64_t images = 0;            // that it reads
  int64_t memory_bytes = 0;
};

struct SweepRun {
  std::string name;
  std::string folder;                                     // within the sweep's: "runs/NAME"
  std::vector<std::pair<std::string, std::string>> axes;  // key path and value as text
  std::string config;                                     // YAML that runs as it is
  std::vector<std::string> overrides;                     // beside it: what the sweep adds, without effect on results
  std::string model;                                      // the section, as text: runs of one take times alike
  std::string store;                                      // the folder
  int threads = 0;                                        // runtime.threads
  bool on_gpu = false;
  std::string plan_sha256;  // PlanHash
  std::vector<SweepStage> stages;

  int64_t MemoryBytes() const;  // most that a stage may take
};

struct Sweep {
  std::string name;
  std::vector<std::string> axes;  // key paths
  std::vector<SweepRun> runs;
  Options slurm;  // SlurmSchema's
};

// Reads the manifest, checks every run's config and makes its plan. InvalidArgument with everything that is wrong in
// any of them, each line once; NotFound for the manifest itself. ranks: that are to run each; 0: as each config says.
// elsewhere: another machine runs them, which may have the GPUs that this one lacks; they are then planned for the CPU.
absl::StatusOr<Sweep> PlanSweep(const std::string& manifest, const std::vector<std::string>& overrides, int ranks,
                                bool elsewhere = false);

}  // namespace qwt
