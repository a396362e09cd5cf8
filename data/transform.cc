#include "data/transform.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/strings.h"
#include "data/transforms/crops.h"

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

absl::Status CheckInput(const InputOptions& input) {
  const Preset& preset = input.preset;
  if (preset.crop_pct == 0 && input.transform == Transform::kTrain) {
    return absl::InvalidArgumentError(
        absl::StrCat("preset ", preset.name,
                     " has no training transform: the published augmentation cuts out and resizes parts of "
                     "photographs, and ",
                     preset.name, " is for small images that are not resized; choose the evaluation transform"));
  }
  if (preset.crop_pct > 0 && (input.height != input.width || preset.crop_pct > 1)) {
    return absl::InvalidArgumentError(absl::StrCat("preset ", preset.name, " is for square inputs, the network's is ",
                                                   input.height, " x ", input.width));
  }
  return absl::OkStatus();
}

int64_t LeastSide(const InputOptions& input) {
  if (input.transform == Transform::kTrain || input.preset.crop_pct == 0) return 0;
  return ResizedSide(input.preset, input.height);
}

absl::StatusOr<at::Tensor> Crop(const at::Tensor& pixels, const InputOptions& input, uint64_t image) {
  if (absl::Status status = CheckInput(input); !status.ok()) return status;
  if (input.transform == Transform::kEval) return EvalCrop(pixels, input.preset, input.height, input.width);
  return TrainCrop(pixels, input.preset, input.height, input.width, input.seed, image);
}

}  // namespace qwt
