// The operations give the bytes of timm 0.4.12 on Pillow; tests/golden/transforms/manifest.json has the rules.
#include "data/transforms/augment_ops.h"

#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ops/empty.h"
#include "absl/strings/string_view.h"
#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/tensor/safetensors.h"
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

const AugmentOp& Op(const std::string& name) {
  for (const AugmentOp& op : AugmentOps()) {
    if (name == op.name) return op;
  }
  throw std::runtime_error("no operation " + name);
}

nlohmann::json Golden() {
  return nlohmann::json::parse(Must(ReadFile(std::string(kFolder) + "manifest.json"))).at("randaugment");
}

TensorMap Tensors() { return Must(ReadSafetensors(std::string(kFolder) + "randaugment.safetensors")).tensors; }

at::Tensor Image(int64_t height, int64_t width, const std::vector<uint8_t>& values) {
  at::Tensor image = at::empty({height, width, 3}, at::kByte);
  for (int64_t i = 0; i < image.numel(); ++i) image.mutable_data_ptr<uint8_t>()[i] = values[i % values.size()];
  return image;
}

TEST(AugmentOpsTest, EveryCaseBitByBit) {
  const nlohmann::json golden = Golden();
  const TensorMap tensors = Tensors();
  const Colour fill = golden.at("fill").get<Colour>();
  std::map<std::string, int> compared;
  for (const auto& c : golden.at("cases")) {
    const at::Tensor input = tensors.at(c.value("input", "input")), before = input.clone();
    const at::Tensor expected = tensors.at(c.at("tensor")).select(0, c.at("index").get<int64_t>());
    const double argument = c.at("args").empty() ? 0 : c.at("args")[0].get<double>();
    const at::Tensor result = Op(c.at("op")).apply(input, argument, fill);
    EXPECT_TRUE(result.equal(expected)) << c << ": " << result.ne(expected).sum().item<int64_t>() << " bytes differ";
    EXPECT_TRUE(input.equal(before)) << c << " wrote to its input";
    ++compared[c.at("op")];
  }
  EXPECT_EQ(golden.at("cases").size(), 84);
  EXPECT_EQ(compared.size(), AugmentOps().size());
}

// Sixty-five thousand colours, and factors whose products float64 or a fused multiply-add round to other bytes: SHA-256
// of what timm 0.4.12 on Pillow 9.5 gives for magnitude 8, sign +1 and, where it matters, -1.
TEST(AugmentOpsTest, EveryRedAndGreen) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> expected = {
      {"AutoContrast", {"63ed7605df3016e9d1c90a97dc8a46d2dc169349f4e32b49b5fa4283eebea0a4"}},
      {"Equalize", {"6bc9a5ea11fbb4a67ca4987d292e7b6d408b01158b14d6b931d74f12c95254f1"}},
      {"Invert", {"2c2fc7a787f8814393885afb8db7b058cfeaab3552d8ce308fb0da85f517ba1b"}},
      {"Rotate",
       {"6ae506c268f03f2ac0aaa1a904d134f56a724af04cfcb2a2bbd1537b2af21ef4",
        "3edb6247ea817ad89f42c1fe09447b5e5bcfc44f3de257fc8a8b8e80270f4364"}},
      {"PosterizeIncreasing", {"fd4f58665cf8e7e8cd46433b14dbdfd323fcbc8223fcf57bae7f20ed75074dcc"}},
      {"SolarizeIncreasing", {"62ed42f306078230982e329e8f6b936d5b42fd468a2d27017f90c90526699673"}},
      {"SolarizeAdd", {"8a8b8f5f07e3f5534810aa70d5c96c3879170ed21d488b755024a9a049245c88"}},
      {"ColorIncreasing",
       {"5ecd3afe9f2c8366a0669765fc869dc0ec10d51ec6396f9902ee5a949ac7b253",
        "74f012318bdba4fb3e40296dc8efa26aae380dbea6ed1a5aa36b28005ddef8e6"}},
      {"ContrastIncreasing",
       {"07e9f18a38cfcdae982f3f09fac9aa48c5739d4049ef3bcd2f7be3196e197b92",
        "3efebb78587f08754ce99cefc77c7e7002f0f5e022821bc664b2048ee7a6c0db"}},
      {"BrightnessIncreasing",
       {"bc8340e2ebdf9d8371d6c035517060604f0bf09f2a244d7d288b5cddd81b29ab",
        "d1b751a9593b59bbfbb6f6d449e8400d811dd8fbd1546c2a9eca6ca306b76666"}},
      {"SharpnessIncreasing",
       {"bab2f2226867eb0b600b6022af5894e56e7a1392ea80faaca6aa880ce5f6ea10",
        "6b7686e0d0e22db067a8880335753da27bc0928083a72bfb94b77893ba3999f5"}},
      {"ShearX",
       {"38c566dd95e529f03cfa7d2d8f95abe8c92176adb3ea652185aec79e7666ef4d",
        "e02e52d08ac6a1062dc37c879b7efa9048d05355a2756903eeb817c408017332"}},
      {"ShearY",
       {"7de4138e969ade76a0fe3ec27650dd29d46fa6883f2e9d7f3c8e2e497acae570",
        "967aa975bd386c8bf7050d52b4cc8f4af727620a19b74bab576a3ff50182aa40"}},
      {"TranslateXRel",
       {"374e3abc5c2f2ca907947fe2c19db641c7bff948a320c3a020e0899709987d43",
        "54d635c6a26b5b6a40cbaf1599d2ff002dfc553d95303f885f80f76acee72b6f"}},
      {"TranslateYRel",
       {"fc1120625c349138371454614dd4354848c96282651ea5d74b2dd9eab8fd7db7",
        "1f6f9dbe282cb9091945125aade4e655d7234f4a3e4f99a02155a8440db5dd3b"}},
  };
  at::Tensor image = at::empty({256, 256, 3}, at::kByte);
  uint8_t* target = image.mutable_data_ptr<uint8_t>();
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 256; ++x) {
      for (int value : {x, y, x * y % 256}) *target++ = static_cast<uint8_t>(value);
    }
  }
  for (const auto& [name, hashes] : expected) {
    for (int sign : {1, -1}) {
      const at::Tensor result = Op(name).apply(image, Op(name).argument(8, sign), {124, 116, 104});
      const absl::string_view bytes(reinterpret_cast<const char*>(result.const_data_ptr()), result.numel());
      EXPECT_EQ(Sha256(bytes), sign == 1 ? hashes.front() : hashes.back()) << name << " " << sign;
    }
  }
  EXPECT_EQ(expected.size(), AugmentOps().size());
}

