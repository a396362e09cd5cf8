#include "qwt/normal_equations.h"

#include <cmath>
#include <string>
#include <vector>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/linalg_pinv.h"
#include "ATen/ops/linalg_solve.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/randn.h"
#include "core/comm/run_ranks.h"
#include "core/tensor/safetensors.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kFloat));
}

double MaxAbs(const at::Tensor& x) { return x.abs().max().item<double>(); }

double RelativeError(const at::Tensor& actual, const at::Tensor& expected) {
  return MaxAbs(actual - expected) / MaxAbs(expected);
}

// Σ over the data itself, in float64.
double DirectResidualSquares(const at::Tensor& x, const at::Tensor& r, const at::Tensor& weight,
                             const at::Tensor& bias) {
  const at::Tensor residual = r.to(at::kDouble) - at::matmul(x.to(at::kDouble), weight) - bias;
  return (residual * residual).sum().item<double>();
}

double DirectCentredSquares(const at::Tensor& r) {
  const at::Tensor rows = r.to(at::kDouble).reshape({-1, r.size(-1)});
  const at::Tensor centred = rows - rows.mean(0);
  return (centred * centred).sum().item<double>();
}

class GoldenFitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<TensorFile> file = ReadSafetensors("tests/golden/networks/vit_w4a4.safetensors");
    ASSERT_EQ(file.status(), absl::OkStatus());
    golden_ = std::move(file->tensors);
    x_ = golden_.at("fit/1.input");
    r_ = golden_.at("fit/1.residual");
  }
  TensorMap golden_;
  at::Tensor x_, r_;  // [64, 17, 48]
};

TEST_F(GoldenFitTest, ReachesTheReferencesFloat64Solution) {
  NormalEquations equations;
  for (int64_t first = 0; first < 64; first += 16) equations.Add(x_.narrow(0, first, 16), r_.narrow(0, first, 16));
  EXPECT_EQ(equations.rows(), 64 * 17);
  absl::StatusOr<LeastSquares> solution = equations.Solve();
  ASSERT_EQ(solution.status(), absl::OkStatus());
  EXPECT_EQ(solution->rank, 48);
  EXPECT_LT(RelativeError(solution->weight, golden_.at("fit/1.weight_float64")), 1e-6);
  EXPECT_LT(RelativeError(solution->bias, golden_.at("fit/1.bias_float64")), 1e-6);

  const double total = equations.CentredTargetSquares();
  EXPECT_NEAR(total / DirectCentredSquares(r_), 1, 1e-12);
  const double r2 = 1 - equations.ResidualSquares(solution->weight, solution->bias) / total;
  EXPECT_NEAR(r2, 1 - DirectResidualSquares(x_, r_, solution->weight, solution->bias) / total, 1e-12);
  EXPECT_NEAR(r2, golden_.at("fit/r2")[1].item<double>(), 1e-4);
}

// Swin's first block: the input comes out of a LayerNorm, so its channels and the ones are linearly dependent but for
// float32's rounding. The recorded float64 solution follows that rounding with weights of 1e5, which no float16 holds;
// ours leaves it out. Ours is the pseudo-inverse's, and explains as much but for 1e-4.
TEST(SingularGoldenFitTest, ReachesTheFloat64SolutionOfLeastNorm) {
  const absl::StatusOr<TensorFile> file = ReadSafetensors("tests/golden/networks/swin_w4a4.safetensors");
  ASSERT_EQ(file.status(), absl::OkStatus());
  const TensorMap& golden = file->tensors;
  const at::Tensor x = golden.at("fit/0.input"), r = golden.at("fit/0.residual");  // [64, 196, 24]
  NormalEquations equations;
  for (int64_t first = 0; first < 64; first += 16) equations.Add(x.narrow(0, first, 16), r.narrow(0, first, 16));
  const LeastSquares solution = *equations.Solve();
  EXPECT_EQ(solution.rank, 23);
  EXPECT_LT(solution.condition, 1e6);
  EXPECT_GT(golden.at("fit/0.condition")[0].item<double>(), 1e14) << "with the ones, as the reference inverts it";

  const at::Tensor rows = x.to(at::kDouble).reshape({-1, 24}), targets = r.to(at::kDouble).reshape({-1, 24});
  const at::Tensor x_mean = rows.mean(0), r_mean = targets.mean(0);
  const at::Tensor exact = at::mm(at::linalg_pinv(rows - x_mean, /*rcond=*/1e-5), targets - r_mean);
  EXPECT_LT(RelativeError(solution.weight, exact), 1e-6);
  EXPECT_LT(RelativeError(solution.bias, r_mean - at::mm(x_mean.unsqueeze(0), exact).squeeze(0)), 1e-6);

  const at::Tensor &recorded_weight = golden.at("fit/0.weight_float64"),
                   &recorded_bias = golden.at("fit/0.bias_float64");
  EXPECT_GT(MaxAbs(recorded_weight), 65504);
  const double total = DirectCentredSquares(r);
  const double r2 = 1 - DirectResidualSquares(x, r, solution.weight, solution.bias) / total;
  EXPECT_GT(r2, 1 - DirectResidualSquares(x, r, recorded_weight, recorded_bias) / total - 1e-4);
  EXPECT_GT(r2, 0.21);
  EXPECT_LT(golden.at("fit/r2")[0].item<double>(), 0.02) << "the float32 inverse";
}

