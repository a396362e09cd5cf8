#include "quant/kernels/uniform.h"

#include "quant/kernels/clones.h"

namespace qwt {
namespace {

inline float Code(float x, float scale, float zero_point, float top) {
  float code = __builtin_rintf(x / scale) + zero_point;
  code = code < 0.0f ? 0.0f : code;
  return code > top ? top : code;
}

// Each of the three maps, twice: along a run of one channel, and along a row of all channels.
QWT_VECTOR_CLONES void ApplyRun(const float* x, float* y, int64_t n, float scale, float zero_point, float top) {
  for (int64_t i = 0; i < n; ++i) y[i] = (Code(x[i], scale, zero_point, top) - zero_point) * scale;
}
QWT_VECTOR_CLONES void ApplyRow(const float* x, float* y, int64_t n, const float* scale, const float* zero_point,
                                float top) {
  for (int64_t i = 0; i < n; ++i) y[i] = (Code(x[i], scale[i], zero_point[i], top) - zero_point[i]) * scale[i];
}
QWT_VECTOR_CLONES void CodesRun(const float* x, uint8_t* y, int64_t n, float scale, float zero_point, float top) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<uint8_t>(static_cast<int32_t>(Code(x[i], scale, zero_point, top)));
}
QWT_VECTOR_CLONES void CodesRow(const float* x, uint8_t* y, int64_t n, const float* scale, const float* zero_point,
                                float top) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<uint8_t>(static_cast<int32_t>(Code(x[i], scale[i], zero_point[i], top)));
  }
}
QWT_VECTOR_CLONES void DequantizeRun(const uint8_t* x, float* y, int64_t n, float scale, float zero_point, float) {
  for (int64_t i = 0; i < n; ++i) y[i] = (static_cast<float>(x[i]) - zero_point) * scale;
}
QWT_VECTOR_CLONES void DequantizeRow(const uint8_t* x, float* y, int64_t n, const float* scale, const float* zero_point,
                                     float) {
  for (int64_t i = 0; i < n; ++i) y[i] = (static_cast<float>(x[i]) - zero_point[i]) * scale[i];
}

template <typename From, typename To, typename Run, typename Row>
void Walk(const UniformArguments& a, const From* x, To* y, Run run, Row row) {
  for (int64_t outer = 0; outer < a.outer; ++outer) {
    if (a.inner == 1) {
      row(x, y, a.channels, a.scale, a.zero_point, a.top);
      x += a.channels;
      y += a.channels;
      continue;
    }
    for (int64_t c = 0; c < a.channels; ++c) {
      run(x, y, a.inner, a.scale[c], a.zero_point[c], a.top);
      x += a.inner;
      y += a.inner;
    }
  }
}

}  // namespace

void UniformApply(const UniformArguments& arguments, const float* x, float* y) {
  Walk(arguments, x, y, ApplyRun, ApplyRow);
}

void UniformCodes(const UniformArguments& arguments, const float* x, uint8_t* codes) {
  Walk(arguments, x, codes, CodesRun, CodesRow);
}

void UniformDequantize(const UniformArguments& arguments, const uint8_t* codes, float* y) {
  Walk(arguments, codes, y, DequantizeRun, DequantizeRow);
}

}  // namespace qwt
