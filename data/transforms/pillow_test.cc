// Decoding, resizing, cropping and normalising give the bytes of Pillow and torchvision;
// tests/golden/transforms/manifest.json has the rules.
#include <string>

#include "absl/strings/string_view.h"
#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/tensor/safetensors.h"
#include "data/datasets/image_folder/decode.h"
#include "data/transform.h"
#include "data/transforms/resize.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace qwt {
namespace {

constexpr char kFolder[] = "tests/golden/transforms/";

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(std::string(value.status().message()));
  return *std::move(value);
}

at::Tensor Decode(const std::string& name) { return Must(DecodeImage(Must(ReadFile(kFolder + name)))); }

std::string Hash(const at::Tensor& bytes) {
  const at::Tensor whole = bytes.contiguous();
  return Sha256(absl::string_view(reinterpret_cast<const char*>(whole.const_data_ptr()), whole.numel()));
}

at::Tensor Resize(const at::Tensor& pixels, int64_t height, int64_t width) {
  return ResizeBicubicAndCrop(pixels, height, width, {0, 0, height, width});
}

// The crop, normalised.
absl::StatusOr<at::Tensor> EvalTransform(const at::Tensor& pixels, const Preset& preset, int64_t height,
                                         int64_t width) {
  absl::StatusOr<at::Tensor> crop = Crop(pixels, {preset, height, width}, 0);
  if (!crop.ok()) return crop.status();
  return Normalise(*crop, preset);
}

// The bytes behind a normalised image: float32 [3, h, w] -> uint8 [h, w, 3].
at::Tensor Bytes(const at::Tensor& normalised, const Preset& preset) {
  at::Tensor bytes = normalised.clone();
  for (int c = 0; c < 3; ++c) bytes.select(0, c).mul_(preset.std[c]).add_(preset.mean[c]).mul_(255);
  return bytes.round().to(at::kByte).permute({1, 2, 0});
}

TEST(PillowTest, DecodesEveryImage) {
  const auto manifest = nlohmann::json::parse(Must(ReadFile(std::string(kFolder) + "manifest.json")));
  ASSERT_EQ(manifest["images"].size(), 9);
  for (const auto& image : manifest["images"]) {
    const at::Tensor pixels = Decode(image["file"]);
    EXPECT_EQ(pixels.sizes(), (std::vector<int64_t>{image["size"][1], image["size"][0], 3})) << image["file"];
    EXPECT_EQ(Hash(pixels), image["rgb_sha256"].get<std::string>()) << image["file"] << ": " << image["note"];
  }
}

TEST(PillowTest, EvaluationTransform) {
  const auto manifest = nlohmann::json::parse(Must(ReadFile(std::string(kFolder) + "manifest.json")));
  int compared = 0;
  for (const auto& image : manifest["images"]) {
    const at::Tensor pixels = Decode(image["file"]);
    for (const auto& part : image["parts"]) {
      if (part["what"] != "eval") continue;
      const Preset preset = Must(FindPreset(part["resize"] == 256 ? "deit" : "swin"));
      const at::Tensor result = Must(EvalTransform(pixels, preset, 224, 224));
      EXPECT_EQ(Hash(Bytes(result, preset)), part["sha256"].get<std::string>())
          << image["file"] << " " << part["resize"];
      ++compared;
    }
  }
  EXPECT_EQ(compared, 15);
}

TEST(PillowTest, ResizesOfCutBoxes) {
  const auto manifest = nlohmann::json::parse(Must(ReadFile(std::string(kFolder) + "manifest.json")));
  int compared = 0;
  for (const auto& image : manifest["images"]) {
    const at::Tensor pixels = Decode(image["file"]);
    for (const auto& part : image["parts"]) {
      if (part["what"] != "random_resized_crop") continue;
      const std::vector<int64_t> box = part["box"];  // top, left, height, width
      const at::Tensor cut = pixels.narrow(0, box[0], box[2]).narrow(1, box[1], box[3]);
      EXPECT_EQ(Hash(Resize(cut, 224, 224)), part["sha256"].get<std::string>()) << image["file"] << " " << part["box"];
      ++compared;
    }
  }
  EXPECT_EQ(compared, 8);
}

TEST(PillowTest, SmallResizes) {
  const TensorFile file = Must(ReadSafetensors(std::string(kFolder) + "resize_small.safetensors"));
  const at::Tensor input = file.tensors.at("input");
  int compared = 0;
  for (const auto& [name, expected] : file.tensors) {
    if (name.rfind("bicubic_", 0) != 0) continue;
    const at::Tensor result = Resize(input, expected.size(0), expected.size(1));
    EXPECT_TRUE(result.equal(expected)) << name;
    // Any part of it, computed alone, is the same.
    const Box box = {expected.size(0) / 3, expected.size(1) / 2, (expected.size(0) + 1) / 2,
                     (expected.size(1) + 1) / 2};
    const at::Tensor part = expected.narrow(0, box.top, box.height).narrow(1, box.left, box.width);
    EXPECT_TRUE(ResizeBicubicAndCrop(input, expected.size(0), expected.size(1), box).equal(part)) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 8);
  const at::Tensor transposed = input.transpose(0, 1);
  EXPECT_TRUE(Resize(transposed, 9, 16).equal(Resize(transposed.contiguous(), 9, 16)));
}

TEST(PillowTest, NormalisesBitByBit) {
  const TensorFile file = Must(ReadSafetensors(std::string(kFolder) + "normalised.safetensors"));
  Preset preset = Must(FindPreset("deit"));
  preset.crop_pct = 96 / 109.001;  // resize to 109
  const at::Tensor result = Must(EvalTransform(Decode("landscape.jpg"), preset, 96, 96));
  EXPECT_TRUE(result.equal(file.tensors.at("landscape_109_96")));

  at::Tensor bytes = Decode("landscape.jpg").narrow(0, 0, 16).narrow(1, 0, 16).clone();
  for (int64_t i = 0; i < 256; ++i) bytes[i / 16][i % 16].fill_(i);
  for (const auto& [name, table] : {std::pair("deit", "table_imagenet"), std::pair("vit", "table_half")}) {
    preset = Must(FindPreset(name));
    preset.crop_pct = 1;  // resizing 16 x 16 to 16 x 16 changes nothing
    EXPECT_TRUE(Must(EvalTransform(bytes, preset, 16, 16)).reshape({3, 256}).equal(file.tensors.at(table))) << table;
  }
}

}  // namespace
}  // namespace qwt
