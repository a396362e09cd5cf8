#include "core/comm/exact_sum.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <random>
#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/tensor.h"
#include "core/comm/run_ranks.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

// Terms whose magnitudes differ by up to 2^40 and which cancel: plain addition gives another sum for nearly every
// order.
std::vector<at::Tensor> Terms(int count, int64_t width) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> mantissa(-1, 1);
  std::uniform_int_distribution<int> exponent(-20, 20);
  std::vector<at::Tensor> terms;
  for (int i = 0; i < count; ++i) {
    terms.push_back(at::empty({width}, at::kDouble));
    for (int64_t j = 0; j < width; ++j) {
      terms.back().mutable_data_ptr<double>()[j] = std::ldexp(mantissa(random), exponent(random));
    }
  }
  return terms;
}

at::Tensor SumOf(const std::vector<at::Tensor>& terms) {
  ExactSum sum;
  for (const at::Tensor& term : terms) sum.Add(term);
  return sum.Value();
}

TEST(ExactSumTest, DoesNotDependOnTheOrder) {
  std::vector<at::Tensor> terms = Terms(200, 500);
  const at::Tensor expected = SumOf(terms);
  std::mt19937_64 random(8);
  int plain_differs = 0;
  at::Tensor plain = at::full({500}, 0.0, at::kDouble);
  for (const at::Tensor& term : terms) plain += term;
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::shuffle(terms.begin(), terms.end(), random);
    EXPECT_TRUE(SameBits(SumOf(terms), expected));
    at::Tensor shuffled = at::full({500}, 0.0, at::kDouble);
    for (const at::Tensor& term : terms) shuffled += term;
    plain_differs += !SameBits(shuffled, plain);
  }
  EXPECT_EQ(plain_differs, 20);  // or this test shows nothing
}

TEST(ExactSumTest, IsTheNearestDoubleWhereAllButALittleCancels) {
  const double tiny = std::ldexp(1.0, -60);
  EXPECT_EQ(SumOf({at::tensor({1e17}), at::tensor({1.0}), at::tensor({tiny}), at::tensor({-1e17})}).item<double>(),
            1.0);
  EXPECT_EQ(SumOf({at::tensor({1e17}), at::tensor({1.0}), at::tensor({tiny}), at::tensor({-1e17}), at::tensor({-1.0})})
                .item<double>(),
            tiny);
}

TEST(ExactSumTest, SumsOfSumsAreTheSameAsOneSum) {
  const std::vector<at::Tensor> terms = Terms(60, 200);
  ExactSum parts[3], total;
  for (int i = 0; i < 60; ++i) parts[i % 3].Add(terms[i]);
  for (const ExactSum& part : parts) total.Add(part);
  total.Add(ExactSum());
  EXPECT_TRUE(SameBits(total.Value(), SumOf(terms)));
}

TEST(ExactSumTest, NothingAddedIsUndefinedAndAfterReduceZero) {
  ExactSum sum;
  EXPECT_FALSE(sum.Value().defined());
  ASSERT_EQ(sum.Reduce(*MakeLocalCommunicator(), {2, 2}), absl::OkStatus());
  EXPECT_TRUE(SameBits(sum.Value(), at::full({2, 2}, 0.0, at::kDouble)));
}

TEST(ExactSumTest, WhatIsNotFiniteStaysWhatAdditionMakesOfIt) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(SumOf({at::tensor({infinity}), at::tensor({1.0})}).item<double>(), infinity);
  EXPECT_EQ(SumOf({at::tensor({1.0}), at::tensor({-infinity}), at::tensor({1.0})}).item<double>(), -infinity);
  EXPECT_TRUE(std::isnan(SumOf({at::tensor({infinity}), at::tensor({-infinity})}).item<double>()));
}

// Item i belongs to rank i % ranks; the last rank of four has nothing at all.
TEST(ExactSumTest, OneTwoThreeAndFourRanksGiveTheSameBits) {
  std::vector<at::Tensor> terms = Terms(3, 300);
  terms[0].mutable_data_ptr<double>()[0] = -0.0;
  terms[1].mutable_data_ptr<double>()[0] = -0.0;
  terms[2].mutable_data_ptr<double>()[0] = -0.0;
  const at::Tensor expected = SumOf(terms);
  for (int ranks : {1, 2, 3, 4}) {
    std::mutex mutex;
    std::vector<at::Tensor> values;
    RunRanks(ranks, [&](Communicator& comm) {
      ExactSum sum;
      for (size_t i = comm.rank(); i < terms.size(); i += comm.size()) sum.Add(terms[i]);
      ASSERT_EQ(sum.Reduce(comm, {300}), absl::OkStatus());
      std::lock_guard<std::mutex> lock(mutex);
      values.push_back(sum.Value());
    });
    ASSERT_EQ(values.size(), ranks);
    for (const at::Tensor& value : values) EXPECT_TRUE(SameBits(value, expected)) << ranks << " ranks";
  }
}

}  // namespace
}  // namespace qwt
