#include "data/transforms/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ATen/ops/empty.h"

namespace qwt {
namespace {

constexpr int kChannels = 3;
constexpr int kPrecisionBits = 22;
constexpr double kSupport = 2.0;

double BicubicKernel(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// One output pixel is the weighted sum of the inputs [first, first + weights.size()).
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

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
      taps.weights.push_back(static_cast<int32_t>(weight * (1 << kPrecisionBits) + (weight < 0 ? -0.5 : 0.5)));
    }
  }
  return all;
}

uint8_t ToByte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255)); }

// Weighted sum of pixels `stride` bytes apart.
void Apply(const Taps& taps, const uint8_t* source, int64_t stride, uint8_t* target) {
  int32_t sums[kChannels] = {1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1), 1 << (kPrecisionBits - 1)};
  const uint8_t* pixel = source + taps.first * stride;
  for (int32_t weight : taps.weights) {
    for (int c = 0; c < kChannels; ++c) sums[c] += weight * pixel[c];
    pixel += stride;
  }
  for (int c = 0; c < kChannels; ++c) target[c] = ToByte(sums[c]);
}

}  // namespace

at::Tensor ResizeBicubicAndCrop(const at::Tensor& pixels, int64_t height, int64_t width, const Box& box) {
  // Rows may lie apart, as those of a part of an image do.
  const bool rows_are_contiguous = pixels.stride(1) == kChannels && pixels.stride(2) == 1;
  const at::Tensor source = rows_are_contiguous ? pixels : pixels.contiguous();
  const int64_t source_height = source.size(0), source_width = source.size(1);
  // A pass whose size does not change has one tap of weight 1 and so is the identity.
  const std::vector<Taps> columns = MakeTaps(source_width, width, box.left, box.left + box.width);
  const std::vector<Taps> rows = MakeTaps(source_height, height, box.top, box.top + box.height);
  const int64_t first_row = rows.front().first;
  const int64_t end_row = rows.back().first + static_cast<int64_t>(rows.back().weights.size());

  std::vector<uint8_t> narrowed((end_row - first_row) * box.width * kChannels);
  const uint8_t* input = source.const_data_ptr<uint8_t>();
  for (int64_t y = first_row; y < end_row; ++y) {
    uint8_t* target = &narrowed[(y - first_row) * box.width * kChannels];
    for (const Taps& taps : columns) {
      Apply(taps, input + y * source.stride(0), kChannels, target);
      target += kChannels;
    }
  }

  at::Tensor result = at::empty({box.height, box.width, kChannels}, at::kByte);
  uint8_t* target = result.mutable_data_ptr<uint8_t>();
  for (Taps taps : rows) {
    taps.first -= first_row;
    for (int64_t x = 0; x < box.width; ++x, target += kChannels) {
      Apply(taps, &narrowed[x * kChannels], box.width * kChannels, target);
    }
  }
  return result;
}

}  // namespace qwt
