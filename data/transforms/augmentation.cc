#include "data/transforms/augmentation.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ATen/ops/empty.h"
#include "core/base/random.h"

namespace qwt {
namespace {

// timm's RandomResizedCropAndInterpolation: parts of the image's area, width / height.
constexpr int kTries = 10;
constexpr double kLeastArea = 0.08, kGreatestArea = 1;
constexpr double kLeastRatio = 3.0 / 4, kGreatestRatio = 4.0 / 3;
// rand-m9-mstd0.5
constexpr double kMagnitude = 9, kMagnitudeDeviation = 0.5, kGreatestMagnitude = 10;

// The keys of an image's numbers. Stored results depend on them: they must never change.
constexpr uint64_t kTopDraw = 0, kLeftDraw = 1, kMirrorDraw = 2;
constexpr uint64_t kOpDraws = 16;   // four for each: which, applied, magnitude, sign
constexpr uint64_t kTryDraws = 32;  // two for each: area, ratio

bool DrawHalf(uint64_t key, uint64_t draw) { return RandomUniform(key, draw) < 0.5; }

double DrawBetween(uint64_t key, uint64_t draw, double low, double high) {
  return low + (high - low) * RandomUniform(key, draw);
}

// Half to even, as Python's round().
int64_t Round(double value) { return std::llrint(value); }

Box DrawCrop(int64_t height, int64_t width, uint64_t key) {
  for (int i = 0; i < kTries; ++i) {
    const uint64_t draw = kTryDraws + 2 * i;
    const double area = DrawBetween(key, draw, kLeastArea, kGreatestArea) * static_cast<double>(width * height);
    const double ratio = std::exp(DrawBetween(key, draw + 1, std::log(kLeastRatio), std::log(kGreatestRatio)));
    const int64_t w = Round(std::sqrt(area * ratio)), h = Round(std::sqrt(area / ratio));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    return {RandomBelow(key, kTopDraw, height - h + 1), RandomBelow(key, kLeftDraw, width - w + 1), h, w};
  }
  // The central part, as much as the ratios allow.
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  const int64_t h = ratio < kLeastRatio ? Round(static_cast<double>(width) / kLeastRatio) : height;
  const int64_t w = ratio > kGreatestRatio ? Round(static_cast<double>(height) * kGreatestRatio) : width;
  return {(height - h) / 2, (width - w) / 2, h, w};
}

DrawnOp DrawOp(uint64_t key, uint64_t draw) {
  const auto& ops = AugmentOps();
  DrawnOp drawn;
  drawn.op = &ops[RandomBelow(key, draw, ops.size())];
  drawn.applied = DrawHalf(key, draw + 1);
  drawn.magnitude = std::clamp(kMagnitude + kMagnitudeDeviation * RandomNormal(key, draw + 2), 0.0, kGreatestMagnitude);
  drawn.sign = DrawHalf(key, draw + 3) ? -1 : 1;
  return drawn;
}

at::Tensor Mirror(const at::Tensor& image) {
  const int64_t height = image.size(0), width = image.size(1);
  at::Tensor result = at::empty({height, width, 3}, at::kByte);
  const uint8_t* row = image.const_data_ptr<uint8_t>();
  uint8_t* target = result.mutable_data_ptr<uint8_t>();
  for (int64_t y = 0; y < height; ++y, row += 3 * width) {
    for (int64_t x = width - 1; x >= 0; --x, target += 3) std::memcpy(target, row + 3 * x, 3);
  }
  return result;
}

}  // namespace

Augmentation DrawAugmentation(int64_t height, int64_t width, uint64_t seed, uint64_t image) {
  const uint64_t key = RandomWord(seed, image);
  Augmentation augmentation;
  augmentation.crop = DrawCrop(height, width, key);
  augmentation.mirrored = DrawHalf(key, kMirrorDraw);
  for (size_t i = 0; i < augmentation.ops.size(); ++i) augmentation.ops[i] = DrawOp(key, kOpDraws + 4 * i);
  return augmentation;
}

at::Tensor Augment(const at::Tensor& pixels, const Augmentation& augmentation, int64_t height, int64_t width,
                   const Colour& fill) {
  const Box& crop = augmentation.crop;
  // No pixel outside the crop is seen: the resize's edges are the crop's.
  const at::Tensor part = pixels.narrow(0, crop.top, crop.height).narrow(1, crop.left, crop.width);
  at::Tensor image = ResizeBicubicAndCrop(part, height, width, {0, 0, height, width});
  if (augmentation.mirrored) image = Mirror(image);
  for (const DrawnOp& drawn : augmentation.ops) {
    if (drawn.applied) image = drawn.op->apply(image, drawn.op->argument(drawn.magnitude, drawn.sign), fill);
  }
  return image;
}

}  // namespace qwt
