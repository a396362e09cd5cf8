// Work over micro-batches. Each is computed by one thread with single-threaded operators, so that results depend
// neither on the number of threads nor on how batches are shared among ranks.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace qwt {

// Threads a rank uses: `requested`, or (0) this machine's cores divided by the ranks on it, at least 1.
int ResolveThreads(int requested, int local_ranks);

// Calls function(0) … function(count - 1) on up to `threads` threads, in increasing order of start, gradients off.
// Exceptions become statuses. After the first failure, or after an interrupt (core/base/interrupt.h), no new item
// starts; that status is returned.
absl::Status ParallelFor(int64_t count, int threads, const std::function<absl::Status(int64_t)>& function);

}  // namespace qwt
