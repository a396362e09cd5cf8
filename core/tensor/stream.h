// Kernels of our own among LibTorch's operators.
#pragma once

#include <functional>

#include "ATen/core/Tensor.h"

namespace qwt {

// Calls launch(stream) with x's GPU current; stream is that GPU's current stream, a cudaStream_t: what is launched
// there runs after the operators before and before those after.
void RunOnStreamOf(const at::Tensor& x, const std::function<void(void* stream)>& launch);

}  // namespace qwt
