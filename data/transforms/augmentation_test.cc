#include "data/transforms/augmentation.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/files.h"
#include "core/base/random.h"
#include "core/base/sha256.h"
#include "data/datasets/image_folder/decode.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr int64_t kImages = 20000;
constexpr double kOps = 2.0 * kImages;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(std::string(value.status().message()));
  return *std::move(value);
}

// How often, in units of the standard error of `draws` draws, `count` is off what `probability` predicts.
double Deviation(int64_t count, double draws, double probability) {
  return std::fabs(count - draws * probability) / std::sqrt(draws * probability * (1 - probability));
}

double ChiSquared(const std::vector<int64_t>& counts, double draws) {
  const double expected = draws / static_cast<double>(counts.size());
  double sum = 0;
  for (int64_t count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

int64_t Place(const DrawnOp& drawn) { return drawn.op - AugmentOps().data(); }

auto Fields(const Box& box) { return std::tuple(box.top, box.left, box.height, box.width); }

struct RecordedOp {
  std::string name;
  bool applied;
  double magnitude;
  int sign;
};

struct Recorded {
  Box crop;
  bool mirrored;
  RecordedOp first, second;
  std::string sha256;
};

// Seed 42, images 0 to 11 of 375 x 500 pixels. Drawn by another program from the definition of the generator; SHA-256
// of what timm 0.4.12's operations on Pillow 9.5 made of landscape.jpg with it, 224 x 224, ImageNet's mean as fill.
const std::vector<Recorded>& Records() {
  static const auto* records = new std::vector<Recorded>{
      {{15, 219, 331, 277},
       false,
       {"ContrastIncreasing", true, 9.92015106033606, -1},
       {"ShearX", false, 8.186603185320807, -1},
       "2d135cdebe213967405e7fb7f22500d546338d44df22954281364faf812054c0"},
      {{39, 2, 282, 336},
       true,
       {"ContrastIncreasing", true, 8.61635284920047, -1},
       {"ShearX", true, 9.37810610446931, -1},
       "9f4f804ba2cd4ef5fcbcf73e3b3016ee94d8e01aa7553771c571e0fef421468f"},
      {{11, 99, 269, 234},
       false,
       {"AutoContrast", false, 7.728861687714513, 1},
       {"SolarizeIncreasing", false, 9.396334036132362, -1},
       "ba42cd2cb1d65773dc2d19e4f0d59fecc314400005cf992b652953296db5a1ba"},
      {{8, 133, 355, 339},
       true,
       {"ColorIncreasing", true, 9.684159467128081, 1},
       {"Equalize", true, 8.219260267613988, 1},
       "066260daa9d92dd04e6442fd5d1c62531ed3046cea26bdf22790f0f41c1bd00d"},
      {{103, 39, 231, 210},
       false,
       {"Invert", false, 9.155321331711978, -1},
       {"SolarizeAdd", true, 8.83701569559077, 1},
       "c6b65c6c5b3b8130cedeb0857128d5684d866595fb6ad3a614378c3b6b3a4daf"},
      {{42, 88, 289, 329},
       true,
       {"BrightnessIncreasing", true, 9.042081201163805, -1},
       {"Equalize", true, 9.30512197608171, -1},
       "65a9af0a247ff43a5276e3ac74370219609f24238b6b3dfcff47a8496555c65b"},
      {{126, 226, 213, 244},
       true,
       {"SharpnessIncreasing", true, 9.5985145394209, 1},
       {"ColorIncreasing", false, 9.06820214280947, -1},
       "af0787c17bc54769e22c6d3198f6236ff72b3c6264e6946bd79045ff833ebccd"},
      {{38, 261, 230, 202},
       false,
       {"ColorIncreasing", true, 9.068315662959568, -1},
       {"ContrastIncreasing", false, 8.888460318364954, -1},
       "a07f2ab3f632fc1c972e228bd7d96d7c1ddac7fc550c2ebc413ff59072e1bb38"},
      {{60, 66, 243, 260},
       false,
       {"SolarizeAdd", false, 8.479012119934897, 1},
       {"Rotate", false, 8.155704259968307, -1},
       "18d5ef0ac57ef8b775330777c1ee597a759710da0599cea763dedee0c2c9ba1a"},
      {{1, 234, 258, 249},
       true,
       {"Equalize", false, 9.583039154235491, 1},
       {"ShearY", false, 9.02276632803522, 1},
       "0fc87f5fdc28dd501d69b1f288a9d0c5057951c51f58b340286148c8cb37ab48"},
      {{58, 147, 289, 282},
       false,
       {"PosterizeIncreasing", false, 8.966220787837752, -1},
       {"SolarizeIncreasing", true, 8.684208954537086, 1},
       "818a3faf2752bb5bf771c307421431e157de0f602db8291c2a4b952a0a071f8e"},
      {{25, 85, 350, 304},
       true,
       {"ColorIncreasing", true, 10.0, 1},
       {"Rotate", true, 8.597622693474772, 1},
       "eabfb89dab9d2254db7cb7a94662012cf48d70b9c3f78790518e4257e437c39d"},
  };
  return *records;
}

void ExpectOp(const DrawnOp& drawn, const RecordedOp& expected) {
  EXPECT_EQ(drawn.op->name, expected.name);
  EXPECT_EQ(drawn.applied, expected.applied);
  EXPECT_NEAR(drawn.magnitude, expected.magnitude, 1e-12);
  EXPECT_EQ(drawn.sign, expected.sign);
}

// Stored results depend on this list: it must never change.
TEST(DrawAugmentationTest, IsTheSameOnEveryMachine) {
  for (size_t i = 0; i < Records().size(); ++i) {
    SCOPED_TRACE(i);
    const Recorded& expected = Records()[i];
    const Augmentation drawn = DrawAugmentation(375, 500, 42, i);
    EXPECT_EQ(Fields(drawn.crop), Fields(expected.crop));
    EXPECT_EQ(drawn.mirrored, expected.mirrored);
    ExpectOp(drawn.ops[0], expected.first);
    ExpectOp(drawn.ops[1], expected.second);
  }
}

TEST(AugmentTest, GivesTheBytesOfTimm) {
  const at::Tensor pixels = Must(DecodeImage(Must(ReadFile("tests/golden/transforms/landscape.jpg"))));
  for (size_t i = 0; i < Records().size(); ++i) {
    const at::Tensor result = Augment(pixels, DrawAugmentation(375, 500, 42, i), 224, 224, {124, 116, 104});
    ASSERT_EQ(result.sizes(), (std::vector<int64_t>{224, 224, 3}));
    const absl::string_view bytes(reinterpret_cast<const char*>(result.const_data_ptr()), result.numel());
    EXPECT_EQ(Sha256(bytes), Records()[i].sha256) << "image " << i;
  }
}

TEST(DrawAugmentationTest, OperationsAreEquallyLikely) {
  std::vector<int64_t> first(15), second(15), pairs(15 * 15);
  for (int64_t i = 0; i < kImages; ++i) {
    const auto& ops = DrawAugmentation(375, 500, 1, i).ops;
    ++first[Place(ops[0])];
    ++second[Place(ops[1])];
    ++pairs[15 * Place(ops[0]) + Place(ops[1])];
  }
  // Exceeded once in a thousand times with 14 and 224 degrees of freedom.
  EXPECT_LT(ChiSquared(first, kImages), 36.1);
  EXPECT_LT(ChiSquared(second, kImages), 36.1);
  EXPECT_LT(ChiSquared(pairs, kImages), 293);
}

TEST(DrawAugmentationTest, HalfIsAppliedMirroredAndNegative) {
  int64_t applied = 0, both = 0, mirrored = 0, negative = 0, mirrored_and_applied = 0, negative_and_applied = 0;
  std::vector<int64_t> applied_by_op(15);
  for (int64_t i = 0; i < kImages; ++i) {
    const Augmentation drawn = DrawAugmentation(375, 500, 1, i);
    mirrored += drawn.mirrored;
    both += drawn.ops[0].applied && drawn.ops[1].applied;
    mirrored_and_applied += drawn.mirrored && drawn.ops[0].applied;
    for (const DrawnOp& op : drawn.ops) {
      applied += op.applied;
      negative += op.sign == -1;
      negative_and_applied += op.sign == -1 && op.applied;
      if (op.applied) ++applied_by_op[Place(op)];
      ASSERT_EQ(std::abs(op.sign), 1);
    }
  }
  EXPECT_LT(Deviation(mirrored, kImages, 0.5), 4);
  EXPECT_LT(Deviation(applied, kOps, 0.5), 4);
  EXPECT_LT(Deviation(negative, kOps, 0.5), 4);
  EXPECT_LT(Deviation(both, kImages, 0.25), 4);
  EXPECT_LT(Deviation(mirrored_and_applied, kImages, 0.25), 4);
  EXPECT_LT(Deviation(negative_and_applied, kOps, 0.25), 4);
  EXPECT_LT(ChiSquared(applied_by_op, static_cast<double>(applied)), 36.1);
}

TEST(DrawAugmentationTest, MagnitudesAreNormalAndClipped) {
  double sum = 0, squares = 0;
  int64_t clipped = 0, below_mean = 0;
  for (int64_t i = 0; i < kImages; ++i) {
    for (const DrawnOp& op : DrawAugmentation(375, 500, 1, i).ops) {
      sum += op.magnitude;
      squares += op.magnitude * op.magnitude;
      clipped += op.magnitude == 10;
      below_mean += op.magnitude < 9;
      ASSERT_GT(op.magnitude, 6);  // six deviations
      ASSERT_LE(op.magnitude, 10);
    }
  }
  // Of N(9, 0.5) with everything above 10 at 10; four standard errors.
  const double mean = sum / kOps;
  EXPECT_NEAR(mean, 8.99575, 0.0098);
  EXPECT_NEAR(std::sqrt(squares / kOps - mean * mean), 0.48995, 0.007);
  EXPECT_LT(Deviation(clipped, kOps, 0.02275), 4);
  EXPECT_LT(Deviation(below_mean, kOps, 0.5), 4);
}

TEST(DrawAugmentationTest, CropsAreInsideAndWithinTheirRanges) {
  for (const auto& [height, width] :
       {std::pair(375, 500), std::pair(400, 400), std::pair(500, 333), std::pair(2, 3), std::pair(1, 1)}) {
    for (int64_t i = 0; i < kImages; ++i) {
      const Box crop = DrawAugmentation(height, width, 1, i).crop;
      ASSERT_TRUE(crop.height > 0 && crop.width > 0 && crop.top >= 0 && crop.left >= 0 &&
                  crop.top + crop.height <= height && crop.left + crop.width <= width);
      // Either side may be rounded by half a pixel.
      const double h = static_cast<double>(crop.height), w = static_cast<double>(crop.width);
      ASSERT_GE((h + 0.5) * (w + 0.5), 0.08 * height * width);
      ASSERT_GE((w + 0.5) / (h - 0.5), 3.0 / 4);
      ASSERT_LE((w - 0.5) / (h + 0.5), 4.0 / 3);
    }
  }
}

// Of areas below half a square every shape fits, so nothing is rejected and both are drawn as they are accepted.
TEST(DrawAugmentationTest, AreasAndRatiosOfCropsAreUniform) {
  double areas = 0, ratios = 0, squared_ratios = 0, top = 0, left = 0;
  int64_t count = 0, least_top = 400, least_left = 400, lowest = 0, rightmost = 0;
  for (int64_t i = 0; i < kImages; ++i) {
    const Box crop = DrawAugmentation(400, 400, 1, i).crop;
    const double area = static_cast<double>(crop.height * crop.width) / (400 * 400);
    if (area >= 0.5) continue;
    ++count;
    areas += area;
    const double ratio = std::log(static_cast<double>(crop.width) / static_cast<double>(crop.height));
    ratios += ratio;
    squared_ratios += ratio * ratio;
    top += static_cast<double>(crop.top) / static_cast<double>(400 - crop.height);
    left += static_cast<double>(crop.left) / static_cast<double>(400 - crop.width);
    least_top = std::min(least_top, crop.top);
    least_left = std::min(least_left, crop.left);
    lowest = std::max(lowest, crop.top + crop.height);
    rightmost = std::max(rightmost, crop.left + crop.width);
  }
  const double n = static_cast<double>(count), range = std::log(4.0 / 3);
  EXPECT_LT(Deviation(count, kImages, 0.530763), 4);  // timm's own drawing, a million times
  EXPECT_NEAR(areas / n, (0.08 + 0.5) / 2, 4 * (0.5 - 0.08) / std::sqrt(12 * n));
  EXPECT_NEAR(ratios / n, 0, 4 * 2 * range / std::sqrt(12 * n));
  EXPECT_NEAR(squared_ratios / n, range * range / 3, 4 * range * range * 0.3 / std::sqrt(n));
  EXPECT_NEAR(top / n, 0.5, 4 / std::sqrt(12 * n));
  EXPECT_NEAR(left / n, 0.5, 4 / std::sqrt(12 * n));
  EXPECT_EQ(least_top, 0);
  EXPECT_EQ(least_left, 0);
  EXPECT_EQ(lowest, 400);
  EXPECT_EQ(rightmost, 400);
}

TEST(DrawAugmentationTest, AcceptedAreasAreTimms) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < kImages; ++i) {
    const Box crop = DrawAugmentation(375, 500, 1, i).crop;
    const double area = static_cast<double>(crop.height * crop.width) / (375 * 500);
    sum += area;
    squares += area * area;
  }
  // timm's own drawing, a million times; four standard errors.
  EXPECT_NEAR(sum / kImages, 0.43274, 0.0063);
  EXPECT_NEAR(std::sqrt(squares / kImages - std::pow(sum / kImages, 2)), 0.21627, 0.004);
}

