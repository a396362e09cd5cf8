#include "quant/kernels/log_sqrt2.h"

#include <array>
#include <cmath>
#include <cstring>

#include "quant/kernels/clones.h"

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

// The smallest float of biased exponent e (as bits) whose code is at most `code`, or the next exponent's first float.
int32_t FirstAtMost(int32_t e, int code) {
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

LogSqrt2Thresholds MakeThresholds() {
  LogSqrt2Thresholds thresholds;
  for (int32_t e = 0; e < 256; ++e) {
    const bool normal = e > 0 && e < 255;
    thresholds.first[e] = normal ? FirstAtMost(e, 2 * (127 - e) - 1) : INT32_MAX;
    thresholds.second[e] = normal ? FirstAtMost(e, 2 * (127 - e) - 2) : INT32_MAX;
  }
  return thresholds;
}

// Without branches, for the vectoriser. A zero or subnormal ratio (e = 0) has a code above every power's.
inline int32_t CodeOf(const int32_t* first, const int32_t* second, float ratio, float floor, int32_t zero_code) {
  ratio = ratio > floor ? ratio : floor;
  const int32_t bits = BitsOf(ratio);
  const int32_t e = bits >> 23;
  const int32_t code = 2 * (127 - e) + (e == 0) - (bits >= first[e]) - (bits >= second[e]);
  const int32_t positive = code < 0 ? 0 : code;
  return positive < zero_code ? positive : zero_code;
}

QWT_VECTOR_CLONES void ApplyRun(const LogSqrt2Thresholds& thresholds, const float* x, float* __restrict__ y, int64_t n,
                                float scale, float floor, int32_t zero_code, const float* values) {
  const int32_t *first = thresholds.first, *second = thresholds.second;
  for (int64_t i = 0; i < n; ++i) {
    const float value = values[CodeOf(first, second, x[i] / scale, floor, zero_code)];
    y[i] = x[i] != x[i] ? x[i] : value;
  }
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

// map(x, y, n, scale, values) for each run of one channel.
template <typename From, typename To, typename Map>
void Walk(const LogSqrt2Arguments& a, const From* x, To* y, const Map& map) {
  for (int64_t c = 0; c < a.channels; ++c) {
    const Values values(a.scale[c], a.zero_code);
    for (int64_t outer = 0; outer < a.outer; ++outer) {
      const int64_t start = (outer * a.channels + c) * a.inner;
      map(x + start, y + start, a.inner, a.scale[c], values.of.data());
    }
  }
}

}  // namespace

const LogSqrt2Thresholds& GetLogSqrt2Thresholds() {
  static const LogSqrt2Thresholds thresholds = MakeThresholds();
  return thresholds;
}

void LogSqrt2Apply(const LogSqrt2Arguments& a, const float* x, float* y) {
  const LogSqrt2Thresholds& thresholds = GetLogSqrt2Thresholds();
  Walk(a, x, y, [&](const float* from, float* to, int64_t n, float scale, const float* values) {
    ApplyRun(thresholds, from, to, n, scale, a.floor, a.zero_code, values);
  });
}

void LogSqrt2Codes(const LogSqrt2Arguments& a, const float* x, uint8_t* codes) {
  const LogSqrt2Thresholds& thresholds = GetLogSqrt2Thresholds();
  Walk(a, x, codes, [&](const float* from, uint8_t* to, int64_t n, float scale, const float*) {
    for (int64_t i = 0; i < n; ++i) {
      to[i] = static_cast<uint8_t>(CodeOf(thresholds.first, thresholds.second, from[i] / scale, a.floor, a.zero_code));
    }
  });
}

void LogSqrt2Dequantize(const LogSqrt2Arguments& a, const uint8_t* codes, float* y) {
  Walk(a, codes, y, [](const uint8_t* from, float* to, int64_t n, float, const float* values) {
    for (int64_t i = 0; i < n; ++i) to[i] = values[from[i]];
  });
}

}  // namespace qwt
