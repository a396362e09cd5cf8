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

// Slot k is this rank's k-th batch. Workers take pieces of slots in order, so that a large batch is decoded by all of
// them; a slot may start once it is less than `prefetch` beyond those that consumers have asked for. Next() hands out
// slots in order too, so a consumer waits only for a slot that a worker may start. For a GPU, what is decoded goes up
// once it is at most one beyond what was asked for: so it is there when it is asked for, and no more than that lies
// there.
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
    const int64_t pieces = (options_.batch_size + kPiece - 1) / kPiece;
    const int64_t workers = std::min<int64_t>(options_.workers, slots_ * pieces);
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
    ready_.wait(lock, [&] { return HasFailed(slot) || done_.count(slot) > 0; });
    waited_ += Clock::now() - start;
    if (HasFailed(slot)) return failure_;
    Decoded decoded = std::move(done_.extract(slot).mapped());
    lock.unlock();
    if (uploader_.has_value()) QWT_RETURN_IF_ERROR(FinishUpload(&decoded));
    return std::optional<Batch>(std::move(decoded.batch));
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  static constexpr int64_t kPiece = 16;  // images that a worker takes at once

  // For a GPU, `images` are the crops, uint8 [N, height, width, 3] in page-locked memory, until their upload starts.
  struct Decoded {
    Batch batch;
    std::optional<Upload> upload;
  };

  // A slot that workers are at: a batch with a row for each image, and which rows are filled.
  struct Open {
    Batch batch;
    std::vector<char> filled;
    int64_t started = 0, ended = 0;  // images
  };

  void Work() {
    const c10::DeviceGuard guard(options_.device);  // page-locked memory belongs to a GPU's context: this one's
    std::unique_lock lock(mutex_);
    while (true) {
      room_.wait(lock, [&] { return stopped_ || Finished() || current_ < asked_ + options_.prefetch; });
      if (stopped_ || Finished()) return;
      const int64_t slot = current_;
      Open* open = nullptr;
      absl::Status status = CatchExceptions("loading images", [&] {
        open = &OpenSlot(slot);
        return absl::OkStatus();
      });
      if (!status.ok()) return Fail(slot, 0, status);
      const int64_t first = open->started, images = open->filled.size();
      const int64_t end = open->started = std::min(first + kPiece, images);
      if (end == images) ++current_;
      lock.unlock();
      int64_t image = first;
      status = CatchExceptions("loading images", [&] { return LoadPiece(end, open, &image); });
      lock.lock();
      if (stopped_) return;
      open->ended += end - first;
      if (!status.ok()) Fail(slot, image, status);
      if (open->ended == open->started) Close(slot, open);
      ready_.notify_all();
      if (Finished()) room_.notify_all();
    }
  }

  // A slot of which all pieces that were started have ended. The caller holds the mutex.
  void Close(int64_t slot, Open* open) {
    if (open->ended < static_cast<int64_t>(open->filled.size()) || slot >= failed_slot_) return;
    const absl::Status status = CatchExceptions("loading images", [&] {
      Batch& batch = done_[slot].batch = std::move(open->batch);
      if (std::count(open->filled.begin(), open->filled.end(), false) > 0) LeaveOut(open->filled, &batch);
      return absl::OkStatus();
    });
    if (!status.ok()) return Fail(slot, 0, status);
    open_.erase(slot);
    StartUploads();
  }

  // Whether there is nothing to wait for at `slot`: an earlier one or itself has failed, and is known to fail at no
  // earlier image. The caller holds the mutex.
  bool HasFailed(int64_t slot) const {
    if (slot < failed_slot_) return false;
    const auto open = open_.find(failed_slot_);
    return open == open_.end() || open->second.ended == open->second.started;
  }

  // Of several failures the first in order is the one to tell. The caller holds the mutex.
  void Fail(int64_t slot, int64_t image, const absl::Status& status) {
    if (std::pair(slot, image) >= std::pair(failed_slot_, failed_image_)) return;
    failed_slot_ = slot;
    failed_image_ = image;
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
      if (!status.ok()) return Fail(slot, 0, status);
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
  bool Finished() const { return current_ == slots_ || failed_slot_ != kNone; }

  // The caller holds the mutex.
  Open& OpenSlot(int64_t slot) {
    const auto [entry, added] = open_.try_emplace(slot);
    Open& open = entry->second;
    if (!added) return open;
    const InputOptions& input = options_.input;
    open.batch.ordinal = options_.rank + slot * options_.world_size;
    const int64_t first = open.batch.ordinal * options_.batch_size;
    const int64_t count = std::min<int64_t>(options_.batch_size, static_cast<int64_t>(indices_.size()) - first);
    open.batch.images = uploader_.has_value() ? at::empty({count, input.height, input.width, 3},
                                                          at::TensorOptions(at::kByte).pinned_memory(true))
                                              : at::empty({count, 3, input.height, input.width}, at::kFloat);
    open.batch.labels = at::empty({count}, at::kLong);
    open.batch.positions = at::empty({count}, at::kLong);
    open.filled.assign(count, false);
    return open;
  }

  // The batch's images from *image to `end`; *image is the one that is at work.
  absl::Status LoadPiece(int64_t end, Open* open, int64_t* image) {
    const Batch& batch = open->batch;
    for (; *image < end; ++*image) {
      const int64_t position = batch.ordinal * options_.batch_size + *image;
      absl::StatusOr<Example> example = LoadCrop(position);
      if (options_.skip_bad_images && absl::IsDataLoss(example.status())) {
        std::lock_guard lock(mutex_);
        skipped_[position] = std::string(example.status().message());
        continue;
      }
      QWT_RETURN_IF_ERROR(example.status());
      TakeCrop(example->pixels, batch.images[*image]);
      batch.labels.mutable_data_ptr<int64_t>()[*image] = example->label;
      batch.positions.mutable_data_ptr<int64_t>()[*image] = position;
      open->filled[*image] = true;
    }
    return absl::OkStatus();
  }

  // Moves the filled rows together, in their order, and cuts off the others.
  static void LeaveOut(const std::vector<char>& filled, Batch* batch) {
    int64_t kept = 0;
    for (size_t i = 0; i < filled.size(); ++i) {
      if (!filled[i]) continue;
      for (at::Tensor* rows : {&batch->images, &batch->labels, &batch->positions}) {
        if (kept < static_cast<int64_t>(i)) (*rows)[kept].copy_((*rows)[i]);
      }
      ++kept;
    }
    for (at::Tensor* rows : {&batch->images, &batch->labels, &batch->positions}) *rows = rows->narrow(0, 0, kept);
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
  int64_t current_ = 0;  // the slot that pieces are taken from
  int64_t asked_ = 0, failed_slot_ = kNone, failed_image_ = 0;
  bool stopped_ = false;
  absl::Status failure_;
  std::map<int64_t, Open> open_;
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
