#include "ATen/ops/empty.h"
#include "ATen/ops/zeros.h"
#include "data/transform.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

Preset MustFind(const std::string& name) {
  absl::StatusOr<Preset> preset = FindPreset(name);
  EXPECT_TRUE(preset.ok()) << preset.status();
  return *preset;
}

at::Tensor Image(int64_t height, int64_t width, uint8_t value) {
  return at::empty({height, width, 3}, at::kByte).fill_(value);
}

// The crop, normalised.
absl::StatusOr<at::Tensor> EvalTransform(const at::Tensor& pixels, const Preset& preset, int64_t height,
                                         int64_t width) {
  absl::StatusOr<at::Tensor> crop = Crop(pixels, {preset, height, width}, 0);
  if (!crop.ok()) return crop.status();
  return Normalise(*crop, preset);
}

TEST(PresetTest, HoldsWhatTheFamiliesWereTrainedWith) {
  EXPECT_EQ(PresetNames(), (std::vector<std::string>{"deit", "fashion_mnist", "resnet", "swin", "vit"}));
  const std::array<double, 3> imagenet_mean = {0.485, 0.456, 0.406}, imagenet_std = {0.229, 0.224, 0.225},
                              half = {0.5, 0.5, 0.5};
  for (const std::string name : {"deit", "resnet", "swin"}) {
    const Preset preset = MustFind(name);
    EXPECT_EQ(preset.name, name);
    EXPECT_EQ(preset.crop_pct, name == "swin" ? 0.9 : 0.875);
    EXPECT_EQ(preset.mean, imagenet_mean);
    EXPECT_EQ(preset.std, imagenet_std);
    EXPECT_EQ(preset.pad, 0);
  }
  EXPECT_EQ(MustFind("vit").crop_pct, 0.9);
  EXPECT_EQ(MustFind("vit").mean, half);
  EXPECT_EQ(MustFind("vit").std, half);
  EXPECT_EQ(MustFind("fashion_mnist").crop_pct, 0);
  EXPECT_EQ(MustFind("fashion_mnist").mean, half);
  EXPECT_EQ(MustFind("fashion_mnist").std, (std::array<double, 3>{0.25, 0.25, 0.25}));
}

TEST(PresetTest, UnknownName) {
  EXPECT_EQ(FindPreset("swing").status(),
            absl::NotFoundError(
                "unknown preset 'swing' (did you mean 'swin'?); there are: deit, fashion_mnist, resnet, swin, vit"));
  EXPECT_EQ(FindPreset("imagenet").status(),
            absl::NotFoundError("unknown preset 'imagenet'; there are: deit, fashion_mnist, resnet, swin, vit"));
}

TEST(EvalTransformTest, AnImageOfTheResizedSizeIsOnlyCropped) {
  at::Tensor pixels = at::empty({256, 256, 3}, at::kByte);
  uint8_t* bytes = pixels.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < pixels.numel(); ++i) bytes[i] = static_cast<uint8_t>(i * i % 251);
  const at::Tensor crop = *Crop(pixels, {MustFind("deit"), 224, 224}, 0);
  EXPECT_TRUE(crop.is_contiguous());
  EXPECT_TRUE(crop.equal(pixels.narrow(0, 16, 224).narrow(1, 16, 224)));
}

TEST(EvalTransformTest, ChannelsGoFirst) {
  at::Tensor pixels = Image(28, 28, 0);
  pixels[3][5][0].fill_(255);
  pixels[3][5][2].fill_(51);
  absl::StatusOr<at::Tensor> result = EvalTransform(pixels, MustFind("fashion_mnist"), 28, 28);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->sizes(), (std::vector<int64_t>{3, 28, 28}));
  EXPECT_EQ(result->scalar_type(), at::kFloat);
  EXPECT_EQ((*result)[0][3][5].item<float>(), 2.0f);
  EXPECT_EQ((*result)[1][3][5].item<float>(), -2.0f);
  EXPECT_EQ((*result)[2][3][5].item<float>(), (51.0f / 255.0f - 0.5f) / 0.25f);
  EXPECT_EQ((*result)[0][5][3].item<float>(), -2.0f);
}

TEST(EvalTransformTest, TakesAnImageThatIsNotContiguous) {
  at::Tensor pixels = Image(28, 28, 0);
  pixels.select(0, 4).fill_(255);
  const at::Tensor result = *EvalTransform(pixels.transpose(0, 1), MustFind("fashion_mnist"), 28, 28);
  EXPECT_EQ(result[0][9][4].item<float>(), 2.0f);
  EXPECT_EQ(result[0][4][9].item<float>(), -2.0f);
}

TEST(EvalTransformTest, FashionMnistIsPaddedWithBlackForResNet) {
  const at::Tensor result = *EvalTransform(Image(28, 28, 255), MustFind("fashion_mnist"), 32, 32);
  EXPECT_EQ(result.sizes(), (std::vector<int64_t>{3, 32, 32}));
  for (int64_t y = 0; y < 32; ++y) {
    for (int64_t x = 0; x < 32; ++x) {
      const bool inside = y >= 2 && y < 30 && x >= 2 && x < 30;
      ASSERT_EQ(result[1][y][x].item<float>(), inside ? 2.0f : -2.0f) << y << ", " << x;
    }
  }
}

TEST(EvalTransformTest, AnotherSizeWithoutResize) {
  EXPECT_EQ(EvalTransform(Image(28, 28, 0), MustFind("fashion_mnist"), 224, 224).status(),
            absl::InvalidArgumentError(
                "the image is 28 x 28, the network's input 224 x 224; preset fashion_mnist does not resize, it "
                "adds at most 2 black pixels on each side"));
  EXPECT_EQ(EvalTransform(Image(28, 27, 0), MustFind("fashion_mnist"), 28, 28).status(),
            absl::InvalidArgumentError(
                "the image is 28 x 27, the network's input 28 x 28; preset fashion_mnist does not resize, it "
                "adds at most 2 black pixels on each side"));
  Preset unpadded = MustFind("fashion_mnist");
  unpadded.pad = 0;
  EXPECT_EQ(EvalTransform(Image(28, 28, 0), unpadded, 32, 32).status(),
            absl::InvalidArgumentError(
                "the image is 28 x 28, the network's input 32 x 32; preset fashion_mnist does not resize"));
}

TEST(EvalTransformTest, ResizingNeedsASquareInput) {
  EXPECT_EQ(EvalTransform(Image(30, 40, 0), MustFind("vit"), 24, 32).status(),
            absl::InvalidArgumentError("preset vit is for square inputs, the network's is 24 x 32"));
}

TEST(EvalTransformTest, ExtremeShapesCostOnlyWhatTheCropShows) {
  // Resized whole, this would be 248 x 4,960,000 pixels.
  const at::Tensor result = *EvalTransform(Image(1, 20000, 255), MustFind("vit"), 224, 224);
  EXPECT_EQ(result.sizes(), (std::vector<int64_t>{3, 224, 224}));
  EXPECT_EQ(result.min().item<float>(), 1.0f);
  EXPECT_EQ(result.max().item<float>(), 1.0f);
}

}  // namespace
}  // namespace qwt
