// Values between two blocks of a network, batch by batch: in memory where they are computed while they fit, then in
// page-locked memory (of a GPU's), then in files. What is not needed for longest moves on first.
//
// A value that is read is brought back to where it is computed, as a tensor of its own, contiguous and aligned as any
// other: the same bits come of it wherever it lay.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pipelines/cache_budget.h"

namespace qwt {

// A value while somebody computes with it: it stays where it is until `pin` is gone.
struct PinnedValue {
  at::Tensor value;
  std::shared_ptr<void> pin;
};

// Thread safe.
class ActivationCache {
 public:
  using Key = std::pair<int, int64_t>;  // which value, of which batch

  // scratch: a new path for a file on a disk with room. The files have no name once they are written, and their room
  // is free when this is gone or the process has ended, however that ended.
  ActivationCache(at::Device device, CacheBudget budget, std::function<std::string()> scratch);

  // In place of what was there. The value is not to be written to any more. ResourceExhausted where it fits nowhere.
  absl::Status Put(Key key, const at::Tensor& value);
  // The same of a value on the CPU that lies in a file, is mapped and stays so: takes no memory.
  void PutMapped(Key key, const at::Tensor& value);
  // The key must be there (QWT_CHECK).
  absl::StatusOr<PinnedValue> Get(Key key);
  void Erase(Key key);

  struct Moved {
    int64_t to_host_bytes = 0, to_file_bytes = 0, from_host_bytes = 0, from_file_bytes = 0;
  };
  Moved moved() const;  // so far

 private:
  struct Entry {
    at::Tensor device, host, file;  // where the value lies, defined or not; in files once written for good
    int64_t bytes = 0;
    int pins = 0;
    std::list<Key>::iterator place;
  };
  // The caller holds the mutex.
  void Use(Key key, Entry& entry);
  void Forget(Key key);
  absl::Status BringBack(Entry& entry);
  absl::Status MakeRoom();
  absl::Status ToHost(Entry& entry);
  absl::Status ToFile(Entry& entry, const at::Tensor& value);
  template <typename Lies>
  Entry* LeastRecent(const Lies& lies);

  const at::Device device_;
  const CacheBudget budget_;
  const std::function<std::string()> scratch_;
  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;
  std::list<Key> by_use_;  // the least recently used first
  int64_t device_bytes_ = 0, host_bytes_ = 0;
  Moved moved_;
};

}  // namespace qwt
