#include "data/crop_cache.h"

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

// Of a crop and its label.
int64_t ImageBytes(const InputOptions& input) {
  return 3 * input.height * input.width + static_cast<int64_t>(sizeof(int64_t));
}

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
        StoreKey("crops", 1)
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
  at::Tensor labels = at::empty({count}, at::kLong);
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
    if (share.progress) share.progress(1);
    return absl::OkStatus();
  }));
  return TensorFile{{{"crops", crops}, {"labels", labels}}, {}};
}

absl::Status CropCache::Open(ArtifactStore& store, int threads) {
  return ParallelFor(keys_.size(), threads, [&](int64_t entry) -> absl::Status {
    QWT_ASSIGN_OR_RETURN(const std::optional<std::string> payload, store.Lookup(keys_[entry]));
    if (!payload.has_value()) return absl::OkStatus();
    QWT_ASSIGN_OR_RETURN(entries_[entry], ReadSafetensors(*payload));
    return absl::OkStatus();
  });
}

std::optional<Example> CropCache::Get(int64_t position) const {
  const TensorFile& file = entries_[position / kImagesPerEntry];
  if (file.tensors.empty()) return std::nullopt;
  const int64_t row = position % kImagesPerEntry;
  const int64_t label = file.tensors.at("labels").const_data_ptr<int64_t>()[row];
  if (label < 0) return std::nullopt;
  return Example{file.tensors.at("crops").select(0, row), label};
}

}  // namespace qwt