TEST(AugmentOpsTest, ArgumentsOfMagnitudesAndSigns) {
  const nlohmann::json golden = Golden();
  int compared = 0;
  for (const auto& c : golden.at("cases")) {
    const AugmentOp& op = Op(c.at("op"));
    for (int sign : {-1, 1}) {
      const int only = c.at("sign").is_null() ? 0 : c.at("sign").get<int>();
      if (only != 0 && only != sign) continue;
      const double magnitude = c.at("magnitude").is_null() ? 9 : c.at("magnitude").get<double>();
      EXPECT_EQ(op.argument(magnitude, sign), c.at("args").empty() ? 0 : c.at("args")[0].get<double>()) << c;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 84 + 28);  // 28 cases are the same for both signs
}

TEST(AugmentOpsTest, TimmsOrder) {
  std::vector<std::string> names;
  for (const AugmentOp& op : AugmentOps()) names.push_back(op.name);
  EXPECT_EQ(names, (std::vector<std::string>{"AutoContrast", "Equalize", "Invert", "Rotate", "PosterizeIncreasing",
                                             "SolarizeIncreasing", "SolarizeAdd", "ColorIncreasing",
                                             "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing",
                                             "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}));
}

TEST(AugmentOpsTest, PartsOfImagesAreImages) {
  const at::Tensor part = Tensors().at("input").narrow(0, 3, 20).narrow(1, 5, 31);
  ASSERT_FALSE(part.is_contiguous());
  for (const AugmentOp& op : AugmentOps()) {
    const double argument = op.argument(9, 1);
    EXPECT_TRUE(op.apply(part, argument, {1, 2, 3}).equal(op.apply(part.contiguous(), argument, {1, 2, 3}))) << op.name;
  }
}

// A quarter turn's sources lie exactly on the edges: sines and cosines have to be rounded as Pillow's are, whose
// first channel this is (9.5).
TEST(AugmentOpsTest, QuarterTurns) {
  at::Tensor image = at::empty({4, 7, 3}, at::kByte);
  for (int i = 0; i < 28; ++i) image[i / 7][i % 7].fill_(30 * (i % 7) + i / 7);
  const std::vector<uint8_t> expected = {1, 134, 135, 136, 137, 1, 1, 1, 104, 105, 106, 107, 1, 1,
                                         1, 74,  75,  76,  77,  1, 1, 1, 44,  45,  46,  47,  1, 1};
  const at::Tensor result = Op("Rotate").apply(image, 90, {1, 2, 3});
  for (int i = 0; i < 28; ++i) EXPECT_EQ(result[i / 7][i % 7][0].item<uint8_t>(), expected[i]) << i;
  EXPECT_TRUE(Op("Rotate").apply(image, 180, {}).equal(image.flip({0, 1})));
  EXPECT_TRUE(Op("Rotate").apply(image, -360, {}).equal(image));
}

TEST(AugmentOpsTest, SmallImages) {
  // Nothing lies inside the outermost rows and columns.
  for (const at::Tensor& image : {Image(1, 1, {9, 80, 200}), Image(2, 5, {0, 255, 3, 90}), Image(7, 2, {1, 2})}) {
    EXPECT_TRUE(Op("SharpnessIncreasing").apply(image, 1.9, {}).equal(image));
    // Fewer than 256 pixels are too few to be spread.
    EXPECT_TRUE(Op("Equalize").apply(image, 0, {}).equal(image));
  }
  // One value a channel: nothing to stretch.
  EXPECT_TRUE(Op("AutoContrast").apply(Image(4, 4, {9, 80, 200}), 0, {}).equal(Image(4, 4, {9, 80, 200})));
  // All four taps are the one pixel; its neighbours come from outside.
  EXPECT_TRUE(Op("ShearX").apply(Image(1, 1, {9, 80, 200}), 0.3, {1, 2, 3}).equal(Image(1, 1, {9, 80, 200})));
  EXPECT_TRUE(Op("TranslateXRel").apply(Image(1, 1, {9, 80, 200}), 0.6, {1, 2, 3}).equal(Image(1, 1, {1, 2, 3})));
}

}  // namespace
}  // namespace qwt
