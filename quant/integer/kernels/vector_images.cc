#include <algorithm>
#include <cstring>
#include <vector>

#include "quant/integer/kernels/vector_product.h"
#include "quant/integer/kernels/vector_rows.h"
#include "quant/integer/kernels/vectors.h"

namespace qwt {
namespace {

constexpr int64_t kFewChannels = 4;

// What a convolution sees at one position after the other, as rows of a product.
class Gatherer {
 public:
  explicit Gatherer(const ConvolutionArguments& a)
      : a_(a),
        pitch_(a.product.a_pitch),
        line_(KernelLineBytes(a.windows.kernel, pitch_)),
        clears_(a.product.row_sum_scale != nullptr && a.channels < pitch_) {
    // What lies beyond the image, a line long.
    for (int64_t i = 0; i < line_; ++i) beyond_.push_back(a.border[i % 16]);
  }

  // row: product.depth bytes.
  void Gather(int64_t m, uint8_t* row) const {
    const PixelWindows& w = a_.windows;
    const int64_t positions = w.out_height * w.out_width, image = m / positions;
    const int64_t top = m % positions / w.out_width * w.stride - w.padding;
    const int64_t left = m % w.out_width * w.stride - w.padding;
    const int64_t from = std::clamp<int64_t>(-left, 0, w.kernel), to = std::clamp(w.width - left, from, w.kernel);
    for (int64_t ky = 0; ky < w.kernel; ++ky, row += line_) {
      const int64_t y = top + ky;
      const bool inside = y >= 0 && y < w.height && from < to;
      if (!inside || from > 0 || to < w.kernel) std::copy_n(beyond_.data(), w.kernel * pitch_, row);
      if (!inside) continue;
      const uint8_t* pixels = a_.product.a + ((image * w.height + y) * w.width + left + from) * pitch_;
      std::copy_n(pixels, (to - from) * pitch_, row + from * pitch_);
      for (int64_t kx = from; kx < to && clears_; ++kx) {
        std::fill_n(row + kx * pitch_ + a_.channels, pitch_ - a_.channels, uint8_t{0});
      }
    }
  }

  // Whether rows are pixels as they lie.
  bool IsCopy() const {
    const PixelWindows& w = a_.windows;
    return w.kernel == 1 && w.stride == 1 && w.padding == 0 && a_.product.depth == pitch_ && !clears_;
  }

 private:
  const ConvolutionArguments& a_;
  const int64_t pitch_, line_;
  const bool clears_;  // rows' sums count no byte beyond the channels
  std::vector<uint8_t> beyond_;
};

QWT_WIDE_CLONES void AddBias(const float* __restrict__ bias, int64_t n, float* __restrict__ y) {
  for (int64_t i = 0; i < n; ++i) y[i] += bias[i];
}

QWT_WIDE_CLONES void Interleave(const uint8_t* const* channels, int64_t n, uint8_t* __restrict__ pixels) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 0; c < kFewChannels; ++c) pixels[i * kFewChannels + c] = channels[c][i];
  }
}

}  // namespace

void PixelQuantizeOnVectors(const PixelQuantizeArguments& a) {
  if (a.channels > kFewChannels || a.pitch != kFewChannels) return PixelQuantizeOnCpu(a);
  std::vector<uint8_t> codes(kFewChannels * a.positions);  // by channel, zeros beyond them
  const uint8_t* channels[kFewChannels];
  for (int64_t c = 0; c < kFewChannels; ++c) channels[c] = codes.data() + c * a.positions;
  for (int64_t image = 0; image < a.images; ++image) {
    CarriersOf(a.x + image * a.channels * a.positions, a.channels * a.positions, a.carrier, codes.data());
    Interleave(channels, a.positions, a.out + image * a.positions * kFewChannels);
  }
}

void ConvolutionOnVectors(const ConvolutionArguments& a) {
  const ProductArguments& p = a.product;
  // What is added in float16 is for GPUs.
  if (!HasInt8Products() || p.addend != nullptr || a.residual_weight != nullptr) return ConvolutionOnCpu(a);
  ProductArguments rows_of_gathered = p;
  rows_of_gathered.a_pitch = p.depth;
  rows_of_gathered.codes = nullptr;
  VectorProduct product(rows_of_gathered);
  const Gatherer gatherer(a);
  const int64_t most = std::min(p.rows, VectorProduct::kRows);
  std::vector<uint8_t> gathered(gatherer.IsCopy() ? 0 : most * p.depth);
  std::vector<float> floats(p.out == nullptr ? most * p.columns : 0);
  for (int64_t first = 0; first < p.rows; first += most) {
    const int64_t rows = std::min(most, p.rows - first);
    for (int64_t i = 0; i < rows && !gathered.empty(); ++i) gatherer.Gather(first + i, gathered.data() + i * p.depth);
    const uint8_t* seen = gathered.empty() ? p.a + first * p.depth : gathered.data();
    float* y = p.out == nullptr ? floats.data() : p.out + first * p.columns;
    product.Run(seen, rows, y, p.residual == nullptr ? nullptr : p.residual + first * p.columns);
    for (int64_t i = 0; i < rows; ++i, y += p.columns) {
      Activate(p.activation, y, p.columns);
      if (a.addend_bias != nullptr) AddBias(a.addend_bias, p.columns, y);
      if (p.codes != nullptr) CarriersOf(y, p.columns, p.carriers[0], p.codes + (first + i) * p.code_pitch);
    }
  }
}

}  // namespace qwt
