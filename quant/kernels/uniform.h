// The uniform quantiser (algorithms: clamp(round(x/scale) + zero_point, 0, top)) as one pass over contiguous float32,
// one thread. Every operation is the IEEE one of the reference's chain of tensor operators (true division, half to
// even, no contraction), so the bits are its too.
#pragma once

#include <cstdint>

namespace qwt {

// x, y: [outer, channels, inner]; scale, zero_point: [channels]. y may be x. Infinities are clamped, NaN stays NaN.
struct UniformArguments {
  int64_t outer = 1, channels = 1, inner = 0;
  const float* scale = nullptr;
  const float* zero_point = nullptr;
  float top = 0;  // 2^bits - 1
};

void UniformApply(const UniformArguments& arguments, const float* x, float* y);
void UniformCodes(const UniformArguments& arguments, const float* x, uint8_t* codes);  // whole zero points only
void UniformDequantize(const UniformArguments& arguments, const uint8_t* codes, float* y);

}  // namespace qwt
