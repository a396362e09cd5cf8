// What the plain loops share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "quant/integer/kernels/kernels.h"

namespace qwt {
namespace {

inline float Rounded(float x, const Carrier& c) { return std::nearbyint(x * c.inverse_scale) + c.zero; }
inline uint8_t CarrierOf(float x, const Carrier& c) {
  return static_cast<uint8_t>(std::clamp(Rounded(x, c), 0.0f, c.top));
}

inline float Activate(float x, Activation activation) {
  if (activation == Activation::kGelu) return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752440f));
  return activation == Activation::kRelu ? std::max(x, 0.0f) : x;
}

}  // namespace

// Σ a·w.
int32_t Dot(const uint8_t* a, const int8_t* w, int64_t depth);

}  // namespace qwt
