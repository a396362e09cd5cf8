#include "core/base/byte_count.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(ByteCountTest, ReadsWhatPeopleWrite) {
  EXPECT_EQ(ParseBytes("20GB"), 20000000000);
  EXPECT_EQ(ParseBytes("1.5MB"), 1500000);
  EXPECT_EQ(ParseBytes("2GiB"), int64_t{2} << 30);
  EXPECT_EQ(ParseBytes("0"), 0);
  EXPECT_EQ(ParseBytes("123"), 123);
  for (const char* text : {"", "GB", "20 GB", "20gb", "1.2.3GB", "-5GB", "1e3", "auto", "99999999999TB"}) {
    EXPECT_FALSE(ParseBytes(text).has_value()) << text;
  }
}

TEST(ByteCountTest, WritesTwoDigits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1234), "1.2 kB");
  EXPECT_EQ(FormatBytes(9960000), "10 MB");
  EXPECT_EQ(FormatBytes(999600000), "1.0 GB");
  EXPECT_EQ(FormatBytes(int64_t{5000} * 1000000000000), "5000 TB");
}

TEST(ByteCountTest, ThisMachineHasMemory) { EXPECT_GT(AvailableMemoryBytes(), 1 << 20); }

}  // namespace
}  // namespace qwt
