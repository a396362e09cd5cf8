// Values between two blocks of a network, batch by batch: in memory where they are computed while they fit, then in
// page-locked memory (of a GPU's), then in files. What is not needed for longest moves on first.
//
// A value that is read is brought back to where it is computed, as a tensor of its own, contiguous and aligned as any
// other: the same bits come of it wherever it lay.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/mapped_file.h"
#include "pipelines/cache_budget.h"
#include "pipelines/scratch_file.h"

namespace qwt {

// A tensor on the CPU that lies in a mapped file, not necessarily aligned.
struct MappedTensor {
  at::Tensor tensor;
  std::shared_ptr<MappedFile> file;
};
// A copy in memory of its own; the mapped pages that it was read from are given back.
at::Tensor CopyOf(const MappedTensor& mapped);

// A value while somebody computes with it: it stays where it is until `pin` is gone.
struct PinnedValue {
  at::Tensor value;
  std::shared_ptr<void> pin;
};

// Thread safe.
class ActivationCache {
 public:
  using Key = std::pair<int, int64_t>;  // which value, of which batch

  // scratch_path: of a new file on a disk with room, which is made when something must go there.
  ActivationCache(at::Device device, CacheBudget budget, std::string scratch_path);

  // In place of what was there. The value is not to be written to any more. ResourceExhausted where it fits nowhere.
  absl::Status Put(Key key, const at::Tensor& value);
  // The same of a value that lies in a file: takes no memory until it is read.
  void PutMapped(Key key, MappedTensor value);
  // The key must be there (QWT_CHECK).
  absl::StatusOr<PinnedValue> Get(Key key);
  void Erase(Key key);

  struct Moved {
    int64_t to_host_bytes = 0, to_file_bytes = 0, from_host_bytes = 0, from_file_bytes = 0;
  };
  Moved moved() const;  // so far

 private:
  struct Entry {
    at::Tensor device, host;  // where the value lies, defined or not
    MappedTensor mapped;
    int64_t place = -1;  // in the scratch file; what was written there stays
    std::vector<int64_t> sizes;
    at::ScalarType type = at::kFloat;
    int64_t bytes = 0;
    bool in_file() const { return mapped.tensor.defined() || place >= 0; }
    int pins = 0;
    std::list<Key>::iterator place_in_use;
  };
  // The caller holds the mutex.
  void Use(Key key, Entry& entry);
  void Forget(Key key);
  Entry& Add(Key key, const at::Tensor& value);
  absl::Status BringBack(Entry& entry);
  absl::Status MakeRoom();
  absl::Status ToHost(Entry& entry);
  absl::Status ToFile(Entry& entry, const at::Tensor& value);
  template <typename Lies>
  Entry* LeastRecent(const Lies& lies);

  const at::Device device_;
  const CacheBudget budget_;
  const std::string scratch_path_;
  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;
  std::list<Key> by_use_;  // the least recently used first
  int64_t device_bytes_ = 0, host_bytes_ = 0;
  ScratchFile scratch_;
  Moved moved_;
};

}  // namespace qwt
