#include "core/tensor/parallel.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/core/grad_mode.h"
#include "absl/strings/str_cat.h"
#include "core/base/interrupt.h"
#include "core/base/status.h"

namespace qwt {
namespace {

thread_local bool inside_parallel_for = false;

// Operators of this thread use one thread while it lives.
class SingleThreadedOperators {
 public:
  SingleThreadedOperators() : threads_before_(at::get_num_threads()), inside_before_(inside_parallel_for) {
    at::set_num_threads(1);
    inside_parallel_for = true;
  }
  ~SingleThreadedOperators() {
    inside_parallel_for = inside_before_;
    at::set_num_threads(threads_before_);
  }

 private:
  int threads_before_;
  bool inside_before_;
};

// The items of one ParallelFor, shared by its workers.
class Items {
 public:
  Items(int64_t count, const std::function<absl::Status(int64_t)>& function) : count_(count), function_(function) {}

  // One worker: takes items until there are none or one has failed.
  void Work() {
    SingleThreadedOperators operators;
    at::NoGradGuard no_grad;
    while (!failed_) {
      const int64_t item = next_++;
      if (item >= count_) return;
      absl::Status status = CheckInterrupt();
      if (status.ok()) status = CatchExceptions(absl::StrCat("item ", item), [&] { return function_(item); });
      if (!status.ok()) Fail(item, std::move(status));
    }
  }

  absl::Status status() const { return status_; }

 private:
  // Items start in order, so whatever the threads do, the first of all items that fail has started: its status is the
  // one to return.
  void Fail(int64_t item, absl::Status status) {
    std::lock_guard<std::mutex> lock(mutex_);
    failed_ = true;
    if (item > failed_item_) return;
    failed_item_ = item;
    status_ = std::move(status);
  }

  const int64_t count_;
  const std::function<absl::Status(int64_t)>& function_;
  std::atomic<int64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  int64_t failed_item_ = std::numeric_limits<int64_t>::max();
  absl::Status status_;
};

}  // namespace

int ResolveThreads(int requested, int local_ranks) {
  if (requested > 0) return requested;
  const int cores = std::thread::hardware_concurrency();
  return std::max(1, cores / std::max(1, local_ranks));
}

absl::Status ParallelFor(int64_t count, int threads, const std::function<absl::Status(int64_t)>& function) {
  Items items(count, function);
  const int64_t helpers = inside_parallel_for ? 0 : std::min<int64_t>(threads, count) - 1;
  std::vector<std::thread> workers;
  try {
    for (int64_t i = 0; i < helpers; ++i) workers.emplace_back([&items] { items.Work(); });
  } catch (const std::system_error&) {
    // The system gives no more threads: those there are, at least this one, do the work.
  }
  items.Work();
  for (std::thread& worker : workers) worker.join();
  return items.status();
}

}  // namespace qwt
