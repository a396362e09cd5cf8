#include "data/transforms/blend.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "ATen/ops/empty.h"

namespace qwt {
namespace {

constexpr int kChannels = 3;
using Values = std::array<int, kChannels>;

uint8_t Blend(int lacking, int value, float factor) {
  const float blended = static_cast<float>(lacking) + factor * static_cast<float>(value - lacking);
  return static_cast<uint8_t>(std::clamp(blended, 0.0f, 255.0f));
}

// Weights of ITU-R 601 in 16 bits, rounded.
int Luma(const uint8_t* pixel) { return (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 32768) >> 16; }

// lacking(pixel, y, x) gives the Values that belong to a pixel.
template <typename Lacking>
at::Tensor BlendImage(const at::Tensor& image, double factor, const Lacking& lacking) {
  const int64_t height = image.size(0), width = image.size(1);
  const uint8_t* pixel = image.const_data_ptr<uint8_t>();
  at::Tensor result = at::empty({height, width, kChannels}, at::kByte);
  uint8_t* target = result.mutable_data_ptr<uint8_t>();
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x, pixel += kChannels, target += kChannels) {
      const Values values = lacking(pixel, y, x);
      for (int c = 0; c < kChannels; ++c) target[c] = Blend(values[c], pixel[c], static_cast<float>(factor));
    }
  }
  return result;
}

Values Smooth(const uint8_t* pixel, int64_t row_bytes) {
  Values values;
  for (int c = 0; c < kChannels; ++c) {
    int sum = 4 * pixel[c];
    for (int64_t y : {-row_bytes, int64_t{0}, row_bytes}) {
      for (int x : {-kChannels, 0, kChannels}) sum += pixel[y + x + c];
    }
    values[c] = (sum + 6) / 13;
  }
  return values;
}

}  // namespace

at::Tensor AdjustColour(const at::Tensor& pixels, double factor) {
  return BlendImage(pixels.contiguous(), factor, [](const uint8_t* pixel, int64_t, int64_t) {
    const int luma = Luma(pixel);
    return Values{luma, luma, luma};
  });
}

at::Tensor AdjustContrast(const at::Tensor& pixels, double factor) {
  const at::Tensor image = pixels.contiguous();
  const int64_t area = image.size(0) * image.size(1);
  const uint8_t* input = image.const_data_ptr<uint8_t>();
  int64_t sum = 0;
  for (int64_t i = 0; i < area; ++i) sum += Luma(input + kChannels * i);
  const int mean = static_cast<int>(static_cast<double>(sum) / static_cast<double>(area) + 0.5);
  return BlendImage(image, factor, [mean](const uint8_t*, int64_t, int64_t) { return Values{mean, mean, mean}; });
}

at::Tensor AdjustBrightness(const at::Tensor& pixels, double factor) {
  return BlendImage(pixels.contiguous(), factor, [](const uint8_t*, int64_t, int64_t) { return Values{0, 0, 0}; });
}

at::Tensor AdjustSharpness(const at::Tensor& pixels, double factor) {
  const int64_t height = pixels.size(0), width = pixels.size(1);
  return BlendImage(pixels.contiguous(), factor, [=](const uint8_t* pixel, int64_t y, int64_t x) {
    const bool inside = y > 0 && y < height - 1 && x > 0 && x < width - 1;
    return inside ? Smooth(pixel, width * kChannels) : Values{pixel[0], pixel[1], pixel[2]};
  });
}

}  // namespace qwt
