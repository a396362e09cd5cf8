#include "experiments/sweep_jobs.h"

#include "absl/strings/str_cat.h"
#include "core/base/byte_count.h"
#include "core/tensor/device.h"

namespace qwt {
namespace {

constexpr int64_t kProgramBytes = 500'000'000;  // of a run beside its values: LibTorch and what it keeps

}  // namespace

SweepJobs::SweepJobs(const std::vector<const SweepRun*>& runs) {
  for (const SweepRun* run : runs) {
    Job job;
    job.memory_bytes = run->MemoryBytes() + (run->on_gpu ? 0 : kProgramBytes);
    on_gpu_ |= run->on_gpu;
    // An entry of one store is none of another's.
    const auto add = [&](const std::vector<StoreKey>& keys, std::vector<std::string>* ids) {
      for (const StoreKey& key : keys) {
        ids->push_back(absl::StrCat(run->store, "\n", key.hash()));
        entries_.emplace(ids->back(), std::make_pair(run->store, key));
      }
    };
    for (const SweepStage& stage : run->stages) {
      add(stage.keys, &job.keys);
      add(stage.shared, &job.shared);
      add(stage.values, &job.shared);
    }
    jobs_.push_back(std::move(job));
  }
}

bool SweepJobs::IsStored(const std::string& id) const {
  const auto& [store, key] = entries_.at(id);
  return ArtifactStore::Contains(store, key);
}

int64_t SweepJobs::MemoryBytes() const {
  return on_gpu_ ? FreeBytes(at::Device(at::kCUDA, 0)) * GpuCount() : AvailableMemoryBytes();
}

}  // namespace qwt
