#include "core/base/compression.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(CompressionTest, ThereAndBack) {
  std::string text;
  for (const char* part : {"", "a", "a text that repeats a text that repeats a text", "\0\xff\n"}) {
    text += part;
    const auto back = Decompress(Compress(text), text.size());
    ASSERT_EQ(back.status(), absl::OkStatus());
    EXPECT_EQ(*back, text);
  }
  EXPECT_LT(Compress(std::string(100000, 'x')).size(), 200);
  // Two bytes of a header that other readers know: deflate with a window of 32 kB; a multiple of 31.
  const std::string compressed = Compress(text);
  EXPECT_EQ(compressed[0], 0x78);
  EXPECT_EQ(((compressed[0] & 255) * 256 + (compressed[1] & 255)) % 31, 0);
}

TEST(CompressionTest, DamageIsSaid) {
  const std::string text = "a text that repeats a text that repeats a text";
  const std::string compressed = Compress(text);
  const absl::Status other_size = absl::DataLossError("does not decompress to the 45 bytes that it should");
  EXPECT_EQ(Decompress(compressed, 45).status(), other_size);
  EXPECT_EQ(Decompress(compressed, 47).status(),
            absl::DataLossError("does not decompress to the 47 bytes that it should"));
  const absl::Status bad = absl::DataLossError("is not in the zlib format");
  EXPECT_EQ(Decompress("", 0).status(), bad);
  EXPECT_EQ(Decompress("no stream at all", 16).status(), bad);
  for (size_t at = 0; at < compressed.size(); ++at) {
    std::string damaged = compressed;
    damaged[at] ^= 4;
    EXPECT_FALSE(Decompress(damaged, text.size()).ok()) << at;  // Adler-32
  }
  EXPECT_FALSE(Decompress(compressed.substr(0, compressed.size() - 1), text.size()).ok());
  EXPECT_EQ(Decompress("12345678", uint64_t{1} << 60).status(),
            absl::InvalidArgumentError("8 compressed bytes cannot hold 1152921504606846976 bytes"));
}

}  // namespace
}  // namespace qwt
