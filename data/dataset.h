// Labelled images by index.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/registry/registry.h"

namespace qwt {

struct Example {
  at::Tensor pixels;  // uint8 [height, width, 3]
  int64_t label = 0;
};

// Const and thread safe.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual int64_t classes() const = 0;
  // The index must be in range. DataLoss, naming the file, for an image that cannot be decoded.
  virtual absl::StatusOr<Example> Get(int64_t index) const = 0;
  // As Get(), but the image may be smaller, with neither side below least_side, where the dataset was told that this
  // may be done (image_folder's fast_decode). 0: in full.
  virtual absl::StatusOr<Example> GetScaled(int64_t index, int64_t least_side) const { return Get(index); }
  // The name of an image for messages: a path, or "train-images-idx3-ubyte.gz[17]".
  virtual std::string NameOf(int64_t index) const = 0;
  // Changes when the content of any of these images or labels, or how they are decoded, does; part of store keys.
  virtual absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t> indices) const = 0;
};

enum class Split { kTrain, kEval };  // calibration and fit draw from kTrain, evaluation from kEval

// What a dataset is opened with, beside its options.
struct DatasetContext {
  Split split = Split::kTrain;
  std::string cache_folder;  // for what makes the next start faster; the dataset makes it in a folder that must be
                             // there, not before the first Get(); "": nothing may be kept
};

inline constexpr char kDatasetKind[] = "dataset";
using DatasetRegistry = Registry<std::unique_ptr<Dataset>, kDatasetKind, const DatasetContext&>;

// Which images to take: the first `count`, or `count` drawn without repetition by seed (counter-based: the same on
// every machine and rank). count 0: all, in order. InvalidArgument where there are fewer than asked for.
enum class Order { kFirst, kRandom };
absl::StatusOr<std::vector<int64_t>> SelectImages(const Dataset& dataset, int64_t count, Order order, uint64_t seed);

}  // namespace qwt
