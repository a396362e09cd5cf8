#include "quant/kernels/log_sqrt2.h"

#include <array>
#include <cmath>
#include <cstring>

namespace qwt {
namespace {

int32_t BitsOf(float value) {
  int32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float FloatOf(int32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

int RoundedLog(float ratio) {
  const float log = static_cast<float>(std::log2(static_cast<double>(ratio)));
  return static_cast<int>(std::nearbyint(-2.0f * log));
}

// A float of biased exponent e starts at code 2·(127 - e); past first[e] (as bits) it is one code lower, past second[e]
// two.
struct Thresholds {
  std::array<int32_t, 256> first, second;

  Thresholds() {
    first.fill(INT32_MAX);
    second.fill(INT32_MAX);
    for (int32_t e = 1; e < 255; ++e) {
      first[e] = FirstAtMost(e, 2 * (127 - e) - 1);
      second[e] = FirstAtMost(e, 2 * (127 - e) - 2);
    }
  }

  // The smallest float of exponent e (as bits) whose code is at most `code`, or the next exponent's first float.
  static int32_t FirstAtMost(int32_t e, int code) {
    int32_t low = e << 23, high = (e + 1) << 23;
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      if (RoundedLog(FloatOf(middle)) <= code) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
};

const Thresholds& GetThresholds() {
  static const Thresholds thresholds;
  return thresholds;
}

inline int CodeOf(const Thresholds& thresholds, float ratio, float floor, int zero_code) {
  ratio = ratio > floor ? ratio : floor;
  const int32_t bits = BitsOf(ratio);
  const int32_t e = bits >> 23;
  if (e == 0) return zero_code;
  const int code = 2 * (127 - e) - (bits >= thresholds.first[e]) - (bits >= thresholds.second[e]);
  return code < 0 ? 0 : (code < zero_code ? code : zero_code);
}

// Values of all codes of one channel.
struct Values {
  std::array<float, 256> of;

  Values(float scale, int zero_code) {
    of.fill(0.0f);
    const float root = static_cast<float>(std::sqrt(2.0));
    for (int code = 0; code < zero_code; ++code) {
      const float power = std::ldexp(scale, -((code + 1) / 2));
      of[code] = code % 2 ? power * root : power;
    }
  }
};

template <typename From, typename To, typename Map>
void Walk(const LogSqrt2Arguments& a, const From* x, To* y, const Map& map) {
  for (int64_t c = 0; c < a.channels; ++c) {
    const Values values(a.scale[c], a.zero_code);
    for (int64_t outer = 0; outer < a.outer; ++outer) {
      const int64_t start = (outer * a.channels + c) * a.inner;
      for (int64_t i = start; i < start + a.inner; ++i) y[i] = map(x[i], a.scale[c], values);
    }
  }
}

}  // namespace

void LogSqrt2Apply(const LogSqrt2Arguments& a, const float* x, float* y) {
  const Thresholds& thresholds = GetThresholds();
  Walk(a, x, y, [&](float value, float scale, const Values& values) {
    if (value != value) return value;
    return values.of[CodeOf(thresholds, value / scale, a.floor, a.zero_code)];
  });
}

void LogSqrt2Codes(const LogSqrt2Arguments& a, const float* x, uint8_t* codes) {
  const Thresholds& thresholds = GetThresholds();
  Walk(a, x, codes, [&](float value, float scale, const Values&) {
    return static_cast<uint8_t>(CodeOf(thresholds, value / scale, a.floor, a.zero_code));
  });
}

void LogSqrt2Dequantize(const LogSqrt2Arguments& a, const uint8_t* codes, float* y) {
  Walk(a, codes, y, [](uint8_t code, float, const Values& values) { return values.of[code]; });
}

}  // namespace qwt
