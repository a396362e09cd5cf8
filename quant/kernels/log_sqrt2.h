// The log√2 quantiser (RepQ-ViT; algorithms section 3) over contiguous float32, one thread: code =
// round(-2·log2(max(x/scale, floor))), half to even on the float32 logarithm, found by comparing with exact thresholds
// instead of taking a logarithm.
#pragma once

#include <cstdint>

namespace qwt {

// x, y: [outer, channels, inner]; scale: [channels], positive. A code of `zero_code` or more stands for 0; code c below
// it for scale · 2^-ceil(c/2) · (√2 where c is odd). x/scale below 2^-126 counts as 0. NaN stays NaN in LogSqrt2Apply.
struct LogSqrt2Arguments {
  int64_t outer = 1, channels = 1, inner = 0;
  const float* scale = nullptr;
  float floor = 0;      // 0: none
  int zero_code = 255;  // at most 255
};

// By biased exponent e of a ratio, as its bits: a float of exponent e starts at code 2·(127 - e); past first[e] its
// code is one lower, past second[e] two.
struct LogSqrt2Thresholds {
  int32_t first[256], second[256];
};
const LogSqrt2Thresholds& GetLogSqrt2Thresholds();

void LogSqrt2Apply(const LogSqrt2Arguments& arguments, const float* x, float* y);
void LogSqrt2Codes(const LogSqrt2Arguments& arguments, const float* x, uint8_t* codes);
void LogSqrt2Dequantize(const LogSqrt2Arguments& arguments, const uint8_t* codes, float* y);

}  // namespace qwt
