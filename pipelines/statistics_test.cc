#include "pipelines/statistics.h"

#include <tuple>

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

// Twice the binomial tail, at most 1, worked in exact integers outside this project.
TEST(McNemarTest, FewDiscordantImagesAreTestedExactly) {
  for (const auto& [first, second, p] :
       {std::tuple(0, 0, 1.0), std::tuple(1, 0, 1.0), std::tuple(5, 0, 0.0625), std::tuple(2, 8, 0.109375),
        std::tuple(5, 5, 1.0), std::tuple(5, 19, 0.006610751152038574)}) {
    EXPECT_NEAR(McNemarTest(first, second).p, p, 1e-12) << first << " " << second;
    EXPECT_NEAR(McNemarTest(second, first).p, p, 1e-12) << second << " " << first;
    EXPECT_TRUE(McNemarTest(first, second).exact);
  }
}

// Of many, chi-squared with Yates' correction: (|b - c| - 1)² / (b + c) and its tail, worked outside this project.
TEST(McNemarTest, ManyAreTestedByChiSquared) {
  const McNemar test = McNemarTest(121, 59);
  EXPECT_FALSE(test.exact);
  EXPECT_NEAR(test.p, 5.450094825427123e-06, 1e-12);
  EXPECT_NEAR(McNemarTest(59, 121).p, test.p, 1e-15);
  EXPECT_NEAR(McNemarTest(10, 15).p, 0.4237107971667934, 1e-12);
  EXPECT_EQ(McNemarTest(13, 12).p, 1);
  EXPECT_EQ(McNemarTest(50, 50).p, 1);
  EXPECT_LT(McNemarTest(3000, 0).p, 1e-300);
}

}  // namespace
}  // namespace qwt
