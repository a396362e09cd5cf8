#include <cmath>

#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "data/transforms/crops.h"
#include "data/transforms/resize.h"

namespace qwt {
namespace {

std::string Size(int64_t height, int64_t width) { return absl::StrCat(height, " x ", width); }

// Half to even, as Python's round().
int64_t Centre(int64_t outer, int64_t inner) { return std::lrint((outer - inner) / 2.0); }

at::Tensor ResizeAndCrop(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width) {
  const int64_t side = ResizedSide(preset, height);
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

int64_t ResizedSide(const Preset& preset, int64_t height) {
  return static_cast<int64_t>(std::floor(height / preset.crop_pct));
}

absl::StatusOr<at::Tensor> EvalCrop(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width) {
  if (preset.crop_pct > 0) return ResizeAndCrop(pixels, preset, height, width);
  return Pad(pixels, preset, height, width);
}

}  // namespace qwt
