// Softmax codes of two keys at once, as bits of bfloat16.
//
// A log√2 code is round(position), position = -2 · log2(p / scale). 1 - position / 256, clamped to [0, 1] and rounded
// to bfloat16, whose steps are 1/256 below 1, has the bits 0x3f80 - code (codes to 128; above them lower bits). 64
// times that, less a constant, is 0x3f80 - 64 · code: 2^-(code / 2) for even codes, and for odd ones, in which the
// highest bit of the mantissa is set, 1.5 · 2^-k with k = (code + 1) / 2. Without that bit odd codes have 2^-k.
#pragma once

#include <algorithm>
#include <cmath>

#include "quant/integer/kernels/attention_instructions.cuh"

namespace qwt {

// What the kernel needs of the arguments, in the form in which it needs it.
struct AttentionConstants {
  int tokens = 0, heads = 0, head_width = 0, masks = 0, pitch = 0, out_pitch = 0;
  uint32_t origin = 0;     // bits of the float that scores begin with: whole numbers are added to them as bits
  float per_step = 0;      // log2 e · score_scale: a step of the scores in powers of 2
  float log2_scale = 0;    // of log_scale
  uint32_t kept = 0;       // the bits 0x3f80 - code of a pair: codes above these stand for a power,
  uint32_t otherwise = 0;  // others for that of these bits
  float unit = 0;          // of Σ p̂ (v - zero)
  bool wide = false;       // heads fill their tiles, and all rows begin at multiples of 16 bytes

  explicit AttentionConstants(const AttentionArguments& p, int tile_width) {
    constexpr float kLog2E = 1.44269504088896340736f;
    // What codes of 128 and more stand for float32's sums do not see: 0. By its bits 254 is the code of 0.
    constexpr int kMostCode = 128, kNone = 254;
    tokens = static_cast<int>(p.tokens);
    heads = static_cast<int>(p.heads);
    head_width = static_cast<int>(p.head_width);
    masks = static_cast<int>(p.masks);
    pitch = static_cast<int>(p.pitch);
    out_pitch = static_cast<int>(p.out_pitch);
    // 1.5 · 2^23, or 2^23 where no sum is below 0: sums are of at most 64 products, below 2^22 or 2^23.
    origin = p.query_zero < 0 ? 0x4b000000u : 0x4b400000u;
    per_step = p.score_scale * kLog2E;
    log2_scale = std::log2(p.log_scale);
    int codes = std::min(p.zero_code, kMostCode), last = kNone;
    if (p.log_floor > 0) {
      const float floor_code = std::nearbyint(std::max(-2 * std::log2(p.log_floor), 0.0f));
      if (floor_code < static_cast<float>(codes)) codes = last = static_cast<int>(floor_code);
    }
    kept = (0x3f80u - codes) * 0x10001u;
    otherwise = (0x3f80u - last) * 0x10001u;
    unit = p.value_unit * (p.log_sqrt2 ? p.log_scale : p.uniform.scale);
    const auto address = reinterpret_cast<uintptr_t>(p.codes) | reinterpret_cast<uintptr_t>(p.out);
    wide = p.head_width == tile_width && (p.pitch | p.out_pitch | static_cast<int64_t>(address)) % 16 == 0;
  }
};

namespace {

// Of two scores s = log2(p · total) / per_score: codes of the log√2 quantiser as bfloat16, powers of 2 or 1.5 of them.
// factor: per_score / 128; one: 1 - log2(total · scale) / 128.
__device__ __forceinline__ uint32_t PowersOf(float first, float second, float factor, float one,
                                             const AttentionConstants& c) {
  const uint32_t bits = Halves(SaturatedFma(first, factor, one), SaturatedFma(second, factor, one));
  const uint32_t kept = HalvesAbove(bits, c.kept);
  return ((bits & kept) | (c.otherwise & ~kept)) * 64 - 63 * 0x3f803f80u;
}
// The powers of 2 of both.
__device__ __forceinline__ uint32_t WithoutHalf(uint32_t powers) { return powers & 0xff80ff80u; }

// Σ p̂ x of x = Σ powers · x and y = Σ WithoutHalf(powers) · x. The sum over odd codes is twice their difference; where
// there are no odd codes it is y exactly.
__device__ __forceinline__ float LogSqrt2Sum(float x, float y) {
  const float half_odd = x - y;
  return fmaf(half_odd, 2.82842712f, fmaf(half_odd, -2.0f, y));
}

// Uniform codes less their zero, of two probabilities.
__device__ __forceinline__ uint32_t UniformOf(float first, float second, const Carrier& carrier) {
  const CodeRange range(carrier);
  const float a = fminf(fmaxf(__fadd_rn(StepsOf(first, carrier), kRounder), range.low), range.high);
  const float b = fminf(fmaxf(__fadd_rn(StepsOf(second, carrier), kRounder), range.low), range.high);
  return Halves(a - kRounder, b - kRounder);
}

// Carriers of four numbers, the first in the lowest byte.
__device__ __forceinline__ uint32_t PackedCarriers(float a, float b, float c, float d, const Carrier& carrier) {
  const CodeRange range(carrier);
  const auto bits = [&](float x) {
    return __float_as_uint(fminf(fmaxf(__fadd_rn(StepsOf(x, carrier), kRounder), range.low), range.high));
  };
  return ((bits(d) * 256 + bits(c)) * 256 + bits(b)) * 256 + bits(a) - __float_as_uint(range.low) * 0x01010101u;
}

}  // namespace
}  // namespace qwt
