#include "data/crop_cache.h"

#include <libdeflate.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/tensor/parallel.h"

namespace qwt {
namespace {

constexpr int64_t kImagesPerEntry = 1024;

int64_t EntriesOf(int64_t images) { return (images + kImagesPerEntry - 1) / kImagesPerEntry; }

absl::Span<const int64_t> ImagesOf(const std::vector<int64_t>& indices, int64_t entry) {
  return absl::MakeConstSpan(indices).subspan(entry * kImagesPerEntry, kImagesPerEntry);
}

// Of a crop, its label and its checksum.
int64_t ImageBytes(const InputOptions& input) {
  return 3 * input.height * input.width + 2 * static_cast<int64_t>(sizeof(int64_t));
}

// Of uint8 [height, width, 3], contiguous.
int64_t Checksum(const at::Tensor& crop) { return libdeflate_crc32(0, crop.const_data_ptr(), crop.numel()); }

}  // namespace

absl::StatusOr<Example> LoadCrop(const Dataset& dataset, int64_t index, const InputOptions& input) {
  QWT_ASSIGN_OR_RETURN(Example example, dataset.GetScaled(index, LeastSide(input)));
  absl::StatusOr<at::Tensor> crop = Crop(example.pixels, input, index);
  if (!crop.ok()) return Annotate(crop.status(), dataset.NameOf(index));
  return Example{*std::move(crop), example.label};
}

CropCache::CropCache(const Dataset& dataset, std::vector<int64_t> indices, InputOptions input)
    : dataset_(&dataset), indices_(std::move(indices)), input_(std::move(input)) {}

absl::StatusOr<CropCache> CropCache::Plan(const Dataset& dataset, std::vector<int64_t> indices, InputOptions input) {
  QWT_CHECK(input.transform == Transform::kEval);
  CropCache cache(dataset, std::move(indices), std::move(input));
  for (int64_t entry = 0; entry < EntriesOf(cache.indices_.size()); ++entry) {
    QWT_ASSIGN_OR_RETURN(const std::string images, dataset.Fingerprint(ImagesOf(cache.indices_, entry)));
    // Not of the preset's colours: networks that differ in those alone share crops.
    cache.keys_.push_back(
        StoreKey("crops", 2)
            .Add("images", images)
            .Add("input", absl::StrCat(cache.input_.height, "x", cache.input_.width, " crop_pct ",
                                       cache.input_.preset.crop_pct, " pad ", cache.input_.preset.pad)));
  }
  cache.entries_.resize(cache.keys_.size());
  return cache;
}

int64_t CropCache::bytes() const { return static_cast<int64_t>(indices_.size()) * ImageBytes(input_); }

int64_t CropCache::MissingBytes(const std::string& store_root) const {
  int64_t images = 0;
  for (size_t entry = 0; entry < keys_.size(); ++entry) {
    if (!ArtifactStore::Contains(store_root, keys_[entry])) images += ImagesOf(indices_, entry).size();
  }
  return images * ImageBytes(input_);
}

absl::Status CropCache::Make(ArtifactStore& store, const Share& share) const {
  for (int64_t entry = share.rank; entry < static_cast<int64_t>(keys_.size()); entry += share.world_size) {
    if (store.Contains(keys_[entry])) continue;
    QWT_ASSIGN_OR_RETURN(const TensorFile file, MakeEntry(entry, share));
    auto write = [&](const std::string& path) { return WriteSafetensors(path, file); };
    QWT_RETURN_IF_ERROR(store.Put(keys_[entry], write).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorFile> CropCache::MakeEntry(int64_t entry, const Share& share) const {
  const absl::Span<const int64_t> images = ImagesOf(indices_, entry);
  const int64_t count = images.size(), image_bytes = 3 * input_.height * input_.width;
  at::Tensor crops = at::empty({count, input_.height, input_.width, 3}, at::kByte);
  at::Tensor labels = at::empty({count}, at::kLong), checksums = at::empty({count}, at::kLong);
  QWT_RETURN_IF_ERROR(ParallelFor(count, share.threads, [&](int64_t i) -> absl::Status {
    absl::StatusOr<Example> example = LoadCrop(*dataset_, images[i], input_);
    uint8_t* target = crops.mutable_data_ptr<uint8_t>() + i * image_bytes;
    if (example.ok()) {
      std::memcpy(target, example->pixels.contiguous().const_data_ptr<uint8_t>(), image_bytes);
      labels.mutable_data_ptr<int64_t>()[i] = example->label;
    } else if (share.skip_bad_images && absl::IsDataLoss(example.status())) {
      std::memset(target, 0, image_bytes);
      labels.mutable_data_ptr<int64_t>()[i] = -1;
    } else {
      return example.status();
    }
    checksums.mutable_data_ptr<int64_t>()[i] = Checksum(crops.select(0, i));
    if (share.progress) share.progress(1);
    return absl::OkStatus();
  }));
  return TensorFile{{{"crops", crops}, {"labels", labels}, {"checksums", checksums}}, {}};
}

absl::Status CropCache::Open(ArtifactStore& store) {
  store_ = &store;
  for (size_t entry = 0; entry < keys_.size(); ++entry) {
    const std::optional<std::string> payload = store.Find(keys_[entry]);
    if (!payload.has_value()) continue;
    absl::StatusOr<TensorFile> file = ReadSafetensors(*payload);
    if (file.ok()) {
      entries_[entry] = *std::move(file);
    } else {
      QWT_RETURN_IF_ERROR(store.Lookup(keys_[entry]).status());
    }
  }
  return absl::OkStatus();
}

std::optional<Example> CropCache::Get(int64_t position) const {
  const int64_t entry = position / kImagesPerEntry, row = position % kImagesPerEntry;
  const TensorFile& file = entries_[entry];
  if (file.tensors.empty()) return std::nullopt;
  const int64_t label = file.tensors.at("labels").const_data_ptr<int64_t>()[row];
  if (label < 0) return std::nullopt;
  at::Tensor crop = file.tensors.at("crops").select(0, row);
  if (Checksum(crop) == file.tensors.at("checksums").const_data_ptr<int64_t>()[row]) return Example{crop, label};
  (void)store_->Lookup(keys_[entry]);
  return std::nullopt;
}

}  // namespace qwt
