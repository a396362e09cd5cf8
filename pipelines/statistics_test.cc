#include "pipelines/statistics.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

// Wilson's formula worked in double precision outside this project.
TEST(WilsonIntervalTest, MatchesPublishedValues) {
  Interval interval = WilsonInterval(8, 10);
  EXPECT_NEAR(interval.low, 0.4901624715, 1e-9);
  EXPECT_NEAR(interval.high, 0.9433178485, 1e-9);
  interval = WilsonInterval(0, 50);
  EXPECT_NEAR(interval.low, 0, 1e-12);
  EXPECT_NEAR(interval.high, 0.0713475991, 1e-9);
  interval = WilsonInterval(8952, 10000);
  EXPECT_NEAR(interval.low, 0.8890441961, 1e-9);
  EXPECT_NEAR(interval.high, 0.9010522916, 1e-9);
}

}  // namespace
}  // namespace qwt
