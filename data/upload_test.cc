#include "data/upload.h"

#include <vector>

#include "ATen/ops/empty.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

// Every byte in every channel.
at::Tensor AllBytes() {
  at::Tensor crops = at::empty({2, 8, 16, 3}, at::kByte);
  uint8_t* bytes = crops.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < crops.numel(); ++i) bytes[i] = static_cast<uint8_t>(i / 3 + 85 * (i % 3));
  return crops;
}

TEST(CropNormaliserTest, GivesTheBitsOfNormaliseInto) {
  const at::Tensor crops = AllBytes();
  for (const std::string& name : PresetNames()) {
    const Preset preset = *FindPreset(name);
    const at::Tensor images = CropNormaliser(preset, at::kCPU)(crops);
    EXPECT_EQ(images.scalar_type(), at::kFloat);
    EXPECT_TRUE(images.is_contiguous());
    ASSERT_EQ(images.sizes(), (std::vector<int64_t>{2, 3, 8, 16}));
    for (int64_t i = 0; i < crops.size(0); ++i) {
      EXPECT_TRUE(images[i].equal(Normalise(crops[i], preset))) << name << ", image " << i;
    }
  }
}

TEST(CropNormaliserTest, LeavesTheBytesAsTheyAre) {
  const at::Tensor crops = AllBytes();
  CropNormaliser(*FindPreset("deit"), at::kCPU)(crops);
  EXPECT_TRUE(crops.equal(AllBytes()));
}

TEST(CropNormaliserTest, NoImages) {
  EXPECT_EQ(CropNormaliser(*FindPreset("vit"), at::kCPU)(AllBytes().narrow(0, 0, 0)).sizes(),
            (std::vector<int64_t>{0, 3, 8, 16}));
}

}  // namespace
}  // namespace qwt
