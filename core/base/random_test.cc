#include "core/base/random.h"

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
constexpr int64_t kCount = 100000;

// Stored results depend on these: they must never change. Computed by another program from the definition.
TEST(RandomTest, IsTheSameOnEveryMachine) {
  EXPECT_EQ(RandomWord(0, 0), 0x48294f70ccf5e4fc);
  EXPECT_EQ(RandomWord(0, 1), 0x3675d34e97b17c7a);
  EXPECT_EQ(RandomWord(1, 0), 0x39b4332fd4168839);
  EXPECT_EQ(RandomWord(42, 7), 0x6f9508402de7121b);
  EXPECT_EQ(RandomWord(kLast, kLast), 0x445018e305810b78);
  EXPECT_EQ(RandomUniform(42, 7), 0.43586780135038006);
  EXPECT_EQ(RandomBelow(42, 7, 10), 4);
  EXPECT_NEAR(RandomNormal(0, 0), -0.14168425787561958, 1e-15);
  EXPECT_NEAR(RandomNormal(kLast, kLast), 2.422621911109344, 1e-15);
}

TEST(RandomTest, UniformFillsTheUnitInterval) {
  double sum = 0, squares = 0, neighbours = 0, seeds = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    const double value = RandomUniform(5, i);
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
    squares += value * value;
    neighbours += (value - 0.5) * (RandomUniform(5, i + 1) - 0.5);
    seeds += (value - 0.5) * (RandomUniform(6, i) - 0.5);
  }
  // Four standard errors of 100,000 draws.
  EXPECT_NEAR(sum / kCount, 1.0 / 2, 0.0037);
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 0.0038);
  EXPECT_NEAR(12 * neighbours / kCount, 0, 0.013);
  EXPECT_NEAR(12 * seeds / kCount, 0, 0.013);
}

TEST(RandomTest, BelowTakesEveryValueEquallyOften) {
  std::vector<int64_t> counts(15);
  for (int64_t i = 0; i < kCount; ++i) ++counts.at(RandomBelow(5, i, 15));
  double chi_squared = 0;
  for (int64_t count : counts) chi_squared += std::pow(count - kCount / 15.0, 2) / (kCount / 15.0);
  EXPECT_LT(chi_squared, 36.1);  // 14 degrees of freedom: exceeded once in a thousand times
  EXPECT_EQ(RandomBelow(5, 3, 1), 0);
  for (int64_t i = 0; i < 1000; ++i) ASSERT_LT(RandomBelow(5, i, int64_t{1} << 53), int64_t{1} << 53);
}

TEST(RandomTest, NormalHasTheMomentsAndTailsOfOne) {
  double sum = 0, squares = 0, cubes = 0, beyond_two = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    const double value = RandomNormal(5, i);
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
    cubes += value * value * value;
    beyond_two += std::fabs(value) > 2;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.0127);
  EXPECT_NEAR(squares / kCount, 1, 0.018);
  EXPECT_NEAR(cubes / kCount, 0, 0.049);
  EXPECT_NEAR(beyond_two / kCount, 0.0455, 0.0027);
}

TEST(RandomTest, WordsOfWordsDiffer) {
  std::set<uint64_t> words;
  for (uint64_t image = 0; image < 1000; ++image) {
    for (uint64_t draw = 0; draw < 32; ++draw) words.insert(RandomWord(RandomWord(0, image), draw));
  }
  EXPECT_EQ(words.size(), 32000);
}

}  // namespace
}  // namespace qwt
