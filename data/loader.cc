#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {
namespace {

absl::Status CheckOptions(const LoaderOptions& options, const std::vector<int64_t>& indices, int64_t dataset_size) {
  if (options.batch_size < 1 || options.height < 1 || options.width < 1 || options.workers < 1 ||
      options.prefetch < 1 || options.world_size < 1 || options.rank < 0 || options.rank >= options.world_size) {
    return absl::InvalidArgumentError(absl::StrCat("loader: batch_size ", options.batch_size, ", input ",
                                                   options.height, " x ", options.width, ", workers ", options.workers,
                                                   ", prefetch ", options.prefetch, " must be at least 1, rank ",
                                                   options.rank, " in [0, ", options.world_size, ")"));
  }
  for (int64_t index : indices) {
    if (index < 0 || index >= dataset_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("loader: image ", index, " is asked for, the dataset has ", dataset_size));
    }
  }
  return absl::OkStatus();
}

}  // namespace

// Slot k is this rank's k-th batch. Workers take slots in order; a slot may start once it is less than `prefetch`
// beyond those that consumers have asked for. Next() hands out slots in order too, so a consumer waits only for a slot
// that a worker may start.
class Loader::Impl {
 public:
  Impl(const Dataset& dataset, std::vector<int64_t> indices, LoaderOptions options)
      : dataset_(dataset), indices_(std::move(indices)), options_(std::move(options)) {
    invalid_ = CheckOptions(options_, indices_, dataset_.size());
    if (!invalid_.ok()) return;
    const int64_t size = indices_.size();
    const int64_t all = (size + options_.batch_size - 1) / options_.batch_size;
    slots_ = std::max<int64_t>(0, (all - options_.rank + options_.world_size - 1) / options_.world_size);
    const int64_t workers = std::min<int64_t>(options_.workers, slots_);
    for (int64_t i = 0; i < workers; ++i) workers_.emplace_back([this] { Work(); });
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    room_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  int64_t batches() const { return slots_; }

  absl::StatusOr<std::optional<Batch>> Next() {
    if (!invalid_.ok()) return invalid_;
    std::unique_lock lock(mutex_);
    if (asked_ == slots_ && failed_slot_ == kNone) return std::optional<Batch>();
    const int64_t slot = asked_;
    if (asked_ < slots_) ++asked_;
    room_.notify_all();
    ready_.wait(lock, [&] { return slot >= failed_slot_ || done_.count(slot) > 0; });
    if (slot >= failed_slot_) return failure_;
    Batch batch = std::move(done_.extract(slot).mapped());
    return std::optional<Batch>(std::move(batch));
  }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      room_.wait(lock, [&] { return stopped_ || Finished() || started_ < asked_ + options_.prefetch; });
      if (stopped_ || Finished()) return;
      const int64_t slot = started_++;
      lock.unlock();
      Batch batch;
      absl::Status status = CatchExceptions("loading images", [&] { return Load(slot, &batch); });
      lock.lock();
      if (stopped_) return;
      if (status.ok()) {
        done_.emplace(slot, std::move(batch));
      } else if (slot < failed_slot_) {  // of several failures the first in order is the one to tell
        failed_slot_ = slot;
        failure_ = status;
      }
      ready_.notify_all();
      if (Finished()) room_.notify_all();
    }
  }

  // No slot is left to start. Slots before a failed one have all been started before it.
  bool Finished() const { return started_ == slots_ || failed_slot_ != kNone; }

  absl::Status Load(int64_t slot, Batch* batch) {
    batch->ordinal = options_.rank + slot * options_.world_size;
    batch->first = batch->ordinal * options_.batch_size;
    const int64_t count = std::min<int64_t>(options_.batch_size, static_cast<int64_t>(indices_.size()) - batch->first);
    const int64_t values = 3 * options_.height * options_.width;
    batch->images = at::empty({count, 3, options_.height, options_.width}, at::kFloat);
    batch->labels = at::empty({count}, at::kLong);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t index = indices_[batch->first + i];
      QWT_ASSIGN_OR_RETURN(const Example example, dataset_.Get(index));
      absl::StatusOr<at::Tensor> image =
          EvalTransform(example.pixels, options_.preset, options_.height, options_.width);
      if (!image.ok()) return Annotate(image.status(), dataset_.NameOf(index));
      std::memcpy(batch->images.mutable_data_ptr<float>() + i * values, image->const_data_ptr<float>(),
                  values * sizeof(float));
      batch->labels.mutable_data_ptr<int64_t>()[i] = example.label;
    }
    return absl::OkStatus();
  }

  const Dataset& dataset_;
  const std::vector<int64_t> indices_;
  const LoaderOptions options_;
  absl::Status invalid_;
  int64_t slots_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable room_, ready_;
  int64_t started_ = 0, asked_ = 0, failed_slot_ = kNone;
  bool stopped_ = false;
  absl::Status failure_;
  std::map<int64_t, Batch> done_;

  std::vector<std::thread> workers_;
};

Loader::Loader(const Dataset& dataset, std::vector<int64_t> indices, LoaderOptions options)
    : impl_(std::make_unique<Impl>(dataset, std::move(indices), std::move(options))) {}
Loader::~Loader() = default;
int64_t Loader::batches() const { return impl_->batches(); }
absl::StatusOr<std::optional<Batch>> Loader::Next() { return impl_->Next(); }

}  // namespace qwt
