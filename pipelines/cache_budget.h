// Where a stage may keep the values of its images between two blocks, and how much of them there.
#pragma once

#include <cstdint>
#include <string>

#include "ATen/core/Tensor.h"
#include "core/config/schema.h"

namespace qwt {

struct CacheBudget {
  int64_t device_bytes = 0;  // memory where it is computed: the GPU's, or on the CPU this machine's
  int64_t host_bytes = 0;    // page-locked memory of this machine, of what a GPU has no memory for; 0 on the CPU
  int64_t store_bytes = 0;   // of the store, for values that other runs can take up; what memory does not hold lies in
                             // files beside it without limit
};

// runtime.cache_bytes, host_cache_bytes, stored_cache_bytes.
std::vector<Option> CacheOptions();
// Adds to *problems what is neither "auto" nor a size.
void CheckCacheOptions(const Options& runtime, Problems* problems);
// A rank's budget; auto takes a part of the memory that is free now. The options must be sound.
CacheBudget ResolveCacheBudget(const Options& runtime, at::Device device, int world_size);

// What does not fit in memory.
int64_t FileBytes(int64_t bytes, const CacheBudget& budget);
// "0.31 GB, all in memory", "3.1 GB: 1.0 GB on the GPU, 1.5 GB in page-locked memory, 0.6 GB in files beside the
// store".
std::string DescribePlacement(int64_t bytes, const CacheBudget& budget, at::Device device);

}  // namespace qwt
