// Damaged, forged and scaled images and rare kinds; golden_test.cc and pillow_test.cc compare whole ones with Pillow.
#include "data/datasets/image_folder/decode.h"

#include <cstdio>  // jpeglib.h needs it
//
#include <jpeglib.h>
#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

std::string Golden(const std::string& name) { return *ReadFile("tests/golden/transforms/" + name); }

void BigEndian(std::string* bytes, size_t offset, uint64_t value, int count) {
  for (int i = 0; i < count; ++i) (*bytes)[offset + i] = static_cast<char>(value >> (8 * (count - 1 - i)));
}

// A JPEG with another size in its frame header.
std::string ResizedJpeg(uint64_t height, uint64_t width, std::string bytes = Golden("landscape.jpg")) {
  // Marker, length, precision, height, width.
  const size_t frame = std::min(bytes.find("\xff\xc0"), bytes.find("\xff\xc2"));
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

// A PNG of `rows`, each of `width` pixels.
std::string WritePng(int width, int depth, int color_type, int interlace, const std::vector<std::string>& rows) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, size_t count) {
        static_cast<std::string*>(png_get_io_ptr(writer))->append(reinterpret_cast<char*>(data), count);
      },
      nullptr);
  png_set_IHDR(png, info, width, rows.size(), depth, color_type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  std::vector<png_bytep> pointers;
  for (const std::string& row : rows) pointers.push_back(reinterpret_cast<png_bytep>(const_cast<char*>(row.data())));
  png_set_interlace_handling(png);
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::string Png16(int color_type, const std::string& row) {
  return WritePng(2, 16, color_type, PNG_INTERLACE_NONE, {row});
}

// A grey progressive JPEG of 16 x 16 pixels in 1 + 11 * coefficients scans: each coefficient by itself, bit by bit.
std::string JpegOfManyScans(int coefficients) {
  constexpr int kHighestBit = 10;
  std::vector<jpeg_scan_info> scans = {{1, {0}, 0, 0, 0, 0}};
  for (int k = 1; k <= coefficients; ++k) {
    scans.push_back({1, {0}, k, k, 0, kHighestBit});
    for (int bit = kHighestBit; bit-- > 0;) scans.push_back({1, {0}, k, k, bit + 1, bit});
  }
  jpeg_compress_struct jpeg;
  jpeg_error_mgr errors;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* target = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &target, &size);
  jpeg.image_width = jpeg.image_height = 16;
  jpeg.input_components = 1;
  jpeg.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&jpeg);
  jpeg.scan_info = scans.data();
  jpeg.num_scans = scans.size();
  jpeg_start_compress(&jpeg, TRUE);
  for (int y = 0; y < 16; ++y) {
    JSAMPLE row[16];
    for (int x = 0; x < 16; ++x) row[x] = (x * 37 + y * 91) % 256;
    JSAMPROW rows[] = {row};
    jpeg_write_scanlines(&jpeg, rows, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string bytes(reinterpret_cast<char*>(target), size);
  std::free(target);
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

TEST(DecodeTest, FiftyThousandPixelsASide) {
  for (const std::string& bomb : {ResizedJpeg(50000, 50000), ResizedPng(50000, 50000)}) {
    EXPECT_EQ(
        DecodeImage(bomb).status(),
        absl::DataLossError("the image is 50000 x 50000 pixels; allowed are 20000 a side and 200 million in all"));
  }
}

TEST(DecodeTest, MorePixelsThanTheFileCanHold) {
  const std::string jpeg = ResizedJpeg(16000, 10000), png = ResizedPng(16000, 10000);
  EXPECT_EQ(DecodeImage(jpeg).status(),
            absl::DataLossError("the image claims 10000 x 16000 pixels, which 31360 bytes cannot hold"));
  EXPECT_EQ(DecodeImage(png).status(),
            absl::DataLossError("the image claims 10000 x 16000 pixels, which 34641 bytes cannot hold"));
  // Just below the bound it is the decoder that finds the data missing. Flat images come near it.
  EXPECT_EQ(DecodeImage(ResizedJpeg(4000, 4000)).status().message().substr(0, 19), "damaged JPEG data: ");
  EXPECT_EQ(DecodeImage(ResizedPng(3000, 2900)).status().message().substr(0, 18), "damaged PNG data: ");
  const std::string flat =
      WritePng(1500, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, std::vector<std::string>(1500, std::string(1500, 7)));
  ASSERT_LT(flat.size(), 6000);  // 2,250,000 bytes unpacked
  EXPECT_TRUE(DecodeImage(flat).ok());
}

TEST(DecodeTest, ScanBombs) {
  EXPECT_TRUE(DecodeImage(JpegOfManyScans(45)).ok());  // 496 scans
  EXPECT_EQ(DecodeImage(JpegOfManyScans(46)).status(),
            absl::DataLossError("damaged JPEG data: Progressive JPEG image has more than 500 scans"));
  EXPECT_EQ(DecodeImage(ResizedJpeg(2500, 2500, JpegOfManyScans(40))).status(),
            absl::DataLossError("the JPEG image of 2500 x 2500 pixels has 441 scans; allowed are 320 at this size"));
}

// libpng would take two gigabytes for the first, untouched: only the fuzzer's limit on single allocations sees that
// (corpus/image/large_chunk.png).
TEST(DecodeTest, PngChunksBesideThePixelsArePassedOver) {
  const std::string png = Golden("alpha.png");
  constexpr size_t kHeaderEnd = 33;
  std::string bytes = png;
  bytes.insert(kHeaderEnd, std::string("\x7f\xff\xff\xf0iTXtab", 10));
  EXPECT_EQ(DecodeImage(bytes).status(), absl::DataLossError("damaged PNG data: the file ends too early"));
  bytes = png;
  bytes.insert(kHeaderEnd, std::string("\0\0\0\2iTXtab????", 14));  // neither its content nor its checksum is looked at
  ASSERT_TRUE(DecodeImage(bytes).ok()) << DecodeImage(bytes).status();
  EXPECT_TRUE(DecodeImage(bytes)->equal(*DecodeImage(png)));
}

TEST(DecodeTest, ScaledSizes) {
  const auto size = [](const char* name, int64_t least_side) {
    const at::Tensor pixels = *DecodeImage(Golden(name), least_side);
    return std::vector<int64_t>{pixels.size(0), pixels.size(1)};
  };
  using Size = std::vector<int64_t>;
  EXPECT_EQ(size("landscape.jpg", 0), (Size{375, 500}));
  EXPECT_EQ(size("landscape.jpg", 1000), (Size{375, 500}));
  EXPECT_EQ(size("landscape.jpg", 189), (Size{375, 500}));
  EXPECT_EQ(size("landscape.jpg", 188), (Size{188, 250}));  // sides are rounded up
  EXPECT_EQ(size("landscape.jpg", 95), (Size{188, 250}));
  EXPECT_EQ(size("landscape.jpg", 94), (Size{94, 125}));
  EXPECT_EQ(size("landscape.jpg", 47), (Size{47, 63}));
  EXPECT_EQ(size("landscape.jpg", 1), (Size{47, 63}));
  EXPECT_EQ(size("portrait.jpg", 100), (Size{250, 188}));  // progressive
  EXPECT_EQ(size("grey.jpg", 60), (Size{61, 82}));
  EXPECT_EQ(size("cmyk.jpg", 100), (Size{150, 128}));
  EXPECT_EQ(size("alpha.png", 10), (Size{236, 230}));  // only JPEG has scaled decoding
}

// The largest and the mean difference between a scaled image and the full one shrunk by averaging squares.
std::pair<int, double> ScalingDifference(const char* name, int64_t divisor) {
  const at::Tensor full = *DecodeImage(Golden(name));
  const at::Tensor scaled = *DecodeImage(Golden(name), std::min(full.size(0), full.size(1)) / divisor);
  EXPECT_EQ(scaled.size(0), (full.size(0) + divisor - 1) / divisor);
  const uint8_t *from = full.const_data_ptr<uint8_t>(), *to = scaled.const_data_ptr<uint8_t>();
  const int64_t height = full.size(0) / divisor, width = full.size(1) / divisor;  // whole squares only
  int largest = 0;
  int64_t sum = 0;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < 3 * width; ++x) {
      int64_t square = divisor * divisor / 2;
      for (int64_t i = 0; i < divisor * divisor; ++i) {
        square += from[((y * divisor + i / divisor) * full.size(1) + x / 3 * divisor + i % divisor) * 3 + x % 3];
      }
      const int difference = std::abs(static_cast<int>(square / (divisor * divisor)) - to[y * scaled.size(1) * 3 + x]);
      largest = std::max(largest, difference);
      sum += difference;
    }
  }
  return {largest, static_cast<double>(sum) / (3 * height * width)};
}

