// The kernels for images as plain loops.
#include <algorithm>
#include <limits>
#include <vector>

#include "c10/util/Half.h"
#include "quant/integer/kernels/cpu.h"

namespace qwt {
namespace {

// Calls visit(ky, kx, pixel) for what window m sees; pixel: the index of it among all images' pixels, -1 beyond them.
template <typename Visit>
void VisitWindow(const PixelWindows& w, int64_t m, Visit visit) {
  const int64_t positions = w.out_height * w.out_width, image = m / positions;
  const int64_t top = m % positions / w.out_width * w.stride - w.padding;
  const int64_t left = m % w.out_width * w.stride - w.padding;
  for (int64_t ky = 0; ky < w.kernel; ++ky) {
    for (int64_t kx = 0; kx < w.kernel; ++kx) {
      const int64_t y = top + ky, x = left + kx;
      const bool inside = y >= 0 && y < w.height && x >= 0 && x < w.width;
      visit(ky, kx, inside ? (image * w.height + y) * w.width + x : -1);
    }
  }
}

// Of output n at position m.
float Addend(const ConvolutionArguments& a, int64_t m, int64_t n) {
  const ProductArguments& p = a.product;
  const int64_t at = m * p.columns + n;
  if (p.addend != nullptr) return static_cast<const c10::Half*>(p.addend)[at];
  if (a.residual_weight == nullptr) return 0;
  const float* residual = p.residual + at - n % kResidualGroup;
  const auto* weight = static_cast<const c10::Half*>(a.residual_weight) + n * kResidualGroup;
  float sum = 0;
  for (int64_t k = 0; k < kResidualGroup; ++k) sum += static_cast<float>(c10::Half(residual[k])) * weight[k];
  return c10::Half(sum);
}

}  // namespace

void PixelQuantizeOnCpu(const PixelQuantizeArguments& a) {
  for (int64_t row = 0; row < a.images * a.positions; ++row) {
    const float* x = a.x + row / a.positions * a.channels * a.positions + row % a.positions;
    for (int64_t c = 0; c < a.pitch; ++c) {
      a.out[row * a.pitch + c] = c < a.channels ? CarrierOf(x[c * a.positions], a.carrier) : 0;
    }
  }
}

void MaxPoolOnCpu(const MaxPoolArguments& a) {
  for (int64_t m = 0; m < a.windows.images * a.windows.out_height * a.windows.out_width; ++m) {
    float* out = a.out + m * a.channels;
    std::fill_n(out, a.channels, -std::numeric_limits<float>::infinity());
    VisitWindow(a.windows, m, [&](int64_t, int64_t, int64_t pixel) {
      for (int64_t c = 0; c < a.channels && pixel >= 0; ++c) out[c] = std::max(out[c], a.x[pixel * a.channels + c]);
    });
  }
}

void ConvolutionOnCpu(const ConvolutionArguments& a) {
  const ProductArguments& p = a.product;
  const int64_t line = KernelLineBytes(a.windows.kernel, p.a_pitch);
  std::vector<uint8_t> row(p.depth);
  for (int64_t m = 0; m < p.rows; ++m) {
    int32_t row_sum = 0;
    VisitWindow(a.windows, m, [&](int64_t ky, int64_t kx, int64_t pixel) {
      for (int64_t c = 0; c < a.channels; ++c) {
        const uint8_t code = pixel < 0 ? a.border[c % 16] : p.a[pixel * p.a_pitch + c];
        row[ky * line + kx * p.a_pitch + c] = code;
        row_sum += code;
      }
    });
    for (int64_t n = 0; n < p.columns; ++n) {
      float v = static_cast<float>(Dot(row.data(), p.w + n * p.w_pitch, p.depth)) * p.scale[n] + p.bias[n];
      if (p.row_sum_scale != nullptr) v += static_cast<float>(row_sum) * p.row_sum_scale[n];
      const int64_t at = m * p.columns + n;
      if (p.residual != nullptr) v += p.residual[at];
      float y = Activate(v, p.activation) + Addend(a, m, n);
      if (a.addend_bias != nullptr) y += a.addend_bias[n];
      if (p.out != nullptr) p.out[at] = y;
      if (p.codes != nullptr) p.codes[m * p.code_pitch + n] = CarrierOf(y, p.carriers[0]);
    }
  }
}

}  // namespace qwt
