#include "data/transforms/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ATen/ops/empty.h"
#include "data/transforms/resample.h"

namespace qwt {
namespace {

constexpr int kChannels = kResampleChannels;
constexpr double kSupport = 2.0;

double BicubicKernel(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// The taps of outputs [from, to) of a pass from `inputs` to `outputs` pixels.
std::vector<Taps> MakeTaps(int64_t inputs, int64_t outputs, int64_t from, int64_t to) {
  const double scale = static_cast<double>(inputs) / outputs;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kSupport * filter_scale;
  const double inverse = 1.0 / filter_scale;
  std::vector<Taps> all(to - from);
  for (int64_t output = from; output < to; ++output) {
    Taps& taps = all[output - from];
    const double center = (output + 0.5) * scale;
    taps.first = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t end = std::min<int64_t>(static_cast<int64_t>(center + support + 0.5), inputs);
    std::vector<double> weights;
    double sum = 0;
    for (int64_t i = taps.first; i < end; ++i) {
      weights.push_back(BicubicKernel((i - center + 0.5) * inverse));
      sum += weights.back();
    }
    for (double weight : weights) {
      if (sum != 0.0) weight /= sum;
      taps.weights.push_back(static_cast<int32_t>(weight * (1 << kResampleBits) + (weight < 0 ? -0.5 : 0.5)));
    }
  }
  return all;
}

}  // namespace

at::Tensor ResizeBicubicAndCrop(const at::Tensor& pixels, int64_t height, int64_t width, const Box& box) {
  // Rows may lie apart, as those of a part of an image do.
  const bool rows_are_contiguous = pixels.stride(1) == kChannels && pixels.stride(2) == 1;
  const at::Tensor source = rows_are_contiguous ? pixels : pixels.contiguous();
  const int64_t source_height = source.size(0), source_width = source.size(1);
  if (source_height == height && source_width == width) {  // both passes are the identity
    return source.narrow(0, box.top, box.height).narrow(1, box.left, box.width).contiguous();
  }
  // A pass whose size does not change has one tap of weight 1 and so is the identity.
  const std::vector<Taps> columns = MakeTaps(source_width, width, box.left, box.left + box.width);
  const std::vector<Taps> rows = MakeTaps(source_height, height, box.top, box.top + box.height);
  const int64_t first_row = rows.front().first;
  const int64_t end_row = rows.back().first + static_cast<int64_t>(rows.back().weights.size());

  const int64_t row_bytes = box.width * kChannels;
  std::vector<uint8_t> narrowed((end_row - first_row) * row_bytes);
  const uint8_t* input = source.const_data_ptr<uint8_t>();
  RowResampler resampler(columns, source_width);
  for (int64_t y = first_row; y < end_row; ++y) {
    resampler.Run(input + y * source.stride(0), &narrowed[(y - first_row) * row_bytes]);
  }

  at::Tensor result = at::empty({box.height, box.width, kChannels}, at::kByte);
  uint8_t* target = result.mutable_data_ptr<uint8_t>();
  for (const Taps& taps : rows) {
    ResampleColumns(taps.weights, &narrowed[(taps.first - first_row) * row_bytes], row_bytes, target);
    target += row_bytes;
  }
  return result;
}

}  // namespace qwt