TEST_F(GoldenFitTest, HundredBatchesGiveWhatOneGives) {
  const at::Tensor x = x_.reshape({-1, 48}).narrow(0, 0, 1000), r = r_.reshape({-1, 48}).narrow(0, 0, 1000);
  NormalEquations one, hundred;
  one.Add(x, r);
  for (int64_t batch = 0; batch < 100; ++batch) hundred.Add(x.narrow(0, batch * 10, 10), r.narrow(0, batch * 10, 10));
  EXPECT_EQ(hundred.rows(), 1000);
  EXPECT_NEAR(hundred.TargetSquares() / one.TargetSquares(), 1, 1e-13);
  EXPECT_NEAR(hundred.CentredTargetSquares() / one.CentredTargetSquares(), 1, 1e-12);
  const LeastSquares a = *one.Solve(), b = *hundred.Solve();
  // The sums agree to rounding; the solve multiplies that by the condition.
  EXPECT_LT(RelativeError(b.weight, a.weight), 1e-14 * a.condition);
  EXPECT_NEAR(hundred.ResidualSquares(a.weight, a.bias) / one.ResidualSquares(a.weight, a.bias), 1, 1e-12);
}

TEST_F(GoldenFitTest, RanksGetTheSameBitsHoweverTheyShareTheBatches) {
  NormalEquations alone;
  for (int64_t batch = 0; batch < 8; ++batch) alone.Add(x_.narrow(0, batch * 8, 8), r_.narrow(0, batch * 8, 8));
  const LeastSquares expected = *alone.Solve();
  for (int ranks : {1, 2, 3, 9}) {  // with 9 the last has no batch
    std::vector<LeastSquares> solutions(ranks);
    std::vector<double> squares(ranks);
    std::vector<absl::Status> statuses(ranks);
    RunRanks(ranks, [&](Communicator& comm) {
      NormalEquations equations;
      for (int64_t batch = comm.rank(); batch < 8; batch += ranks)
        equations.Add(x_.narrow(0, batch * 8, 8), r_.narrow(0, batch * 8, 8));
      statuses[comm.rank()] = equations.Reduce(comm);
      solutions[comm.rank()] = *equations.Solve();
      squares[comm.rank()] = equations.ResidualSquares(expected.weight, expected.bias);
    });
    for (int rank = 0; rank < ranks; ++rank) {
      EXPECT_EQ(statuses[rank], absl::OkStatus());
      EXPECT_TRUE(at::equal(solutions[rank].weight, expected.weight)) << rank << " of " << ranks;
      EXPECT_TRUE(at::equal(solutions[rank].bias, expected.bias)) << rank << " of " << ranks;
      EXPECT_EQ(squares[rank], alone.ResidualSquares(expected.weight, expected.bias));
    }
  }
}

TEST(NormalEquationsTest, RanksThatDifferInSizesAreAnError) {
  std::vector<absl::Status> statuses(2);
  RunRanks(2, [&](Communicator& comm) {
    NormalEquations equations;
    equations.Add(Random({4, 2 + comm.rank()}, 1), Random({4, 3}, 2));
    statuses[comm.rank()] = equations.Reduce(comm);
  });
  EXPECT_EQ(statuses[0], absl::InternalError("rank 1 summed 3 inputs and 3 targets where others have 2 and 3"));
  EXPECT_EQ(statuses[1], absl::InternalError("rank 0 summed 2 inputs and 3 targets where others have 3 and 3"));
}

