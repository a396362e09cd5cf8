// A small residual network of random weights, wide enough for what kernels do with 64 channels.
#pragma once

#include "ATen/core/Tensor.h"
#include "quant/integer/added_product.h"
#include "qwt/quantized_model.h"

namespace qwt {

// Normal, float32; the same for the same seed.
at::Tensor RandomValues(at::IntArrayRef shape, uint64_t seed);

// Of images [N, 3, 32, 32], at W4/A4 by percentiles: two blocks of 64 channels and two of 128, of which the first
// halves the image.
QuantizedModel SmallResidualNetwork(bool bottleneck);

// To be added to each block, in groups of 64 channels where it has them; for the third one of kernel 3.
AddedProducts RandomGroupConvolutions(const QuantizedModel& model);

}  // namespace qwt
