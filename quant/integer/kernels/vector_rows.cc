#include "quant/integer/kernels/vector_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ATen/ops/from_blob.h"
#include "ATen/ops/gelu.h"
#include "quant/integer/kernels/rows.h"
#include "quant/integer/kernels/vectors.h"

namespace qwt {
namespace {

constexpr int64_t kLanes = 16;

inline float RoundedStep(float x, float inverse_scale, float zero) { return __builtin_rintf(x * inverse_scale) + zero; }

inline uint8_t Clamped(float step, float top) {
  step = step < 0.0f ? 0.0f : step;
  return static_cast<uint8_t>(static_cast<int32_t>(step > top ? top : step));
}

// Σ (x - shift), or of its squares.
template <bool squares>
inline __attribute__((always_inline)) float Sum(const float* x, int64_t n, float shift) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float value = x[i + lane] - shift;
      lanes[lane] += squares ? value * value : value;
    }
  }
  for (; i < n; ++i) lanes[i % kLanes] += squares ? (x[i] - shift) * (x[i] - shift) : x[i] - shift;
  double sum = 0;
  for (float lane : lanes) sum += lane;
  return static_cast<float>(sum);
}

QWT_WIDE_CLONES void Normalize(const float* __restrict__ x, int64_t n, const float* __restrict__ weight,
                               const float* __restrict__ bias, float epsilon, float* __restrict__ y) {
  const float mean = Sum<false>(x, n, x[0]) / static_cast<float>(n) + x[0];
  const float inverse = 1 / std::sqrt(Sum<true>(x, n, mean) / static_cast<float>(n) + epsilon);
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
}

// flags: of the columns, and zeros up to a multiple of 8.
void PackEnds(const uint8_t* flags, int64_t columns, uint32_t* words) {
  std::fill_n(words, EndWords(columns), 0);
  for (int64_t first = 0; first < columns; first += 8) {
    uint64_t eight;
    std::memcpy(&eight, flags + first, sizeof(eight));
    if (eight == 0) continue;  // almost all
    for (int64_t c = first; c < first + 8; ++c) words[EndWord(c)] |= static_cast<uint32_t>(flags[c]) << EndBit(c);
  }
}

}  // namespace

QWT_WIDE_CLONES void CarriersOf(const float* __restrict__ x, int64_t n, const Carrier& carrier,
                                uint8_t* __restrict__ codes) {
  const float inverse_scale = carrier.inverse_scale, zero = carrier.zero, top = carrier.top;
  for (int64_t i = 0; i < n; ++i) codes[i] = Clamped(RoundedStep(x[i], inverse_scale, zero), top);
}

QWT_WIDE_CLONES void CarriersAndEndsOf(const float* __restrict__ x, int64_t n, const Carrier& carrier,
                                       uint8_t* __restrict__ codes, uint8_t* __restrict__ ends) {
  const float inverse_scale = carrier.inverse_scale, zero = carrier.zero, top = carrier.top;
  const float low = carrier.low, high = carrier.high;
  for (int64_t i = 0; i < n; ++i) {
    const float step = RoundedStep(x[i], inverse_scale, zero);
    codes[i] = Clamped(step, top);
    ends[i] = static_cast<uint8_t>((step <= low) | (step >= high));
  }
}

void Activate(Activation activation, float* x, int64_t n) {
  if (activation == Activation::kRelu) {
    for (int64_t i = 0; i < n; ++i) x[i] = std::max(x[i], 0.0f);
  } else if (activation == Activation::kGelu) {
    at::Tensor values = at::from_blob(x, {n}, at::TensorOptions(at::kFloat));
    at::gelu_(values);
  }
}

void QuantizeOnVectors(const QuantizeArguments& a) {
  std::vector<float> activated(a.activation == Activation::kNone ? 0 : a.columns);
  for (int64_t row = 0; row < a.rows; ++row) {
    const float* x = a.x + row * a.columns;
    if (!activated.empty()) {
      std::copy_n(x, a.columns, activated.begin());
      Activate(a.activation, activated.data(), a.columns);
      x = activated.data();
    }
    CarriersOf(x, a.columns, a.carrier, a.out + row * a.pitch);
  }
}

void NormQuantizeOnVectors(const NormQuantizeArguments& a) {
  std::vector<float> y(a.columns);
  std::vector<uint8_t> flags(a.columns + 8);
  for (int64_t row = 0; row < a.rows; ++row) {
    Normalize(a.x + MappedRow(a.map, row) * a.columns, a.columns, a.weight, a.bias, a.epsilon, y.data());
    uint8_t* out = a.out + row * a.pitch;
    if (a.ends_offset == 0) {
      CarriersOf(y.data(), a.columns, a.carrier, out);
    } else {
      CarriersAndEndsOf(y.data(), a.columns, a.carrier, out, flags.data());
      PackEnds(flags.data(), a.columns, reinterpret_cast<uint32_t*>(out + a.ends_offset));
    }
  }
}

void PatchQuantizeOnVectors(const PatchQuantizeArguments& a) {
  const int64_t positions = a.out_height * a.out_width, image = a.channels * a.height * a.width;
  std::vector<uint8_t> codes(image);
  const float nothing = 0;
  uint8_t beyond;
  CarriersOf(&nothing, 1, a.carrier, &beyond);
  for (int64_t row = 0; row < a.images * positions; ++row) {
    if (row % positions == 0) CarriersOf(a.x + row / positions * image, image, a.carrier, codes.data());
    const int64_t top = row % positions / a.out_width * a.stride - a.padding;
    const int64_t left = row % a.out_width * a.stride - a.padding;
    // What of a line of the kernel lies in the image.
    const int64_t from = std::clamp<int64_t>(-left, 0, a.kernel), to = std::clamp(a.width - left, from, a.kernel);
    uint8_t* out = a.out + row * a.pitch;
    for (int64_t line = 0; line < a.channels * a.kernel; ++line, out += a.kernel) {
      const int64_t y = top + line % a.kernel;
      const bool inside = y >= 0 && y < a.height;
      if (!inside || from > 0 || to < a.kernel) std::fill_n(out, a.kernel, beyond);
      const uint8_t* pixels = codes.data() + (line / a.kernel * a.height + y) * a.width + left;
      if (inside) std::copy(pixels + from, pixels + to, out + from);
    }
  }
}

}  // namespace qwt
