// The loops of uniform.h, log_sqrt2.h and statistics.h over float32 in a GPU's memory: the same codes and, but for the
// order of float64 sums, the same bits. All pointers are the GPU's; work is queued on `stream`, a cudaStream_t. Throws
// std::runtime_error where a kernel cannot be launched. A build without CUDA has them too, and they must not be called.
#pragma once

#include <cstdint>

#include "quant/kernels/log_sqrt2.h"
#include "quant/kernels/uniform.h"

namespace qwt {

void UniformApplyOnGpu(const UniformArguments& arguments, const float* x, float* y, void* stream);
void LogSqrt2ApplyOnGpu(const LogSqrt2Arguments& arguments, const float* x, float* y, void* stream);

// How many partial sums a channel of so many values is cut into.
int64_t SquaredErrorParts(int64_t outer, int64_t channels, int64_t inner);
// Σ (x - y)² of each part of each channel, in a fixed order: parts, float64 [SquaredErrorParts(…), channels], is
// written whole. x, y: [outer, channels, inner].
void SquaredErrorsOnGpu(const float* x, const float* y, int64_t outer, int64_t channels, int64_t inner, double* parts,
                        void* stream);

}  // namespace qwt
