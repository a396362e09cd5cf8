#include <algorithm>
#include <cmath>

#include "data/transforms/augmentation.h"
#include "data/transforms/crops.h"

namespace qwt {
namespace {

// The mean colour; 127.5 becomes 128, half to even as Python's round().
Colour Fill(const Preset& preset) {
  Colour fill;
  for (int c = 0; c < 3; ++c)
    fill[c] = static_cast<uint8_t>(std::clamp(std::nearbyint(255 * preset.mean[c]), 0.0, 255.0));
  return fill;
}

}  // namespace

at::Tensor TrainCrop(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width, uint64_t seed,
                     uint64_t image) {
  const Augmentation augmentation = DrawAugmentation(pixels.size(0), pixels.size(1), seed, image);
  return Augment(pixels, augmentation, height, width, Fill(preset));
}

}  // namespace qwt
