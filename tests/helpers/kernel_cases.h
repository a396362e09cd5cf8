// Shapes and values that tests call the integer kernels with, on any device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "ATen/core/Tensor.h"
#include "quant/integer/kernels/kernels.h"

namespace qwt {

inline int64_t RoundUp(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

inline Carrier Uniform(float scale, float zero, float top, float end = 0) {
  Carrier carrier;
  carrier.scale = scale;
  carrier.inverse_scale = 1 / scale;
  carrier.zero = zero;
  carrier.top = top;
  carrier.end = end;
  if (end != 0) {
    carrier.low = end > 0 ? 0 : -1;
    carrier.high = end > 0 ? top + 1 : top;
  }
  return carrier;
}

struct NormCase {
  int64_t rows, columns, period = 0;
  float end = 0;  // Carrier::end
};

// out: uint8 [rows, RoundUp(columns, 16) + 4 EndWords(columns)].
inline NormQuantizeArguments ArgumentsOf(const NormCase& c, const at::Tensor& x, const at::Tensor& weight,
                                         const at::Tensor& bias, const at::Tensor& map, const at::Tensor& out) {
  NormQuantizeArguments p;
  p.rows = c.rows;
  p.columns = c.columns;
  p.pitch = out.size(1);
  p.x = x.const_data_ptr<float>();
  p.weight = weight.const_data_ptr<float>();
  p.bias = bias.const_data_ptr<float>();
  p.epsilon = 1e-6f;
  if (c.period > 0) p.map = {map.const_data_ptr<int32_t>(), c.period, c.period};
  p.carrier = Uniform(0.3f, 7, 15, c.end);
  p.out = out.mutable_data_ptr<uint8_t>();
  if (c.end != 0) p.ends_offset = RoundUp(c.columns, 16);
  return p;
}

struct AttentionCase {
  int64_t windows, tokens, heads, head_width;
  bool log_sqrt2 = true, biased = false;
  int64_t masks = 0;
  int bits = 4;  // of all codes
  float log_floor = 1e-6f;
};

// out: uint8 [windows · tokens, RoundUp(heads · head_width, 16)].
inline AttentionArguments ArgumentsOf(const AttentionCase& c, const at::Tensor& codes, const at::Tensor& bias,
                                      const at::Tensor& mask, const at::Tensor& out) {
  AttentionArguments p;
  p.windows = c.windows;
  p.tokens = c.tokens;
  p.heads = c.heads;
  p.head_width = c.head_width;
  p.codes = codes.const_data_ptr<uint8_t>();
  p.pitch = codes.size(1);
  const float top = static_cast<float>((1 << c.bits) - 1), step = 15 / top;
  p.query_zero = std::nearbyint(7 / step);
  p.key_zero = std::nearbyint(8 / step);
  p.value_zero = std::nearbyint(6 / step);
  p.score_scale = 0.02f * step * step;
  p.value_unit = 0.1f * step;
  if (c.biased) p.bias = bias.const_data_ptr<float>();
  if (c.masks > 0) {
    p.mask = mask.const_data_ptr<float>();
    p.masks = c.masks;
  }
  p.log_sqrt2 = c.log_sqrt2;
  p.log_scale = 0.8f;
  p.log_floor = c.log_floor;
  p.zero_code = std::min(1 << c.bits, 255);
  p.uniform = Uniform(1.0f / 60, 0, 63);
  p.carrier = Uniform(0.01f, 120, 255);
  p.out = out.mutable_data_ptr<uint8_t>();
  p.out_pitch = out.size(1);
  return p;
}

}  // namespace qwt
