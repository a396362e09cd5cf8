// The two kinds of crops, of inputs that CheckInput accepts.
#pragma once

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "data/transform.h"

namespace qwt {

// Of a preset that resizes: what the shorter side of an image becomes before the crop.
int64_t ResizedSide(const Preset& preset, int64_t height);

// uint8 [h, w, 3] -> uint8 [height, width, 3], as data/transform.h says of Crop.
absl::StatusOr<at::Tensor> EvalCrop(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width);
at::Tensor TrainCrop(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width, uint64_t seed,
                     uint64_t image);

}  // namespace qwt
