// What training shows of an image: a random part of it, mirrored or not, and RandAugment `rand-m9-mstd0.5-inc1` of timm
// 0.4.12. What is drawn is a value, so that it can be looked at and repeated.
#pragma once

#include <array>
#include <cstdint>

#include "ATen/core/Tensor.h"
#include "data/transforms/augment_ops.h"
#include "data/transforms/resize.h"

namespace qwt {

struct DrawnOp {
  const AugmentOp* op = nullptr;
  bool applied = false;  // half of the operations that are drawn are left out
  double magnitude = 0;  // in [0, 10]
  int sign = 1;          // or -1
};

struct Augmentation {
  Box crop;
  bool mirrored = false;
  std::array<DrawnOp, 2> ops;
};

// For the image with that index and size: a function of its arguments alone. Each number has a key of its own,
// (seed, image, which number it is), so those of the operations do not depend on the image's size.
Augmentation DrawAugmentation(int64_t height, int64_t width, uint64_t seed, uint64_t image);

// uint8 [h, w, 3] -> uint8 [height, width, 3]: cut out, resized as Pillow does, mirrored, the operations in order.
// `fill` is for what turning, shearing and shifting bring in from outside.
at::Tensor Augment(const at::Tensor& pixels, const Augmentation& augmentation, int64_t height, int64_t width,
                   const Colour& fill);

}  // namespace qwt
