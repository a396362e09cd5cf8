// Decodes listed images ahead of those who compute, in batches whose content does not depend on ranks or workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/transform.h"

namespace qwt {

struct Batch {
  int64_t ordinal = 0;  // position in the list of all batches of all ranks
  int64_t first = 0;    // position in the list of images of the batch's first one
  at::Tensor images;    // float32 [N, 3, height, width]
  at::Tensor labels;    // int64 [N]
};

struct LoaderOptions {
  int64_t batch_size = 16;
  int64_t height = 0, width = 0;
  Preset preset;
  int rank = 0, world_size = 1;  // batch i belongs to rank i % world_size
  int workers = 1;
  int prefetch = 4;  // batches decoded ahead
};

// Batch i holds images [i * batch_size, (i + 1) * batch_size) of `indices`; the last may be smaller.
class Loader {
 public:
  Loader(const Dataset& dataset, std::vector<int64_t> indices, LoaderOptions options);  // dataset must outlive it
  ~Loader();                                                                            // stops and joins the workers

  int64_t batches() const;  // of this rank
  // This rank's next batch, in order; nullopt after the last; the first error, naming the image, ends it. Thread safe.
  absl::StatusOr<std::optional<Batch>> Next();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qwt
