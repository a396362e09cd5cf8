#include "pipelines/planner.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/sha256.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "pipelines/home.h"

namespace qwt {

absl::StatusOr<Request> LoadRequest(const std::string& config_path, const std::vector<std::string>& overrides) {
  Problems problems;
  QWT_ASSIGN_OR_RETURN(ConfigNode config,
                       LoadConfig(config_path, overrides, {{kHomeVariable, HomeFolder()}}, &problems));
  Request request = CheckRequest(config, &problems);
  QWT_RETURN_IF_ERROR(problems.ToStatus());
  return request;
}

absl::StatusOr<Plan> MakePlan(Request request, const Placement& placement) {
  Problems problems;
  Plan plan = MakePlan(std::move(request), placement, &problems);
  QWT_RETURN_IF_ERROR(problems.ToStatus());
  return plan;
}

Plan MakePlan(Request request, const Placement& placement, Problems* problems) {
  Plan plan;
  plan.request = std::move(request);
  plan.world_size = placement.world_size;
  plan.device = placement.device;
  plan.threads = ResolveThreads(plan.request.Of("runtime").Int("threads"), placement.local_ranks);
  Planning planning{plan.request, plan.world_size, plan.threads, plan.device};
  for (const std::string& name : plan.request.stages) {
    plan.stages.push_back(CreateStage(name)->Plan(planning, problems));
    plan.stages.back().name = name;
  }
  plan.graph = std::move(planning.graph);
  plan.made = std::move(planning.made);
  return plan;
}

std::string PlanHash(const Plan& plan) {
  std::string text = absl::StrCat(plan.request.name, "\n");
  for (const PlannedStage& stage : plan.stages) {
    absl::StrAppend(&text, stage.name, "\n");
    for (const StoreKey& key : stage.keys) absl::StrAppend(&text, key.hash(), "\n");
  }
  // Stages that store nothing make values, too.
  for (const auto& [value, hash] : plan.made) absl::StrAppend(&text, value, " ", hash, "\n");
  const auto expected = plan.request.sections.find(kExpected);
  if (expected != plan.request.sections.end()) absl::StrAppend(&text, expected->second.ToYaml(0));
  return Sha256(text);
}

namespace {

// Where stages hold their images' values between blocks; on_disk: only of those that take room on a disk for it.
std::string DescribePlacements(const Plan& plan, bool on_disk) {
  std::string text;
  for (const PlannedStage& stage : plan.stages) {
    const bool takes_disk = FileBytes(stage.value_bytes, stage.cache) > 0 || stage.cache.store_bytes > 0;
    if (stage.value_bytes == 0 || takes_disk != on_disk) continue;
    absl::StrAppend(&text, "  values between blocks in ", stage.name,
                    ", of each rank: ", DescribePlacement(stage.value_bytes, stage.cache, plan.device), "\n");
  }
  return text;
}

}  // namespace

std::string DescribeDiskUse(const Plan& plan) {
  std::string text = DescribePlacements(plan, /*on_disk=*/true);
  const std::string& root = plan.request.Of("runtime").String("store");
  for (const PlannedStage& stage : plan.stages) {
    if (stage.crops == nullptr) continue;
    absl::StrAppendFormat(&text, "  crop cache of %s: %d images, %.3f GB, of which %.3f GB are to be written to %s\n",
                          stage.name, stage.images.indices.size(), stage.crops->bytes() / 1e9,
                          stage.crops->MissingBytes(root) / 1e9, root);
  }
  return text;
}

int StoredEntries(const PlannedStage& stage, const std::string& store) {
  return std::count_if(stage.keys.begin(), stage.keys.end(),
                       [&](const StoreKey& key) { return ArtifactStore::Contains(store, key); });
}

std::string DescribePlan(const Plan& plan) {
  const std::string root = plan.request.Of("runtime").String("store");
  std::string text =
      absl::StrFormat("  %-15s %7s  %-22s %s\n", "stage", "images", "in the store", "memory, at most about");
  for (const PlannedStage& stage : plan.stages) {
    const int stored = StoredEntries(stage, root);
    std::string state = stage.keys.empty() ? "-" : absl::StrCat(stored, " of ", stage.keys.size());
    if (stage.keys.size() == 1) state = stored == 1 ? "yes" : "no";
    absl::StrAppendFormat(&text, "  %-15s %7s  %-22s %.1f MB\n", stage.name,
                          stage.images.indices.empty() ? "-" : absl::StrCat(stage.images.indices.size()), state,
                          stage.memory_bytes / 1e6);
  }
  text += DescribePlacements(plan, /*on_disk=*/false);
  text += DescribeDiskUse(plan);
  absl::StrAppend(&text, "  store ", root, ", ", plan.threads, plan.threads == 1 ? " thread, " : " threads, ",
                  plan.world_size, plan.world_size == 1 ? " rank" : " ranks", ", ", DescribeDevice(plan.device), "\n");
  return text;
}

}  // namespace qwt
