#include "core/base/strings.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(NearestNameTest, FindsTypos) {
  const std::vector<std::string> names = {"activation_bits", "method", "weight_bits"};
  EXPECT_EQ(NearestName("weight_bit", names), "weight_bits");    // left out
  EXPECT_EQ(NearestName("btis", {"bits"}), "bits");              // swapped
  EXPECT_EQ(NearestName("weight_bitss", names), "weight_bits");  // too much
  EXPECT_EQ(NearestName("nethod", names), "method");             // replaced
  EXPECT_EQ(NearestName("Weight-Bits", names), "weight_bits");   // case and dashes do not count
}

TEST(NearestNameTest, TakesTheNearestAndOfEquallyNearTheFirst) {
  EXPECT_EQ(NearestName("gelu", {"silu", "gel", "gelu2d"}), "gel");
  EXPECT_EQ(NearestName("gelu", {"relu", "selu"}), "relu");
}

TEST(NearestNameTest, ABeginningIsMeantEvenWhenMuchIsMissing) {
  EXPECT_EQ(NearestName("fashion", {"fashion_mnist", "image_folder"}), "fashion_mnist");
  EXPECT_EQ(NearestName("fa", {"fashion_mnist", "image_folder"}), "");
}

TEST(NearestNameTest, NothingWhereMoreThanAThirdDiffers) {
  EXPECT_EQ(NearestName("abcdefghi", {"abcdefxyz"}), "abcdefxyz");
  EXPECT_EQ(NearestName("abcdefghi", {"abcdewxyz"}), "");
  EXPECT_EQ(NearestName("x", {}), "");
  EXPECT_EQ(NearestName("", {"bits"}), "");
}

TEST(NearestNamesTest, TheNearestFirstHoweverFar) {
  const std::vector<std::string> names = {"head", "fc2", "fc1", "FC-3x"};
  EXPECT_EQ(NearestNames("fc_3", names, 3), (std::vector<std::string>{"FC-3x", "fc2", "fc1"}));
  EXPECT_EQ(NearestNames("fc2", names, 9), (std::vector<std::string>{"fc2", "fc1", "FC-3x", "head"}));
  EXPECT_EQ(NearestNames("a", {}, 2), std::vector<std::string>{});
}

TEST(DidYouMeanTest, IsAnInsertionForMessages) {
  EXPECT_EQ(DidYouMean("bit", {"bits"}), " (did you mean 'bits'?)");
  EXPECT_EQ(DidYouMean("seed", {"bits"}), "");
}

}  // namespace
}  // namespace qwt
