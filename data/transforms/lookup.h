// Operations that give each byte another one by a table: Pillow's ImageOps.
#pragma once

#include "ATen/core/Tensor.h"

namespace qwt {

// All take and give uint8 [h, w, 3].

at::Tensor AutoContrast(const at::Tensor& pixels);  // each channel stretched to 0 .. 255
at::Tensor Equalize(const at::Tensor& pixels);      // each channel's values spread to be equally frequent
at::Tensor Invert(const at::Tensor& pixels);
at::Tensor Posterize(const at::Tensor& pixels, int bits);      // the upper `bits` of each byte, 0 .. 8; 0: black
at::Tensor Solarize(const at::Tensor& pixels, int threshold);  // inverts from `threshold` on; 256: nothing
at::Tensor SolarizeAdd(const at::Tensor& pixels, int add);     // adds `add` to what is below 128; at most 255

}  // namespace qwt
