// From a checked request to what will be done, before anything is done.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "pipelines/request.h"
#include "pipelines/stage.h"

namespace qwt {

// Who runs: this rank's part of the machine.
struct Placement {
  int world_size = 1;
  int local_ranks = 1;  // ranks of this machine, which share its cores
  at::Device device = at::kCPU;
};

struct Plan {
  Request request;
  Graph graph;
  int threads = 1;
  int world_size = 1;
  at::Device device = at::kCPU;
  std::vector<PlannedStage> stages;
  std::map<std::string, std::string> made;  // value -> hash of the key that makes it
};

// Reads the config and checks it against every schema, without opening what it names. InvalidArgument (or NotFound for
// the config file itself) with all that is wrong.
absl::StatusOr<Request> LoadRequest(const std::string& config_path, const std::vector<std::string>& overrides);

// Opens what the request names (weights, images) and computes every stage's keys. InvalidArgument with all that is
// wrong.
absl::StatusOr<Plan> MakePlan(Request request, const Placement& placement);
// The same, but what is wrong is added to *problems, and the plan may then not be used.
Plan MakePlan(Request request, const Placement& placement, Problems* problems);

// sha256 of what decides a run's result: its name, stages, keys, what made its values, and the published figures beside
// it.
std::string PlanHash(const Plan& plan);

// How many of the stage's entries a store has, which need not exist.
int StoredEntries(const PlannedStage& stage, const std::string& store);

// A line for each cache that a stage keeps on disk, with its size; "" for none.
std::string DescribeDiskUse(const Plan& plan);

// What --dry_run prints: for each stage what it makes, on how many images, what the store already has and the memory it
// may take.
std::string DescribePlan(const Plan& plan);

}  // namespace qwt
