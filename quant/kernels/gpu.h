// The loops of uniform.h, log_sqrt2.h and statistics.h over float32 in a GPU's memory: the same codes and, but for the
// order of float64 sums, the same bits. All pointers are the GPU's; work is queued on `stream`, a cudaStream_t, and
// waits for nothing. Throws std::runtime_error where a kernel cannot be launched. A build without CUDA has them too,
// and they must not be called.
#pragma once

#include <cstdint>

#include "quant/kernels/log_sqrt2.h"
#include "quant/kernels/uniform.h"

namespace qwt {

void UniformApplyOnGpu(const UniformArguments& arguments, const float* x, float* y, void* stream);
void LogSqrt2ApplyOnGpu(const LogSqrt2Arguments& arguments, const float* x, float* y, void* stream);

// How many candidate scales x, [outer, channels, inner], is to have its errors of.
struct ErrorLayout {
  int64_t candidates = 1, outer = 1, channels = 1, inner = 0;
};
// How many partial sums a channel is cut into.
int64_t ErrorParts(const ErrorLayout& layout);
// Σ (x - x̂)² of each part of each channel for each candidate, in a fixed order: parts, float64 [ErrorParts(…),
// candidates, channels], is written whole. The arguments' scale and zero_point are [candidates, channels]. x is read
// once for every four candidates.
void UniformErrorsOnGpu(const UniformArguments& arguments, int64_t candidates, const float* x, double* parts,
                        void* stream);
void LogSqrt2ErrorsOnGpu(const LogSqrt2Arguments& arguments, int64_t candidates, const float* x, double* parts,
                         void* stream);
// The same of one candidate, where x̂ = y, of x's shape.
void SquaredErrorsOnGpu(const float* x, const float* y, int64_t outer, int64_t channels, int64_t inner, double* parts,
                        void* stream);

// The `kept` largest values of each row and, negated, the `kept` smallest: extremes, float32 [2, rows, kept], in no
// order; NaN of either sign as an infinity, so that among the extremes there is an infinity where x is not finite. x:
// [rows, n], 1 ≤ kept ≤ n. workspace: ExtremesWorkspace(rows, n) bytes of 0, aligned to 16 bytes.
void ExtremesOnGpu(const float* x, int64_t rows, int64_t n, int64_t kept, void* workspace, float* extremes,
                   void* stream);
int64_t ExtremesWorkspace(int64_t rows, int64_t n);

}  // namespace qwt
