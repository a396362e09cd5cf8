#include "data/transforms/lookup.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>

#include "ATen/ops/empty.h"

namespace qwt {
namespace {

constexpr int kChannels = 3;
constexpr int kValues = 256;
using Table = std::array<uint8_t, kValues>;
using Histogram = std::array<int64_t, kValues>;

uint8_t ToByte(int64_t value) { return static_cast<uint8_t>(std::clamp<int64_t>(value, 0, kValues - 1)); }

at::Tensor Apply(const at::Tensor& image, const std::array<Table, kChannels>& tables) {
  const int64_t area = image.size(0) * image.size(1);
  at::Tensor result = at::empty({image.size(0), image.size(1), kChannels}, at::kByte);
  const uint8_t* input = image.const_data_ptr<uint8_t>();
  uint8_t* output = result.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < kChannels * area; i += kChannels) {
    for (int c = 0; c < kChannels; ++c) output[i + c] = tables[c][input[i + c]];
  }
  return result;
}

// The same for all channels: function(value) of every byte, clipped.
template <typename Function>
at::Tensor ApplyToEach(const at::Tensor& pixels, const Function& function) {
  Table table;
  for (int value = 0; value < kValues; ++value) table[value] = ToByte(function(value));
  return Apply(pixels.contiguous(), {table, table, table});
}

// Of each channel by itself: make_table(histogram).
template <typename Function>
at::Tensor ApplyByHistogram(const at::Tensor& pixels, const Function& make_table) {
  const at::Tensor image = pixels.contiguous();
  const uint8_t* input = image.const_data_ptr<uint8_t>();
  std::array<Histogram, kChannels> histograms = {};
  for (int64_t i = 0; i < image.numel(); i += kChannels) {
    for (int c = 0; c < kChannels; ++c) ++histograms[c][input[i + c]];
  }
  return Apply(image, {make_table(histograms[0]), make_table(histograms[1]), make_table(histograms[2])});
}

Table Identity() {
  Table table;
  std::iota(table.begin(), table.end(), 0);
  return table;
}

bool IsPresent(int64_t count) { return count > 0; }

int Least(const Histogram& histogram) {
  return static_cast<int>(std::find_if(histogram.begin(), histogram.end(), IsPresent) - histogram.begin());
}

int Greatest(const Histogram& histogram) {
  return static_cast<int>(histogram.rend() - std::find_if(histogram.rbegin(), histogram.rend(), IsPresent)) - 1;
}

Table StretchTable(const Histogram& histogram) {
  const int low = Least(histogram), high = Greatest(histogram);
  if (high <= low) return Identity();
  const double scale = 255.0 / (high - low), offset = -low * scale;
  Table table;
  for (int value = 0; value < kValues; ++value) table[value] = ToByte(static_cast<int64_t>(value * scale + offset));
  return table;
}

Table EqualizeTable(const Histogram& histogram) {
  const int greatest = Greatest(histogram);
  if (Least(histogram) >= greatest) return Identity();
  // All pixels but those of the greatest value.
  const int64_t step = std::accumulate(histogram.begin(), histogram.begin() + greatest, int64_t{0}) / 255;
  if (step == 0) return Identity();
  Table table;
  int64_t below = step / 2;
  for (int value = 0; value < kValues; below += histogram[value++]) table[value] = ToByte(below / step);
  return table;
}

}  // namespace

at::Tensor AutoContrast(const at::Tensor& pixels) { return ApplyByHistogram(pixels, StretchTable); }

at::Tensor Equalize(const at::Tensor& pixels) { return ApplyByHistogram(pixels, EqualizeTable); }

at::Tensor Invert(const at::Tensor& pixels) {
  return ApplyToEach(pixels, [](int value) { return 255 - value; });
}

at::Tensor Posterize(const at::Tensor& pixels, int bits) {
  return ApplyToEach(pixels, [bits](int value) { return value & ~((1 << (8 - bits)) - 1); });
}

at::Tensor Solarize(const at::Tensor& pixels, int threshold) {
  return ApplyToEach(pixels, [threshold](int value) { return value < threshold ? value : 255 - value; });
}

at::Tensor SolarizeAdd(const at::Tensor& pixels, int add) {
  return ApplyToEach(pixels, [add](int value) { return value < 128 ? value + add : value; });
}

}  // namespace qwt
