// Evaluation crops that are decoded and resized once and then read as memory-mapped bytes.
//
// In the artifact store, one entry for every 1024 listed images: a safetensors file with "crops" uint8 [n, height,
// width, 3], "labels" int64 [n] (-1: the image cannot be decoded) and "checksums" int64 [n], the CRC-32 of each crop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/store/store.h"
#include "core/tensor/safetensors.h"
#include "data/dataset.h"
#include "data/transform.h"

namespace qwt {

// The crop of one image of a dataset, in the place of its pixels. Errors name the image.
absl::StatusOr<Example> LoadCrop(const Dataset& dataset, int64_t index, const InputOptions& input);

class CropCache {
 public:
  // Of these images, in this order, with the evaluation transform. The dataset must outlive it. Errors: those of
  // fingerprinting the images.
  static absl::StatusOr<CropCache> Plan(const Dataset& dataset, std::vector<int64_t> indices, InputOptions input);

  const std::vector<StoreKey>& keys() const { return keys_; }
  int64_t bytes() const;                                      // of all entries, in the store
  int64_t MissingBytes(const std::string& store_root) const;  // of those that the store, which need not exist, has not

  struct Share {
    int rank = 0, world_size = 1;  // entry i belongs to rank i % world_size
    int threads = 1;
    bool skip_bad_images = false;                  // otherwise the first is an error
    std::function<void(int64_t images)> progress;  // called as images are decoded, by any thread
  };
  // Makes those entries of this rank that the store has not.
  absl::Status Make(ArtifactStore& store, const Share& share) const;
  // Maps the entries that the store, which must outlive this, has.
  absl::Status Open(ArtifactStore& store);

  // A view of an image's crop, checked, and its label; nullopt for one that is in no entry or cannot be decoded, and
  // for a damaged one, whose entry the store then reports and drops. Thread safe.
  std::optional<Example> Get(int64_t position) const;

 private:
  CropCache(const Dataset& dataset, std::vector<int64_t> indices, InputOptions input);
  absl::StatusOr<TensorFile> MakeEntry(int64_t entry, const Share& share) const;

  const Dataset* dataset_;
  std::vector<int64_t> indices_;
  InputOptions input_;
  std::vector<StoreKey> keys_;
  ArtifactStore* store_ = nullptr;
  std::vector<TensorFile> entries_;  // by entry; empty where it is not there
};

}  // namespace qwt
