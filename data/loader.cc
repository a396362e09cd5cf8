#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "c10/core/DeviceGuard.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "data/upload.h"

namespace qwt {
namespace {

absl::Status CheckOptions(const LoaderOptions& options, const std::vector<int64_t>& indices, int64_t dataset_size) {
  const InputOptions& input = options.input;
  if (options.batch_size < 1 || input.height < 1 || input.width < 1 || options.workers < 1 || options.prefetch < 1 ||
      options.world_size < 1 || options.rank < 0 || options.rank >= options.world_size) {
    return absl::InvalidArgumentError(absl::StrCat("loader: batch_size ", options.batch_size, ", input ", input.height,
                                                   " x ", input.width, ", workers ", options.workers, ", prefetch ",
                                                   options.prefetch, " must be at least 1, rank ", options.rank,
                                                   " in [0, ", options.world_size, ")"));
  }
  if (!options.device.is_cpu() && (options.device.index() < 0 || options.device.index() >= GpuCount())) {
    return absl::InvalidArgumentError(absl::StrCat("loader: device ", options.device.str(),
                                                   " is not there: this process may use ", GpuCount(),
                                                   " GPUs, by number from 0"));
  }
  QWT_RETURN_IF_ERROR(CheckInput(input));
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
// that a worker may start. For a GPU, what is decoded goes up once it is at most one beyond what was asked for: so it
// is there when it is asked for, and no more than that lies there.
class Loader::Impl {
 public:
  Impl(const Dataset& dataset, std::vector<int64_t> indices, LoaderOptions options)
      : dataset_(dataset), indices_(std::move(indices)), options_(std::move(options)) {
    invalid_ = CheckOptions(options_, indices_, dataset_.size());
    if (invalid_.ok() && !options_.device.is_cpu()) {
      invalid_ = CatchExceptions("loader", [&] {
        uploader_.emplace(options_.input.preset, options_.device);
        return absl::OkStatus();
      });
    }
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

  std::vector<SkippedImage> skipped() const {
    std::lock_guard lock(mutex_);
    std::vector<SkippedImage> images;
    for (const auto& [position, message] : skipped_) images.push_back({position, message});
    return images;
  }

  double waited_seconds() const {
    std::lock_guard lock(mutex_);
    return waited_.count();
  }

  double transfer_seconds() const {
    std::lock_guard lock(mutex_);
    return transferred_.count();
  }

  absl::StatusOr<std::optional<Batch>> Next() {
    if (!invalid_.ok()) return invalid_;
    std::unique_lock lock(mutex_);
    if (asked_ == slots_ && failed_slot_ == kNone) return std::optional<Batch>();
    const int64_t slot = asked_;
    if (asked_ < slots_) ++asked_;
    room_.notify_all();
    StartUploads();
    const auto start = Clock::now();
    ready_.wait(lock, [&] { return slot >= failed_slot_ || done_.count(slot) > 0; });
    waited_ += Clock::now() - start;
    if (slot >= failed_slot_) return failure_;
    Decoded decoded = std::move(done_.extract(slot).mapped());
    lock.unlock();
    if (uploader_.has_value()) QWT_RETURN_IF_ERROR(FinishUpload(&decoded));
    return std::optional<Batch>(std::move(decoded.batch));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  // For a GPU, `images` are the crops, uint8 [N, height, width, 3] in page-locked memory, until their upload starts.
  struct Decoded {
    Batch batch;
    std::optional<Upload> upload;
  };

  void Work() {
    const c10::DeviceGuard guard(options_.device);  // page-locked memory belongs to a GPU's context: this one's
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
        done_[slot].batch = std::move(batch);
        StartUploads();
      } else {
        Fail(slot, status);
      }
      ready_.notify_all();
      if (Finished()) room_.notify_all();
    }
  }

  // Of several failures the first in order is the one to tell.
  void Fail(int64_t slot, const absl::Status& status) {
    if (slot >= failed_slot_) return;
    failed_slot_ = slot;
    failure_ = status;
    ready_.notify_all();
    room_.notify_all();
  }

  // The caller holds the mutex.
  void StartUploads() {
    if (!uploader_.has_value()) return;
    for (auto& [slot, decoded] : done_) {
      if (slot > asked_) return;
      if (decoded.upload.has_value()) continue;
      const absl::Status status = CatchExceptions("uploading images", [&] {
        decoded.upload.emplace(uploader_->Start(decoded.batch.images));
        decoded.batch.images.reset();
        return absl::OkStatus();
      });
      if (!status.ok()) return Fail(slot, status);
    }
  }

  absl::Status FinishUpload(Decoded* decoded) {
    const auto start = Clock::now();
    const absl::Status status = CatchExceptions("uploading images", [&] {
      decoded->batch.images = uploader_->Finish(*decoded->upload);
      return absl::OkStatus();
    });
    std::lock_guard lock(mutex_);
    transferred_ += Clock::now() - start;
    return status;
  }

  // No slot is left to start. Slots before a failed one have all been started before it.
  bool Finished() const { return started_ == slots_ || failed_slot_ != kNone; }

  absl::Status Load(int64_t slot, Batch* batch) {
    const InputOptions& input = options_.input;
    batch->ordinal = options_.rank + slot * options_.world_size;
    const int64_t first = batch->ordinal * options_.batch_size;
    const int64_t count = std::min<int64_t>(options_.batch_size, static_cast<int64_t>(indices_.size()) - first);
    batch->images = uploader_.has_value() ? at::empty({count, input.height, input.width, 3},
                                                      at::TensorOptions(at::kByte).pinned_memory(true))
                                          : at::empty({count, 3, input.height, input.width}, at::kFloat);
    batch->labels = at::empty({count}, at::kLong);
    batch->positions = at::empty({count}, at::kLong);
    int64_t loaded = 0;
    for (int64_t position = first; position < first + count; ++position) {
      absl::StatusOr<Example> example = LoadCrop(position);
      if (options_.skip_bad_images && absl::IsDataLoss(example.status())) {
        std::lock_guard lock(mutex_);
        skipped_[position] = std::string(example.status().message());
        continue;
      }
      QWT_RETURN_IF_ERROR(example.status());
      TakeCrop(example->pixels, batch->images[loaded]);
      batch->labels.mutable_data_ptr<int64_t>()[loaded] = example->label;
      batch->positions.mutable_data_ptr<int64_t>()[loaded] = position;
      ++loaded;
    }
    if (loaded == count) return absl::OkStatus();
    for (at::Tensor* tensor : {&batch->images, &batch->labels, &batch->positions})
      *tensor = tensor->narrow(0, 0, loaded);
    return absl::OkStatus();
  }

  void TakeCrop(const at::Tensor& crop, const at::Tensor& target) const {
    if (!uploader_.has_value()) return NormaliseInto(crop, options_.input.preset, target.mutable_data_ptr<float>());
    std::memcpy(target.mutable_data_ptr(), crop.contiguous().const_data_ptr(), crop.numel());
  }

  absl::StatusOr<Example> LoadCrop(int64_t position) const {
    if (options_.crops != nullptr) {
      if (std::optional<Example> crop = options_.crops->Get(position)) return *crop;
    }
    return qwt::LoadCrop(dataset_, indices_[position], options_.input);
  }

  const Dataset& dataset_;
  const std::vector<int64_t> indices_;
  const LoaderOptions options_;
  absl::Status invalid_;
  std::optional<Uploader> uploader_;  // where the device is a GPU
  int64_t slots_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable room_, ready_;
  int64_t started_ = 0, asked_ = 0, failed_slot_ = kNone;
  bool stopped_ = false;
  absl::Status failure_;
  std::map<int64_t, Decoded> done_;
  std::map<int64_t, std::string> skipped_;  // by position: what is wrong
  std::chrono::duration<double> waited_{0}, transferred_{0};

  std::vector<std::thread> workers_;
};

Loader::Loader(const Dataset& dataset, std::vector<int64_t> indices, LoaderOptions options)
    : impl_(std::make_unique<Impl>(dataset, std::move(indices), std::move(options))) {}
Loader::~Loader() = default;
int64_t Loader::batches() const { return impl_->batches(); }
absl::StatusOr<std::optional<Batch>> Loader::Next() { return impl_->Next(); }
std::vector<SkippedImage> Loader::skipped() const { return impl_->skipped(); }
double Loader::waited_seconds() const { return impl_->waited_seconds(); }
double Loader::transfer_seconds() const { return impl_->transfer_seconds(); }

}  // namespace qwt
