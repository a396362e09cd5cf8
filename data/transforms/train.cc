#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "data/transform.h"
#include "data/transforms/augmentation.h"
#include "data/transforms/normalise.h"

namespace qwt {
namespace {

// The mean colour; 127.5 becomes 128, half to even as Python's round().
Colour Fill(const Preset& preset) {
  Colour fill;
  for (int c = 0; c < 3; ++c)
    fill[c] = static_cast<uint8_t>(std::clamp(std::nearbyint(255 * preset.mean[c]), 0.0, 255.0));
  return fill;
}

absl::Status CheckPreset(const Preset& preset, int64_t height, int64_t width) {
  if (preset.crop_pct == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("preset ", preset.name,
                     " has no training transform: the published augmentation cuts out and resizes parts of "
                     "photographs, and ",
                     preset.name, " is for small images that are not resized; choose the evaluation transform"));
  }
  if (height != width) {
    return absl::InvalidArgumentError(
        absl::StrCat("preset ", preset.name, " is for square inputs, the network's is ", height, " x ", width));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<at::Tensor> TrainTransform(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width,
                                          uint64_t seed, uint64_t image) {
  if (absl::Status status = CheckPreset(preset, height, width); !status.ok()) return status;
  const Augmentation augmentation = DrawAugmentation(pixels.size(0), pixels.size(1), seed, image);
  return Normalise(Augment(pixels, augmentation, height, width, Fill(preset)), preset);
}

}  // namespace qwt