TEST(DecodeTest, ScaledPixelsAreNearlyTheMeansOfSquares) {
  for (const char* name : {"landscape.jpg", "portrait.jpg", "narrow.jpg", "grey.jpg", "cmyk.jpg"}) {
    for (int64_t divisor : {2, 4, 8}) {
      const auto [largest, mean] = ScalingDifference(name, divisor);
      RecordProperty(absl::StrCat(name, "_", divisor), absl::StrCat("largest ", largest, ", mean ", mean));
      EXPECT_LE(mean, 2) << name << " 1/" << divisor;
      EXPECT_LE(largest, 40) << name << " 1/" << divisor;
    }
  }
}

TEST(DecodeTest, InksAsLuminance) {  // YCCK, what Photoshop writes; cmyk.jpg holds the inks themselves
  std::vector<uint8_t> inks;
  for (int i = 0; i < 16 * 16; ++i) inks.insert(inks.end(), {200, 100, 50, 204});  // inverted: light, not ink
  unsigned char* target = nullptr;
  unsigned long size = 0;
  tjhandle compressor = tjInitCompress();
  ASSERT_EQ(tjCompress2(compressor, inks.data(), 16, 0, 16, TJPF_CMYK, &target, &size, TJSAMP_444, 100, 0), 0);
  const std::string bytes(reinterpret_cast<char*>(target), size);
  tjhandle decompressor = tjInitDecompress();
  int width, height, subsampling, colorspace;
  ASSERT_EQ(tjDecompressHeader3(decompressor, target, size, &width, &height, &subsampling, &colorspace), 0);
  tjDestroy(compressor);
  tjDestroy(decompressor);
  tjFree(target);
  EXPECT_EQ(colorspace, TJCS_YCCK);
  const at::Tensor pixels = *DecodeImage(bytes);
  EXPECT_NEAR(pixels.const_data_ptr<uint8_t>()[0], 160, 2);
  EXPECT_NEAR(pixels.const_data_ptr<uint8_t>()[1], 80, 2);
  EXPECT_NEAR(pixels.const_data_ptr<uint8_t>()[2], 40, 2);
}

TEST(DecodeTest, FewBitsAndInterlacedPng) {
  EXPECT_EQ(Values(*DecodeImage(WritePng(3, 1, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, {"\xa0"}))),
            (std::vector<int>{255, 255, 255, 0, 0, 0, 255, 255, 255}));
  EXPECT_EQ(Values(*DecodeImage(WritePng(2, 4, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, {"\x3f"}))),
            (std::vector<int>{51, 51, 51, 255, 255, 255}));
  std::vector<std::string> rows(9);
  for (int i = 0; i < 9 * 33; ++i) rows[i / 33].push_back(static_cast<char>(i * 29 % 251));
  EXPECT_EQ(Values(*DecodeImage(WritePng(11, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_ADAM7, rows))),
            Values(*DecodeImage(WritePng(11, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, rows))));
}

TEST(DecodeTest, VersionOfTheDecoder) { EXPECT_TRUE(absl::StartsWith(JpegDecoderVersion(), "libjpeg-turbo 2.")); }

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
