#include "experiments/sweep_plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/disk.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "experiments/manifest.h"
#include "pipelines/planner.h"

namespace qwt {
namespace {

// Lines of many runs, each said once with the runs that it is of.
class RunProblems {
 public:
  void Add(const Problems& problems, const std::string& run) {
    for (const std::string& line : problems.lines()) {
      auto [known, added] = runs_.try_emplace(line);
      if (added) lines_.push_back(line);
      if (known->second.empty() || known->second.back() != run) known->second.push_back(run);
    }
  }
  // runs: how many there are; of what is wrong with all of them no names are needed.
  void MoveTo(size_t runs, Problems* problems) const {
    for (const std::string& line : lines_) {
      const std::vector<std::string>& names = runs_.at(line);
      std::string of;
      if (names.size() < runs) of = absl::StrCat(" (run ", names[0]);
      if (!of.empty()) absl::StrAppend(&of, names.size() > 1 ? absl::StrCat(" and ", names.size() - 1, " more)") : ")");
      problems->Add("", line + of);
    }
  }

 private:
  std::vector<std::string> lines_;
  std::map<std::string, std::vector<std::string>> runs_;  // by line
};

// Whether no block's sums depend on another's solution, so that all of them are shared or none.
bool SharesAllSums(const Request& request) {
  const auto fit = request.sections.find("fit");
  return fit != request.sections.end() && fit->second.String("prefix") == "quantized";
}

bool StoresSums(const Request& request) {
  const auto fit = request.sections.find("fit");
  return fit != request.sections.end() && fit->second.Bool("store_sums");
}

SweepRun Summary(const ManifestRun& run, const Plan& plan) {
  const Request& request = plan.request;
  SweepRun summary;
  summary.name = run.name;
  summary.folder = "runs/" + run.name;
  summary.axes = run.axes;
  summary.config = request.ToYaml();
  if (request.sections.count("model")) summary.model = request.Of("model").ToYaml(0);
  summary.store = request.Of("runtime").String("store");
  summary.threads = request.Of("runtime").Int("threads");
  summary.on_gpu = plan.device.is_cuda();
  summary.plan_sha256 = PlanHash(plan);
  for (const PlannedStage& stage : plan.stages) {
    summary.stages.push_back(
        {stage.name, stage.keys, {}, {}, static_cast<int64_t>(stage.images.indices.size()), stage.memory_bytes});
    const bool sums_stored = SharesAllSums(request) || StoresSums(request);
    if (sums_stored && !stage.shared.empty()) summary.stages.back().shared = {stage.shared[0]};
  }
  return summary;
}

// A fit whose values between blocks others may take up.
struct ValueUser {
  SweepRun* run;
  SweepStage* stage;
  std::string sums;        // what it sums over them
  int64_t kept_bytes = 0;  // of all blocks and ranks: inputs and both outputs
};
using ValueUsers = std::map<std::string, std::vector<ValueUser>>;  // by what decides the values

// Behind the quantised prefix every block's values are those of any other fit; behind a compensated one, the first's
// alone. A GPU makes values faster than a disk gives them.
void AddValueUser(const Plan& plan, SweepRun* run, ValueUsers* users) {
  if (!SharesAllSums(plan.request) || plan.device.is_cuda()) return;
  if (plan.request.Of("runtime").String("stored_cache_bytes") != "auto") return;
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const PlannedStage& stage = plan.stages[i];
    if (stage.value_bytes == 0 || stage.shared.empty()) continue;
    const int64_t blocks = plan.graph.blocks.size();
    (*users)[run->store + "\n" + stage.values_key].push_back(
        {run, &run->stages[i], stage.shared[0].hash(), stage.value_bytes * 3 / 2 * blocks * plan.world_size});
  }
}

// Lets runs keep values that others sum otherwise. Keeping them takes about what a small network's forward pass does:
// where but one other fit would read them, nothing is won.
void KeepSharedValues(ValueUsers users) {
  constexpr size_t kWorthKeeping = 3;
  constexpr int kPartOfDisk = 4;
  int64_t bytes = 0;
  for (auto group = users.begin(); group != users.end();) {
    std::set<std::string> sums;
    int64_t kept_bytes = 0;
    for (const ValueUser& user : group->second) {
      sums.insert(user.sums);
      kept_bytes = std::max(kept_bytes, user.kept_bytes);
    }
    const bool has_room = bytes + kept_bytes <= FreeBytes(group->second[0].run->store) / kPartOfDisk;
    if (sums.size() >= kWorthKeeping && has_room) {
      bytes += kept_bytes;
      ++group;
    } else {
      group = users.erase(group);
    }
  }
  // Beside the values an entry has its key and names.
  const std::string budget = absl::StrCat("runtime.stored_cache_bytes=", bytes + bytes / 10);
  for (const auto& [values, group] : users) {
    for (const ValueUser& user : group) {
      user.run->overrides.push_back(budget);
      user.stage->values = {StoreKey("activations", 1).Add("of", values)};
    }
  }
}

// Lets runs whose sums another needs store them; sums that one run alone would read are not worth their disk.
void StoreSharedSums(const std::vector<bool>& stored_anyway, std::vector<SweepRun>* runs) {
  std::map<std::string, std::vector<std::pair<size_t, SweepStage*>>> users;
  for (size_t i = 0; i < runs->size(); ++i) {
    for (SweepStage& stage : (*runs)[i].stages) {
      if (!stage.shared.empty()) users[stage.shared[0].hash()].emplace_back(i, &stage);
    }
  }
  for (const auto& [hash, stages] : users) {
    const bool shared = std::any_of(stages.begin(), stages.end(), [&](const auto& user) {
      return user.second->keys.front().text() != stages[0].second->keys.front().text();
    });
    for (const auto& [run, stage] : stages) {
      if (shared && !stored_anyway[run]) (*runs)[run].overrides.push_back("fit.store_sums=true");
      if (!shared && !stored_anyway[run]) stage->shared.clear();
    }
  }
}

}  // namespace

