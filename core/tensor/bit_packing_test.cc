#include "core/tensor/bit_packing.h"

#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/zeros.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

at::Tensor Bytes(const std::vector<uint8_t>& values) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kByte);
  std::copy(values.begin(), values.end(), tensor.data_ptr<uint8_t>());
  return tensor;
}

// Written down by hand: the first code is lowest.
TEST(BitPackingTest, Layout) {
  EXPECT_TRUE(at::equal(PackBits(Bytes({0x1, 0x2, 0xf}), 4), Bytes({0x21, 0x0f})));
  EXPECT_TRUE(at::equal(PackBits(Bytes({1, 2, 3, 0}), 2), Bytes({0b00'11'10'01})));
  // 5 = 101, 3 = 011, 6 = 110: 110'011'101, the lowest eight first.
  EXPECT_TRUE(at::equal(PackBits(Bytes({5, 3, 6}), 3), Bytes({0b10'011'101, 0b1})));
  EXPECT_TRUE(at::equal(PackBits(Bytes({7, 255}), 8), Bytes({7, 255})));
}

TEST(BitPackingTest, ThereAndBackAtEveryWidthAndLength) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (int64_t count : {0, 1, 2, 3, 7, 8, 9, 40, 1001}) {
      std::vector<uint8_t> values;
      for (int64_t i = 0; i < count; ++i) values.push_back((i * 2654435761u >> 7) & ((1 << bits) - 1));
      const at::Tensor codes = Bytes(values), packed = PackBits(codes, bits);
      EXPECT_EQ(packed.numel(), (count * bits + 7) / 8);
      const auto back = UnpackBits(packed, bits, codes.sizes());
      ASSERT_EQ(back.status(), absl::OkStatus());
      EXPECT_TRUE(at::equal(*back, codes)) << bits << " bits, " << count << " codes";
    }
  }
  const auto shaped = UnpackBits(at::zeros({3}, at::kByte), 4, {2, 3});
  ASSERT_EQ(shaped.status(), absl::OkStatus());
  EXPECT_EQ(shaped->sizes(), at::IntArrayRef({2, 3}));
}

TEST(BitPackingTest, AWrongNumberOfBytesIsSaid) {
  for (int64_t bytes : {1, 3}) {
    EXPECT_EQ(UnpackBits(at::zeros({bytes}, at::kByte), 4, {3}).status(),
              absl::DataLossError("3 codes of 4 bits take 2 bytes, there are " + std::to_string(bytes)));
  }
}

}  // namespace
}  // namespace qwt
