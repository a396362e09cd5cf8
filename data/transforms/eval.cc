#include <algorithm>
#include <cmath>

#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/base/strings.h"
#include "data/transform.h"
#include "data/transforms/normalise.h"
#include "data/transforms/resize.h"

namespace qwt {
namespace {

constexpr std::array<double, 3> kImageNetMean = {0.485, 0.456, 0.406};
constexpr std::array<double, 3> kImageNetStd = {0.229, 0.224, 0.225};
constexpr std::array<double, 3> kHalf = {0.5, 0.5, 0.5};

// By name.
const std::vector<Preset>& Presets() {
  static const auto* presets = new std::vector<Preset>{
      {"deit", 0.875, kImageNetMean, kImageNetStd},
      {"fashion_mnist", 0, kHalf, {0.25, 0.25, 0.25}, 2},
      {"resnet", 0.875, kImageNetMean, kImageNetStd},
      {"swin", 0.9, kImageNetMean, kImageNetStd},
      {"vit", 0.9, kHalf, kHalf},
  };
  return *presets;
}

std::string Size(int64_t height, int64_t width) { return absl::StrCat(height, " x ", width); }

// Half to even, as Python's round().
int64_t Centre(int64_t outer, int64_t inner) { return std::lrint((outer - inner) / 2.0); }

absl::StatusOr<at::Tensor> ResizeAndCrop(const at::Tensor& pixels, const Preset& preset, int64_t height,
                                         int64_t width) {
  if (height != width || preset.crop_pct > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("preset ", preset.name, " is for square inputs, the network's is ", Size(height, width)));
  }
  const int64_t side = static_cast<int64_t>(std::floor(height / preset.crop_pct));
  const int64_t h = pixels.size(0), w = pixels.size(1);
  int64_t resized_height = side, resized_width = side;
  // In float64, as Python divides integers.
  if (w <= h) {
    resized_height = static_cast<int64_t>(static_cast<double>(side * h) / w);
  } else {
    resized_width = static_cast<int64_t>(static_cast<double>(side * w) / h);
  }
  const Box box = {Centre(resized_height, height), Centre(resized_width, width), height, width};
  return ResizeBicubicAndCrop(pixels, resized_height, resized_width, box);
}

// The image as it is, or with black pixels around it.
absl::StatusOr<at::Tensor> Pad(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width) {
  const int64_t h = pixels.size(0), w = pixels.size(1);
  if (h == height && w == width) return pixels;
  const int64_t vertical = height - h, horizontal = width - w;
  if (vertical != horizontal || vertical % 2 != 0 || vertical < 0 || vertical / 2 > preset.pad) {
    std::string allowed = absl::StrCat("preset ", preset.name, " does not resize");
    if (preset.pad > 0) absl::StrAppend(&allowed, ", it adds at most ", preset.pad, " black pixels on each side");
    return absl::InvalidArgumentError(
        absl::StrCat("the image is ", Size(h, w), ", the network's input ", Size(height, width), "; ", allowed));
  }
  at::Tensor padded = at::zeros({height, width, 3}, at::kByte);
  padded.narrow(0, vertical / 2, h).narrow(1, vertical / 2, w).copy_(pixels);
  return padded;
}

}  // namespace

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const Preset& preset : Presets()) names.push_back(preset.name);
  return names;
}

absl::StatusOr<Preset> FindPreset(const std::string& name) {
  for (const Preset& preset : Presets()) {
    if (preset.name == name) return preset;
  }
  const std::vector<std::string> names = PresetNames();
  return absl::NotFoundError(absl::StrCat("unknown preset '", name, "'", DidYouMean(name, names),
                                          "; there are: ", absl::StrJoin(names, ", ")));
}

absl::StatusOr<at::Tensor> EvalTransform(const at::Tensor& pixels, const Preset& preset, int64_t height,
                                         int64_t width) {
  absl::StatusOr<at::Tensor> fitted =
      preset.crop_pct > 0 ? ResizeAndCrop(pixels, preset, height, width) : Pad(pixels, preset, height, width);
  if (!fitted.ok()) return fitted.status();
  return Normalise(*fitted, preset);
}

}  // namespace qwt
