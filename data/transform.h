// Pixels to the network's input.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

namespace qwt {

// How a family of networks wants its images (algorithms: resize the shorter side to int(size / crop_pct) bicubic,
// centre crop, /255, normalise).
struct Preset {
  std::string name;
  double crop_pct = 0;  // 0: no resize; the image must already have the network's size, but for `pad`
  std::array<double, 3> mean = {};
  std::array<double, 3> std = {};
  int64_t pad = 0;  // without resize: an image that is smaller by up to this much on each side gets black pixels there
};
absl::StatusOr<Preset> FindPreset(
    const std::string& name);  // deit, vit, swin, resnet, fashion_mnist; NotFound with the nearest
std::vector<std::string> PresetNames();

// Evaluation transform: uint8 [h, w, 3] -> float32 [3, height, width], normalised. InvalidArgument where a preset
// without resize gets an image of another size.
absl::StatusOr<at::Tensor> EvalTransform(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width);

// Training transform, the published one for calibration and fit on photographs: random resized crop (area 0.08 to 1,
// ratio 3/4 to 4/3, bicubic), mirrored with probability 1/2, RandAugment `rand-m9-mstd0.5-inc1` of timm 0.4.12 with the
// preset's mean colour from outside, normalised. uint8 [h, w, 3] -> float32 [3, height, width].
// `image` is its index in the dataset. What is drawn depends on seed, image and [h, w] alone, not on batch size, order,
// workers or ranks. InvalidArgument for a preset without resize and for an input that is not square.
absl::StatusOr<at::Tensor> TrainTransform(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width,
                                          uint64_t seed, uint64_t image);

}  // namespace qwt
