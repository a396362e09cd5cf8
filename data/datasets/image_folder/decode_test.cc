// Damaged images; pillow_test.cc compares whole ones with Pillow.
#include "data/datasets/image_folder/decode.h"

#include <png.h>

#include "absl/strings/match.h"
#include "core/base/files.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

std::string Golden(const std::string& name) { return *ReadFile("tests/golden/transforms/" + name); }

void BigEndian(std::string* bytes, size_t offset, uint64_t value, int count) {
  for (int i = 0; i < count; ++i) (*bytes)[offset + i] = static_cast<char>(value >> (8 * (count - 1 - i)));
}

// A JPEG with another size in its frame header.
std::string ResizedJpeg(uint64_t height, uint64_t width) {
  std::string bytes = Golden("landscape.jpg");
  const size_t frame = bytes.find("\xff\xc0");  // marker, length, precision, height, width
  EXPECT_NE(frame, bytes.npos);
  BigEndian(&bytes, frame + 5, height, 2);
  BigEndian(&bytes, frame + 7, width, 2);
  return bytes;
}

// A PNG with another size in its header, and the header's checksum made good.
std::string ResizedPng(uint64_t height, uint64_t width) {
  std::string bytes = Golden("alpha.png");
  BigEndian(&bytes, 16, width, 4);
  BigEndian(&bytes, 20, height, 4);
  uint32_t crc = ~0u;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<uint8_t>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  BigEndian(&bytes, 29, ~crc, 4);
  return bytes;
}

// A PNG of one row of two pixels, 16 bits a sample.
std::string Png16(int color_type, const std::string& row) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, size_t count) {
        static_cast<std::string*>(png_get_io_ptr(writer))->append(reinterpret_cast<char*>(data), count);
      },
      nullptr);
  png_set_IHDR(png, info, 2, 1, 16, color_type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_row(png, reinterpret_cast<png_const_bytep>(row.data()));
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::vector<int> Values(const at::Tensor& pixels) {
  const uint8_t* bytes = pixels.const_data_ptr<uint8_t>();
  return {bytes, bytes + pixels.numel()};
}

TEST(DecodeTest, EmptyOrUnknown) {
  EXPECT_EQ(DecodeImage("").status(), absl::DataLossError("the file is empty"));
  EXPECT_EQ(DecodeImage("a").status(), absl::DataLossError("neither a JPEG nor a PNG image: begins with 0x61"));
  EXPECT_EQ(DecodeImage("GIF89a").status(),
            absl::DataLossError("neither a JPEG nor a PNG image: begins with 0x47494638"));
}

TEST(DecodeTest, TruncatedJpeg) {
  for (const char* name : {"landscape.jpg", "portrait.jpg", "cmyk.jpg"}) {
    const std::string bytes = Golden(name);
    for (size_t cut : {bytes.size() / 2, bytes.size() - 200}) {
      EXPECT_EQ(DecodeImage(bytes.substr(0, cut)).status(),
                absl::DataLossError("damaged JPEG data: Premature end of JPEG file"))
          << name;
    }
  }
  EXPECT_EQ(DecodeImage("\xff\xd8\xff").status().code(), absl::StatusCode::kDataLoss);
}

TEST(DecodeTest, DamagedJpeg) {
  std::string bytes = Golden("landscape.jpg");
  const size_t table =
      bytes.find("\xff\xc4");  // a Huffman table: marker, length, class, the number of codes of each length
  ASSERT_NE(table, bytes.npos);
  bytes[table + 5] = '\xff';
  EXPECT_EQ(DecodeImage(bytes).status(), absl::DataLossError("damaged JPEG data: Bogus Huffman table definition"));
  bytes = Golden("landscape.jpg");
  bytes.erase(bytes.size() / 2, 1000);
  EXPECT_EQ(DecodeImage(bytes).status(),
            absl::DataLossError("damaged JPEG data: Corrupt JPEG data: premature end of data segment"));
}

TEST(DecodeTest, JpegWithBytesLeftOver) {
  std::string bytes = Golden("landscape.jpg");
  bytes.insert(bytes.size() - 2, 100, 'a');  // before the end-of-image marker
  const absl::Status status =
      DecodeImage(bytes).status();  // the decoder has some of them in hand already: their number varies
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StartsWith(status.message(), "damaged JPEG data: Corrupt JPEG data: ")) << status;
  EXPECT_TRUE(absl::EndsWith(status.message(), " extraneous bytes before marker 0xd9")) << status;
}

TEST(DecodeTest, TruncatedPng) {
  for (const char* name : {"alpha.png", "grey16.png", "palette_png.JPEG"}) {
    const std::string bytes = Golden(name);
    for (size_t cut : {size_t{20}, bytes.size() / 2, bytes.size() - 1}) {
      EXPECT_EQ(DecodeImage(bytes.substr(0, cut)).status(),
                absl::DataLossError("damaged PNG data: the file ends too early"))
          << name << " " << cut;
    }
  }
}

TEST(DecodeTest, DamagedPng) {
  std::string bytes = Golden("alpha.png");
  bytes[bytes.size() / 2] ^= 1;
  const absl::Status status = DecodeImage(bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(status.message().substr(0, 18), "damaged PNG data: ") << status;
  bytes = Golden("alpha.png");
  bytes[20] ^= 1;  // the header
  EXPECT_EQ(DecodeImage(bytes).status(), absl::DataLossError("damaged PNG data: IHDR: CRC error"));
}

TEST(DecodeTest, DimensionBombsAreRefusedBeforeDecoding) {
  EXPECT_EQ(DecodeImage(ResizedJpeg(65000, 100)).status(),
            absl::DataLossError("the image is 100 x 65000 pixels; allowed are 20000 a side and 200 million in all"));
  EXPECT_EQ(DecodeImage(ResizedJpeg(16000, 16000)).status(),
            absl::DataLossError("the image is 16000 x 16000 pixels; allowed are 20000 a side and 200 million in all"));
  EXPECT_EQ(
      DecodeImage(ResizedPng(100, 2147483647)).status(),
      absl::DataLossError("the image is 2147483647 x 100 pixels; allowed are 20000 a side and 200 million in all"));
  EXPECT_EQ(DecodeImage(ResizedPng(20000, 10001)).status(),
            absl::DataLossError("the image is 10001 x 20000 pixels; allowed are 20000 a side and 200 million in all"));
}

TEST(DecodeTest, SixteenBitPngIsClippedIfGreyAndElseKeepsItsHighByte) {
  EXPECT_EQ(Values(*DecodeImage(Png16(PNG_COLOR_TYPE_GRAY, std::string("\x00\x7f\x01\x02", 4)))),
            (std::vector<int>{127, 127, 127, 255, 255, 255}));
  EXPECT_EQ(Values(*DecodeImage(
                Png16(PNG_COLOR_TYPE_RGB, std::string("\x00\xff\x01\x02\xff\x00\x7f\xff\x80\x00\x12\x34", 12)))),
            (std::vector<int>{0, 1, 255, 127, 128, 18}));
  EXPECT_EQ(Values(*DecodeImage(Png16(PNG_COLOR_TYPE_GRAY_ALPHA, std::string("\x10\xff\x00\x00\xf0\x00\x80\x00", 8)))),
            (std::vector<int>{16, 16, 16, 240, 240, 240}));
}

}  // namespace
}  // namespace qwt