int64_t SweepRun::MemoryBytes() const {
  int64_t most = 0;
  for (const SweepStage& stage : stages) most = std::max(most, stage.memory_bytes);
  return most;
}

absl::StatusOr<Sweep> PlanSweep(const std::string& manifest_path, const std::vector<std::string>& overrides, int ranks,
                                bool elsewhere) {
  Problems problems;
  QWT_ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(manifest_path, overrides, &problems));
  Sweep sweep;
  sweep.name = manifest.name;
  sweep.axes = manifest.axes;
  sweep.slurm = manifest.slurm;
  RunProblems found;
  std::vector<bool> stores_sums;
  ValueUsers value_users;
  sweep.runs.reserve(manifest.runs.size());  // value_users points to them
  for (const ManifestRun& run : manifest.runs) {
    Problems own;
    Request request = CheckRequest(run.config, &own);
    Placement placement;
    if (own.empty()) {
      placement.world_size = placement.local_ranks = std::max(1, ranks > 0 ? ranks : request.Ranks());
      const Options& runtime = request.Of("runtime");
      const auto device = ResolveDevice(runtime.String("device"), 0, placement.local_ranks);
      if (device.ok()) {
        placement.device = *device;
      } else if (!elsewhere) {
        own.Add(runtime.Where("device"), std::string(device.status().message()));
      }
    }
    if (own.empty()) {
      const Plan plan = MakePlan(std::move(request), placement, &own);
      if (own.empty()) {
        sweep.runs.push_back(Summary(run, plan));
        stores_sums.push_back(StoresSums(plan.request));
        AddValueUser(plan, &sweep.runs.back(), &value_users);
      }
    }
    found.Add(own, run.name);
  }
  found.MoveTo(manifest.runs.size(), &problems);
  QWT_RETURN_IF_ERROR(problems.ToStatus());
  StoreSharedSums(stores_sums, &sweep.runs);
  KeepSharedValues(std::move(value_users));
  return sweep;
}

}  // namespace qwt
