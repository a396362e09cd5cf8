#include "models/windows.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/tensor.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

std::vector<int64_t> Integers(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kLong).flatten().contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

using Values = std::vector<int64_t>;

TEST(WindowsTest, WindowsAndTheirTokensLieRowByRow) {
  const at::Tensor windows = SplitWindows(at::arange(16, at::kFloat).reshape({1, 16, 1}), {4, 4, 2, 0});
  EXPECT_EQ(windows.sizes(), (at::IntArrayRef{4, 4, 1}));
  EXPECT_EQ(Integers(windows), (Values{0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15}));
}

TEST(WindowsTest, ShiftRollsUpAndLeft) {
  const at::Tensor windows = SplitWindows(at::arange(16, at::kFloat).reshape({1, 16, 1}), {4, 4, 2, 1});
  EXPECT_EQ(Integers(windows), (Values{5, 6, 9, 10, 7, 4, 11, 8, 13, 14, 1, 2, 15, 12, 3, 0}));
}

TEST(WindowsTest, MergingUndoesSplittingWhateverTheSides) {
  const at::Tensor x = at::arange(3 * 6 * 9 * 2, at::kFloat).reshape({3, 54, 2});
  for (int64_t shift : {0, 1, 2}) {
    const WindowGrid grid = {6, 9, 3, shift};
    const at::Tensor windows = SplitWindows(x, grid);
    EXPECT_EQ(windows.sizes(), (at::IntArrayRef{18, 9, 2}));
    EXPECT_EQ(windows.equal(x.reshape({18, 9, 2})), false);
    EXPECT_TRUE(MergeWindows(windows, grid).equal(x)) << shift;
  }
}

// As the published relative_position_index of a 2 x 2 window.
TEST(WindowsTest, RelativePositions) {
  EXPECT_EQ(Integers(RelativePositionIndex(2)), (Values{4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4}));
  EXPECT_EQ(Integers(RelativePositionIndex(1)), (Values{0}));
}

TEST(WindowsTest, MaskParts) {
  const at::Tensor mask = WindowMask({4, 4, 2, 1});
  ASSERT_EQ(mask.sizes(), (at::IntArrayRef{4, 4, 4}));
  EXPECT_EQ(mask[0].count_nonzero().item<int64_t>(), 0);
  // Right: columns 3 and 0. Below: rows 3 and 0. The corner: four tokens from four sides.
  const int64_t o = -100;
  EXPECT_EQ(Integers(mask[1]), (Values{0, o, 0, o, o, 0, o, 0, 0, o, 0, o, o, 0, o, 0}));
  EXPECT_EQ(Integers(mask[2]), (Values{0, 0, o, o, 0, 0, o, o, o, o, 0, 0, o, o, 0, 0}));
  EXPECT_EQ(Integers(mask[3]), (Values{0, o, o, o, o, 0, o, o, o, o, 0, o, o, o, o, 0}));
  EXPECT_EQ(WindowMask({4, 4, 2, 0}).count_nonzero().item<int64_t>(), 0);
}

TEST(WindowsTest, PatchesAreMergedColumnByColumn) {
  const at::Tensor x = at::arange(16, at::kFloat).reshape({1, 8, 2});  // 2 x 4 tokens of two channels
  const at::Tensor merged = MergePatches(x, 2, 4);
  EXPECT_EQ(merged.sizes(), (at::IntArrayRef{1, 2, 8}));
  EXPECT_EQ(Integers(merged), (Values{0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15}));
}

}  // namespace
}  // namespace qwt
