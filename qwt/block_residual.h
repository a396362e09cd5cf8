// What every compensator checks of the tensors it fits to.
#pragma once

#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

namespace qwt {

// Y − Ŷ, float32. InvalidArgument, naming the block and the tensor, for NaN, infinity, another dtype than float32 or
// shapes that do not fit: Y and Ŷ have equal ones, and X the same but for the last dimension.
absl::StatusOr<at::Tensor> BlockResidual(const std::string& block, const at::Tensor& x, const at::Tensor& y_float,
                                         const at::Tensor& y_quant);

}  // namespace qwt
