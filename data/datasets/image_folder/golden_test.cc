// From the JPEG to Pillow's pixels: the largest difference of each golden image, and whose decoder it is.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/base/files.h"
#include "data/datasets/image_folder/decode.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr char kFolder[] = "tests/golden/transforms/";

TEST(GoldenTest, LargestDifferenceToPillow) {
  RecordProperty("decoder", JpegDecoderVersion());
  int compared = 0;
  for (const char* name : {"landscape", "portrait", "narrow", "banner", "grey", "cmyk"}) {
    const at::Tensor pixels = *DecodeImage(*ReadFile(std::string(kFolder) + name + ".jpg"));
    // What Pillow decoded, without loss.
    const at::Tensor recorded = *DecodeImage(*ReadFile(std::string(kFolder) + name + "_decoded.png"));
    ASSERT_EQ(pixels.sizes(), recorded.sizes()) << name;
    int largest = 0;
    for (int64_t i = 0; i < pixels.numel(); ++i) {
      largest =
          std::max(largest, std::abs(pixels.const_data_ptr<uint8_t>()[i] - recorded.const_data_ptr<uint8_t>()[i]));
    }
    RecordProperty(std::string(name) + "_largest_difference", largest);
    EXPECT_EQ(largest, 0) << name << ", decoded by " << JpegDecoderVersion();
    ++compared;
  }
  EXPECT_EQ(compared, 6);
}

}  // namespace
}  // namespace qwt