TEST(NormalEquationsTest, NothingAdded) {
  NormalEquations equations;
  EXPECT_EQ(equations.rows(), 0);
  EXPECT_EQ(equations.TargetSquares(), 0);
  EXPECT_EQ(equations.CentredTargetSquares(), 0);
  EXPECT_EQ(equations.Solve().status(), absl::FailedPreconditionError("there are no rows to solve for"));
}

TEST(NormalEquationsTest, RecoversALinearMapWhateverTheMeans) {
  const at::Tensor weight = Random({5, 3}, 1).to(at::kDouble), bias = Random({3}, 2).to(at::kDouble);
  const at::Tensor x = Random({200, 5}, 3).to(at::kDouble) + 300;
  NormalEquations equations;
  equations.Add(x, at::mm(x, weight) + bias);
  const LeastSquares solution = *equations.Solve();
  EXPECT_EQ(solution.rank, 5);
  EXPECT_GT(solution.condition, 1);
  EXPECT_LT(solution.condition, 3);
  EXPECT_LT(MaxAbs(solution.weight - weight), 1e-9);
  EXPECT_LT(MaxAbs(solution.bias - bias), 1e-6);
  EXPECT_LT(equations.ResidualSquares(solution.weight, solution.bias) / equations.CentredTargetSquares(), 1e-9);
}

TEST(NormalEquationsTest, OtherBiasesAndWeightsHaveTheResidualThatTheDataHas) {
  const at::Tensor x = Random({50, 4}, 1) + 2, r = Random({50, 3}, 2) - 1;
  NormalEquations equations;
  equations.Add(x, r);
  const at::Tensor weight = Random({4, 3}, 3).to(at::kDouble), bias = Random({3}, 4).to(at::kDouble);
  EXPECT_NEAR(equations.ResidualSquares(weight, bias) / DirectResidualSquares(x, r, weight, bias), 1, 1e-12);
  const at::Tensor best = equations.BestBias(weight);
  const double least = equations.ResidualSquares(weight, best);
  EXPECT_NEAR(least / DirectResidualSquares(x, r, weight, best), 1, 1e-12);
  EXPECT_GT(equations.ResidualSquares(weight, best + 0.01), least);
  EXPECT_GT(equations.ResidualSquares(weight, best - 0.01), least);
}

// [X 1] and λ on all of it, or on all but the ones.
at::Tensor DirectRidge(const at::Tensor& x, const at::Tensor& r, Ridge ridge) {
  const at::Tensor rows = at::cat({x.to(at::kDouble), at::ones({x.size(0), 1}, at::kDouble)}, 1);
  at::Tensor penalty = at::ones({rows.size(1)}, at::kDouble) * ridge.strength;
  if (!ridge.of_bias) penalty[-1] = 0;
  return at::linalg_solve(at::mm(rows.t(), rows) + penalty.diag(), at::mm(rows.t(), r.to(at::kDouble)));
}

TEST(RidgeTest, IsWhatAppendingAColumnOfOnesGives) {
  const at::Tensor x = Random({80, 5}, 1) * 2 + 3, r = Random({80, 3}, 2) + x.narrow(1, 0, 3) - 7;
  NormalEquations equations;
  equations.Add(x.narrow(0, 0, 50), r.narrow(0, 0, 50));
  equations.Add(x.narrow(0, 50, 30), r.narrow(0, 50, 30));
  for (bool of_bias : {false, true}) {
    for (double strength : {1e-3, 0.5, 40.0}) {
      const Ridge ridge = {strength, of_bias};
      const at::Tensor direct = DirectRidge(x, r, ridge);
      const LeastSquares solution = *equations.Solve(ridge);
      EXPECT_LT(RelativeError(solution.weight, direct.narrow(0, 0, 5)), 1e-11) << of_bias << strength;
      EXPECT_LT(RelativeError(solution.bias, direct[5]), 1e-11) << of_bias << strength;
      EXPECT_EQ(solution.rank, 5);
      EXPECT_TRUE(of_bias || solution.condition < equations.Solve()->condition);
    }
  }
  EXPECT_TRUE(at::equal(equations.Solve({0, true})->weight, equations.Solve()->weight));
}

