// Decodes listed images ahead of those who compute, in batches whose content does not depend on ranks or workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "data/crop_cache.h"
#include "data/dataset.h"
#include "data/transform.h"

namespace qwt {

struct Batch {
  int64_t ordinal = 0;   // position in the list of all batches of all ranks
  at::Tensor images;     // float32 [N, 3, height, width] on the device; N may be 0 where all images were skipped
  at::Tensor labels;     // int64 [N], on the CPU
  at::Tensor positions;  // int64 [N], on the CPU: of each image in the list
};

struct LoaderOptions {
  InputOptions input;
  int64_t batch_size = 16;
  int rank = 0, world_size = 1;  // batch i belongs to rank i % world_size
  int workers = 1;
  int prefetch = 4;              // batches decoded ahead
  bool skip_bad_images = false;  // leaves out what cannot be decoded (DataLoss); by default it is an error
  // Where the images of a batch go. On a GPU the next batch goes up while one is computed with (data/upload.h).
  at::Device device = at::kCPU;
  const CropCache* crops = nullptr;  // takes evaluation crops from here where it has them
};

struct SkippedImage {
  int64_t position = 0;  // in the list
  std::string message;   // names the image
};

// Batch i holds images [i * batch_size, (i + 1) * batch_size) of `indices`; the last may be smaller. What is skipped is
// missing in its batch and changes no other.
class Loader {
 public:
  Loader(const Dataset& dataset, std::vector<int64_t> indices, LoaderOptions options);  // dataset must outlive it
  ~Loader();                                                                            // stops and joins the workers

  int64_t batches() const;  // of this rank
  // This rank's next batch, in order; nullopt after the last; the first error, naming the image, ends it. Its images
  // are for the caller's current stream. Thread safe.
  absl::StatusOr<std::optional<Batch>> Next();

  // Those skipped so far, by position. Complete after the last batch.
  std::vector<SkippedImage> skipped() const;
  // How long callers of Next() have waited in it, summed over them: what decoding cost those who compute.
  double waited_seconds() const;
  // How long they have waited for decoded images to arrive on the GPU; 0 on the CPU.
  double transfer_seconds() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qwt
