// The fifteen operations of RandAugment's increasing variant, timm 0.4.12 on Pillow, bit by bit.
#pragma once

#include <array>

#include "ATen/core/Tensor.h"
#include "data/transforms/affine.h"

namespace qwt {

struct AugmentOp {
  const char* name;  // as in timm
  // What `apply` is given for a magnitude in [0, 10] and a sign of +1 or -1; some operations have no sign, some not
  // even a magnitude.
  double (*argument)(double magnitude, int sign);
  // uint8 [h, w, 3] -> the same shape; `fill` for what comes from outside the image.
  at::Tensor (*apply)(const at::Tensor& pixels, double argument, const Colour& fill);
};

const std::array<AugmentOp, 15>& AugmentOps();  // in timm's order

}  // namespace qwt
