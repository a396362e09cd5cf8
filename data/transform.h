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

// kEval: the published evaluation: resize, centre crop. kTrain: the published augmentation of photographs for
// calibration and fit: random resized crop (area 0.08 to 1, ratio 3/4 to 4/3, bicubic), mirrored with probability 1/2,
// RandAugment `rand-m9-mstd0.5-inc1` of timm 0.4.12 with the preset's mean colour from outside.
enum class Transform { kEval, kTrain };

// What makes an image a network's input.
struct InputOptions {
  Preset preset;
  int64_t height = 0, width = 0;  // of the network's input
  Transform transform = Transform::kEval;
  uint64_t seed = 0;  // of what kTrain draws
};

// InvalidArgument where the preset cannot serve the input's size or transform, whatever the image.
absl::Status CheckInput(const InputOptions& input);

// The side that the shorter side of an image is resized to: it may be decoded smaller than it is, but not below this.
// 0: in full.
int64_t LeastSide(const InputOptions& input);

// uint8 [h, w, 3] -> uint8 [height, width, 3]: the pixels that the network sees. `image` is its index in the dataset:
// what kTrain draws depends on seed, image and [h, w] alone, not on batch size, order, workers or ranks.
// InvalidArgument as CheckInput, and where a preset without resize gets an image of another size.
absl::StatusOr<at::Tensor> Crop(const at::Tensor& pixels, const InputOptions& input, uint64_t image);

// Of a crop: float32 [3, height, width], (byte / 255 - mean) / std, each operation rounded to float32 as PyTorch does.
at::Tensor Normalise(const at::Tensor& crop, const Preset& preset);
// The same into 3 · height · width floats at `target`.
void NormaliseInto(const at::Tensor& crop, const Preset& preset, float* target);

}  // namespace qwt