TEST(DrawAugmentationTest, WithoutAFitTheCropIsCentral) {
  EXPECT_EQ(Fields(DrawAugmentation(1000, 10, 42, 0).crop), std::tuple(493, 0, 13, 10));
  EXPECT_EQ(Fields(DrawAugmentation(10, 1000, 42, 0).crop), std::tuple(0, 493, 10, 13));
  // The first images whose ten tries all fail although their ratio is allowed; found by another program.
  EXPECT_EQ(Fields(DrawAugmentation(310, 400, 42, 122715).crop), std::tuple(0, 0, 310, 400));
  EXPECT_EQ(Fields(DrawAugmentation(400, 310, 42, 1554043).crop), std::tuple(0, 0, 400, 310));
}

TEST(DrawAugmentationTest, OnlyTheCropDependsOnTheSize) {
  for (uint64_t image = 0; image < 100; ++image) {
    const Augmentation a = DrawAugmentation(375, 500, 9, image), b = DrawAugmentation(64, 20, 9, image);
    EXPECT_EQ(a.mirrored, b.mirrored);
    for (int i = 0; i < 2; ++i) {
      ExpectOp(b.ops[i], {a.ops[i].op->name, a.ops[i].applied, a.ops[i].magnitude, a.ops[i].sign});
    }
  }
}

// SelectImages takes the images whose words are least; the same seed draws their augmentation.
TEST(DrawAugmentationTest, SelectionDoesNotBias) {
  std::vector<std::pair<uint64_t, int64_t>> words(1000000);
  for (int64_t i = 0; i < 1000000; ++i) words[i] = {RandomWord(7, i), i};
  std::nth_element(words.begin(), words.begin() + 5000, words.end());
  int64_t mirrored = 0, applied = 0;
  std::vector<int64_t> ops(15);
  for (int i = 0; i < 5000; ++i) {
    const Augmentation drawn = DrawAugmentation(375, 500, 7, words[i].second);
    mirrored += drawn.mirrored;
    for (const DrawnOp& op : drawn.ops) {
      applied += op.applied;
      ++ops[Place(op)];
    }
  }
  EXPECT_LT(Deviation(mirrored, 5000, 0.5), 4);
  EXPECT_LT(Deviation(applied, 10000, 0.5), 4);
  EXPECT_LT(ChiSquared(ops, 10000), 36.1);
}

}  // namespace
}  // namespace qwt
