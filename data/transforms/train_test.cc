#include <map>
#include <string>

#include "ATen/ops/empty.h"
#include "data/transform.h"
#include "data/transforms/augmentation.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

Preset MustFind(const std::string& name) {
  absl::StatusOr<Preset> preset = FindPreset(name);
  EXPECT_TRUE(preset.ok()) << preset.status();
  return *preset;
}

// The crop, normalised.
absl::StatusOr<at::Tensor> TrainTransform(const at::Tensor& pixels, const Preset& preset, int64_t height, int64_t width,
                                          uint64_t seed, uint64_t image) {
  absl::StatusOr<at::Tensor> crop = Crop(pixels, {preset, height, width, Transform::kTrain, seed}, image);
  if (!crop.ok()) return crop.status();
  return Normalise(*crop, preset);
}

// No two pixels near each other are alike.
at::Tensor Photograph(int64_t height, int64_t width) {
  at::Tensor pixels = at::empty({height, width, 3}, at::kByte);
  uint8_t* target = pixels.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < height * width; ++i) {
    const int64_t y = i / width, x = i % width;
    *target++ = static_cast<uint8_t>(x * 255 / width);
    *target++ = static_cast<uint8_t>(y * 255 / height);
    *target++ = static_cast<uint8_t>((x * y) % 251);
  }
  return pixels;
}

at::Tensor Train(const at::Tensor& pixels, const std::string& preset, uint64_t seed, uint64_t image) {
  absl::StatusOr<at::Tensor> result = TrainTransform(pixels, MustFind(preset), 48, 48, seed, image);
  EXPECT_TRUE(result.ok()) << result.status();
  return *result;
}

TEST(TrainTransformTest, IsTheAugmentedImageNormalised) {
  const at::Tensor pixels = Photograph(60, 80);
  const std::map<std::string, Colour> fills = {
      {"deit", {124, 116, 104}}, {"resnet", {124, 116, 104}}, {"swin", {124, 116, 104}}, {"vit", {128, 128, 128}}};
  for (const auto& [name, fill] : fills) {
    const Preset preset = MustFind(name);
    for (uint64_t image = 0; image < 50; ++image) {
      const at::Tensor bytes = Augment(pixels, DrawAugmentation(60, 80, 3, image), 48, 48, fill);
      const at::Tensor result = Train(pixels, name, 3, image);
      ASSERT_EQ(result.sizes(), (std::vector<int64_t>{3, 48, 48}));
      ASSERT_EQ(result.scalar_type(), at::kFloat);
      for (int c = 0; c < 3; ++c) {
        const float mean = static_cast<float>(preset.mean[c]), std = static_cast<float>(preset.std[c]);
        const at::Tensor expected = bytes.select(2, c).to(at::kFloat).div(255.0f).sub(mean).div(std);
        ASSERT_TRUE(result.select(0, c).equal(expected)) << name << ", image " << image << ", channel " << c;
      }
    }
  }
}

TEST(TrainTransformTest, SameSeedAndImageSameBytesOthersNot) {
  const at::Tensor pixels = Photograph(60, 80);
  int same_as_next = 0, same_as_other_seed = 0;
  for (uint64_t image = 0; image < 50; ++image) {
    const at::Tensor result = Train(pixels, "deit", 3, image);
    EXPECT_TRUE(Train(pixels, "deit", 3, image).equal(result)) << image;
    same_as_next += Train(pixels, "deit", 3, image + 1).equal(result);
    same_as_other_seed += Train(pixels, "deit", 4, image).equal(result);
  }
  EXPECT_EQ(same_as_next, 0);
  EXPECT_EQ(same_as_other_seed, 0);
}

TEST(TrainTransformTest, PresetWithoutResize) {
  EXPECT_EQ(TrainTransform(Photograph(28, 28), MustFind("fashion_mnist"), 28, 28, 0, 0).status(),
            absl::InvalidArgumentError(
                "preset fashion_mnist has no training transform: the published augmentation cuts out and resizes parts "
                "of photographs, and fashion_mnist is for small images that are not resized; choose the evaluation "
                "transform"));
}

TEST(TrainTransformTest, NeedsASquareInput) {
  EXPECT_EQ(TrainTransform(Photograph(30, 40), MustFind("vit"), 24, 32, 0, 0).status(),
            absl::InvalidArgumentError("preset vit is for square inputs, the network's is 24 x 32"));
}

TEST(TrainTransformTest, TinyAndExtremeImages) {
  for (const auto& [height, width] : {std::pair(1, 1), std::pair(2, 3), std::pair(1, 20000), std::pair(20000, 1)}) {
    for (uint64_t image = 0; image < 20; ++image) {
      EXPECT_EQ(Train(Photograph(height, width), "swin", 0, image).sizes(), (std::vector<int64_t>{3, 48, 48}));
    }
  }
}

}  // namespace
}  // namespace qwt
