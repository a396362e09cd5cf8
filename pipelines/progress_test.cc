#include "pipelines/progress.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(BoundByTest, SaysWhatMostOfTheTimeWasWaitedFor) {
  EXPECT_STREQ(BoundBy(0, 0, 10), "compute");
  EXPECT_STREQ(BoundBy(5, 0, 10), "compute");
  EXPECT_STREQ(BoundBy(6, 0, 10), "decode");
  EXPECT_STREQ(BoundBy(0, 6, 10), "transfer");
  EXPECT_STREQ(BoundBy(3, 4, 10), "transfer") << "together they are more than half";
  EXPECT_STREQ(BoundBy(4, 3, 10), "decode");
}

}  // namespace
}  // namespace qwt