TEST(SingularGramTest, ARidgeNeedsNoCutOff) {
  const at::Tensor half = Random({100, 4}, 1), r = Random({100, 2}, 2);
  const at::Tensor constant = at::ones({100, 1}) * 1234.567, x = at::cat({half, half, constant}, 1);
  NormalEquations equations;
  equations.Add(x, r);
  const LeastSquares solution = *equations.Solve({1e-3, true});
  const at::Tensor direct = DirectRidge(x, r, {1e-3, true});
  EXPECT_LT(RelativeError(solution.weight, direct.narrow(0, 0, 9)), 1e-6);
  EXPECT_LT(MaxAbs(solution.bias - direct[9]), 1e-9);  // the constant channel takes nearly all of it
}

TEST(SingularGramTest, DuplicatedChannelsShareTheWeight) {
  const at::Tensor half = Random({100, 4}, 1), r = Random({100, 2}, 2);
  NormalEquations whole, twice;
  whole.Add(half, r);
  twice.Add(at::cat({half, half}, 1), r);
  const LeastSquares expected = *whole.Solve(), solution = *twice.Solve();
  EXPECT_EQ(expected.rank, 4);
  EXPECT_EQ(solution.rank, 4);
  EXPECT_NEAR(solution.condition / expected.condition, 1, 1e-9);
  EXPECT_LT(RelativeError(solution.weight, at::cat({expected.weight, expected.weight}, 0) / 2), 1e-10);
  EXPECT_LT(RelativeError(solution.bias, expected.bias), 1e-10);
}

TEST(SingularGramTest, AConstantChannelGetsNoWeightHoweverLargeItIs) {
  for (double value : {0.0, 1.0, 1234.567, 98765.43, 12345678.9}) {
    const at::Tensor x = Random({97, 3}, 1), r = Random({97, 2}, 2);
    NormalEquations without, with;
    without.Add(x, r);
    with.Add(at::cat({x.narrow(1, 0, 2), at::ones({97, 1}) * value, x.narrow(1, 2, 1)}, 1), r);
    const LeastSquares expected = *without.Solve(), solution = *with.Solve();
    EXPECT_EQ(solution.rank, 3) << value;
    EXPECT_EQ(MaxAbs(solution.weight[2]), 0) << value;
    EXPECT_LT(MaxAbs(solution.weight[3] - expected.weight[2]), 1e-10) << value;
    EXPECT_LT(MaxAbs(solution.bias - expected.bias), 1e-10) << value;
  }
}

TEST(SingularGramTest, FewerRowsThanChannelsFitsExactlyWithTheLeastNorm) {
  const at::Tensor x = Random({6, 20}, 1), r = Random({6, 2}, 2);
  NormalEquations equations;
  equations.Add(x, r);
  const LeastSquares solution = *equations.Solve();
  EXPECT_EQ(solution.rank, 5);  // the mean takes one
  EXPECT_LT(DirectResidualSquares(x, r, solution.weight, solution.bias), 1e-20);
  // The least norm in closed form: Xᵀ(XXᵀ + 11ᵀ)⁻¹R on centred rows, for which XXᵀ·1 = 0 and 1ᵀR = 0.
  const at::Tensor rows = x.to(at::kDouble) - x.to(at::kDouble).mean(0);
  const at::Tensor targets = r.to(at::kDouble) - r.to(at::kDouble).mean(0);
  const at::Tensor least = at::mm(rows.t(), at::linalg_solve(at::mm(rows, rows.t()) + 1.0, targets));
  EXPECT_LT(RelativeError(solution.weight, least), 1e-10);
}

TEST(SingularGramTest, NothingThatVaries) {
  NormalEquations equations;
  equations.Add(at::ones({10, 3}), Random({10, 2}, 1));
  const LeastSquares solution = *equations.Solve();
  EXPECT_EQ(solution.rank, 0);
  EXPECT_EQ(solution.condition, 0);
  EXPECT_EQ(MaxAbs(solution.weight), 0);
  EXPECT_LT(MaxAbs(solution.bias - Random({10, 2}, 1).to(at::kDouble).mean(0)), 1e-12);
  EXPECT_NEAR(equations.ResidualSquares(solution.weight, solution.bias) / equations.CentredTargetSquares(), 1, 1e-12);
}

TEST(SingularGramTest, AConstantTargetHasNoVariance) {
  NormalEquations equations;
  equations.Add(Random({10, 3}, 1), at::ones({10, 2}) * 0.3);
  EXPECT_EQ(equations.CentredTargetSquares(), 0);
  EXPECT_GT(equations.TargetSquares(), 1);
}

}  // namespace
}  // namespace qwt
