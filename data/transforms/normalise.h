// Bytes to a network's input.
#pragma once

#include "ATen/core/Tensor.h"
#include "data/transform.h"

namespace qwt {

// uint8 [h, w, 3] -> float32 [3, h, w]: (byte / 255 - mean) / std, each operation rounded to float32 as PyTorch does.
at::Tensor Normalise(const at::Tensor& pixels, const Preset& preset);

}  // namespace qwt
