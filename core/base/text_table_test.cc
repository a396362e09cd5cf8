#include "core/base/text_table.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(TextTableTest, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(TextTable({Align::kLeft, Align::kRight, Align::kLeft},
                      {{"name", "numel", "site"}, {"w", "12", ""}, {"σ and R²", "1,234,567", "blocks.0"}}),
            "  name          numel  site\n"
            "  w                12\n"
            "  σ and R²  1,234,567  blocks.0\n");
}

TEST(GroupedDigitsTest, InThrees) {
  EXPECT_EQ(GroupedDigits(0), "0");
  EXPECT_EQ(GroupedDigits(999), "999");
  EXPECT_EQ(GroupedDigits(1000), "1,000");
  EXPECT_EQ(GroupedDigits(22050664), "22,050,664");
  EXPECT_EQ(GroupedDigits(-123456), "-123,456");
}

}  // namespace
}  // namespace qwt
