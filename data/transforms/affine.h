// Rotations, shears and translations of an image, as Pillow's affine transform with bicubic interpolation.
#pragma once

#include <array>
#include <cstdint>

#include "ATen/core/Tensor.h"

namespace qwt {

using Colour = std::array<uint8_t, 3>;

// All take and give uint8 [h, w, 3]. The source of an output pixel is computed in float64; what has its source outside
// the image becomes `fill`. The cubic has a = -1 (that of the resize has -0.5) and is truncated, not rounded.

at::Tensor Rotate(const at::Tensor& pixels, double degrees, const Colour& fill);  // about the centre, counter-clockwise
at::Tensor ShearX(const at::Tensor& pixels, double factor, const Colour& fill);   // from x + factor y
at::Tensor ShearY(const at::Tensor& pixels, double factor, const Colour& fill);   // from y + factor x
// To the left and upwards by that part of the width and the height.
at::Tensor TranslateXRel(const at::Tensor& pixels, double part, const Colour& fill);
at::Tensor TranslateYRel(const at::Tensor& pixels, double part, const Colour& fill);

}  // namespace qwt
