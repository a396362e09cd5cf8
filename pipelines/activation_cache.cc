#include "pipelines/activation_cache.h"

#include "ATen/ops/empty.h"
#include "c10/core/Stream.h"
#include "c10/core/impl/VirtualGuardImpl.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/tensor/copy.h"

namespace qwt {
namespace {

// Waits for the copies that were put on the stream of the GPU's operators.
void Wait(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl streams(device.type());
  streams.getStream(device).synchronize();
}

}  // namespace

at::Tensor CopyOf(const MappedTensor& mapped) {
  at::Tensor copy = AlignedCopy(mapped.tensor);
  const ByteRange bytes = BytesOf(mapped.tensor);
  mapped.file->Release(bytes.begin, bytes.end);
  return copy;
}

ActivationCache::ActivationCache(at::Device device, CacheBudget budget, std::string scratch_path)
    : device_(device), budget_(budget), scratch_path_(std::move(scratch_path)) {}

void ActivationCache::Use(Key key, Entry& entry) { by_use_.splice(by_use_.end(), by_use_, entry.place_in_use); }

void ActivationCache::Forget(Key key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  const Entry& entry = found->second;
  QWT_CHECK(entry.pins == 0);
  if (entry.device.defined()) device_bytes_ -= entry.bytes;
  if (entry.host.defined()) host_bytes_ -= entry.bytes;
  if (entry.place >= 0) scratch_.Free(entry.place, entry.bytes);
  by_use_.erase(entry.place_in_use);
  entries_.erase(found);
}

ActivationCache::Entry& ActivationCache::Add(Key key, const at::Tensor& value) {
  Forget(key);
  Entry& entry = entries_[key];
  entry.sizes = value.sizes().vec();
  entry.type = value.scalar_type();
  entry.bytes = value.nbytes();
  entry.place_in_use = by_use_.insert(by_use_.end(), key);
  return entry;
}

absl::Status ActivationCache::Put(Key key, const at::Tensor& value) {
  const std::lock_guard<std::mutex> guard(mutex_);
  Entry& entry = Add(key, value);
  // Always: what comes back from elsewhere is contiguous, and operators may round otherwise on another layout.
  entry.device = value.contiguous();
  device_bytes_ += entry.bytes;
  return MakeRoom();
}

void ActivationCache::PutMapped(Key key, MappedTensor value) {
  const std::lock_guard<std::mutex> guard(mutex_);
  Add(key, value.tensor).mapped = std::move(value);
}

absl::StatusOr<PinnedValue> ActivationCache::Get(Key key) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found = entries_.find(key);
  QWT_CHECK(found != entries_.end());
  Entry& entry = found->second;
  Use(key, entry);
  ++entry.pins;
  PinnedValue pinned;
  absl::Status status = BringBack(entry);
  if (status.ok()) status = MakeRoom();
  if (!status.ok()) {
    --entry.pins;
    return status;
  }
  pinned.value = entry.device;
  pinned.pin = std::shared_ptr<void>(nullptr, [this, key](void*) {
    const std::lock_guard<std::mutex> unpinning(mutex_);
    --entries_.at(key).pins;
  });
  return pinned;
}

void ActivationCache::Erase(Key key) {
  const std::lock_guard<std::mutex> guard(mutex_);
  Forget(key);
}

ActivationCache::Moved ActivationCache::moved() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return moved_;
}

absl::Status ActivationCache::BringBack(Entry& entry) {
  if (entry.device.defined()) return absl::OkStatus();
  QWT_RETURN_IF_ERROR(CatchExceptions("activation cache", [&]() -> absl::Status {
    if (entry.host.defined()) {
      entry.device = entry.host.to(device_, /*non_blocking=*/true);
      moved_.from_host_bytes += entry.bytes;
      host_bytes_ -= entry.bytes;
      entry.host.reset();  // LibTorch keeps page-locked memory until the copy is done
    } else {
      at::Tensor value;
      if (entry.mapped.tensor.defined()) {
        value = CopyOf(entry.mapped);
      } else {
        value = at::empty(entry.sizes, entry.type);
        QWT_RETURN_IF_ERROR(scratch_.Read(entry.place, value));
      }
      entry.device = value.to(device_);
      moved_.from_file_bytes += entry.bytes;
    }
    return absl::OkStatus();
  }));
  device_bytes_ += entry.bytes;
  return absl::OkStatus();
}

template <typename Lies>
ActivationCache::Entry* ActivationCache::LeastRecent(const Lies& lies) {
  for (const Key& key : by_use_) {
    Entry& entry = entries_.at(key);
    if (entry.pins == 0 && lies(entry)) return &entry;
  }
  return nullptr;
}

absl::Status ActivationCache::MakeRoom() {
  while (device_bytes_ > budget_.device_bytes) {
    Entry* const entry = LeastRecent([](const Entry& entry) { return entry.device.defined(); });
    if (entry == nullptr) break;  // all are at work
    if (device_.is_cpu() || entry->bytes > budget_.host_bytes || entry->in_file()) {
      QWT_RETURN_IF_ERROR(ToFile(*entry, entry->device));
    } else {
      QWT_RETURN_IF_ERROR(ToHost(*entry));
    }
    entry->device.reset();
    device_bytes_ -= entry->bytes;
  }
  while (host_bytes_ > budget_.host_bytes) {
    Entry* const entry = LeastRecent([](const Entry& entry) { return entry.host.defined(); });
    QWT_CHECK(entry != nullptr);  // pinned ones lie on the GPU
    QWT_RETURN_IF_ERROR(ToFile(*entry, entry->host));
    entry->host.reset();
    host_bytes_ -= entry->bytes;
  }
  return absl::OkStatus();
}

absl::Status ActivationCache::ToHost(Entry& entry) {
  QWT_RETURN_IF_ERROR(CatchExceptions("activation cache", [&] {
    entry.host = at::empty(entry.device.sizes(), entry.device.options().device(at::kCPU).pinned_memory(true));
    entry.host.copy_(entry.device, /*non_blocking=*/true);
    return absl::OkStatus();
  }));
  host_bytes_ += entry.bytes;
  moved_.to_host_bytes += entry.bytes;
  return absl::OkStatus();
}

absl::Status ActivationCache::ToFile(Entry& entry, const at::Tensor& value) {
  if (entry.in_file()) return absl::OkStatus();  // a value never changes
  const absl::Status status = CatchExceptions("activation cache", [&]() -> absl::Status {
    if (!scratch_.is_open()) QWT_RETURN_IF_ERROR(scratch_.Open(scratch_path_));
    Wait(device_);
    QWT_ASSIGN_OR_RETURN(entry.place, scratch_.Write(value.cpu()));
    return absl::OkStatus();
  });
  if (!status.ok()) {
    return Annotate(status,
                    "values between blocks that memory is not to hold (runtime.cache_bytes) do not go to a file");
  }
  moved_.to_file_bytes += entry.bytes;
  return absl::OkStatus();
}

}  // namespace qwt
