#include "qwt/normal_equations.h"

#include <algorithm>
#include <string>
#include <utility>
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

// Batches of one group, x: [..., C], r: [..., K], or of several, [G, rows, ...].
class Sums {
 public:
  void Add(const at::Tensor& x, const at::Tensor& r) { AddGroups(x.unsqueeze(0), r.unsqueeze(0)); }
  void AddGroups(const at::Tensor& x, const at::Tensor& r) { sums_.Add(NormalSums::Terms(x, r)); }
  absl::Status Reduce(Communicator& comm) { return sums_.Reduce(comm); }
  NormalEquations Equations() const { return NormalEquations(sums_.Value()); }
  at::Tensor Value() const { return sums_.Value(); }

 private:
  NormalSums sums_;
};

NormalEquations EquationsOf(const at::Tensor& x, const at::Tensor& r) {
  Sums sums;
  sums.Add(x, r);
  return sums.Equations();
}

// The only group's.
LeastSquares SolutionOf(const NormalEquations& equations, Ridge ridge = {}) {
  absl::StatusOr<LeastSquares> solution = equations.Solve(ridge);
  EXPECT_EQ(solution.status(), absl::OkStatus());
  solution->weight = solution->weight.squeeze(0);
  solution->bias = solution->bias.squeeze(0);
  return *solution;
}
double ResidualSquares(const NormalEquations& equations, const at::Tensor& weight, const at::Tensor& bias) {
  return equations.ResidualSquares(weight.unsqueeze(0), bias.unsqueeze(0));
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
  Sums sums;
  for (int64_t first = 0; first < 64; first += 16) sums.Add(x_.narrow(0, first, 16), r_.narrow(0, first, 16));
  const NormalEquations equations = sums.Equations();
  EXPECT_EQ(equations.rows(), 64 * 17);
  const LeastSquares solution = SolutionOf(equations);
  EXPECT_EQ(solution.rank, 48);
  EXPECT_LT(RelativeError(solution.weight, golden_.at("fit/1.weight_float64")), 1e-6);
  EXPECT_LT(RelativeError(solution.bias, golden_.at("fit/1.bias_float64")), 1e-6);

  const double total = equations.CentredTargetSquares();
  EXPECT_NEAR(total / DirectCentredSquares(r_), 1, 1e-12);
  const double r2 = 1 - ResidualSquares(equations, solution.weight, solution.bias) / total;
  EXPECT_NEAR(r2, 1 - DirectResidualSquares(x_, r_, solution.weight, solution.bias) / total, 1e-12);
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
  Sums sums;
  for (int64_t first = 0; first < 64; first += 16) sums.Add(x.narrow(0, first, 16), r.narrow(0, first, 16));
  const LeastSquares solution = SolutionOf(sums.Equations());
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
  Sums sums;
  for (int64_t batch = 0; batch < 100; ++batch) sums.Add(x.narrow(0, batch * 10, 10), r.narrow(0, batch * 10, 10));
  const NormalEquations one = EquationsOf(x, r), hundred = sums.Equations();
  EXPECT_EQ(hundred.rows(), 1000);
  EXPECT_NEAR(hundred.TargetSquares() / one.TargetSquares(), 1, 1e-13);
  EXPECT_NEAR(hundred.CentredTargetSquares() / one.CentredTargetSquares(), 1, 1e-12);
  const LeastSquares a = SolutionOf(one), b = SolutionOf(hundred);
  // The sums agree to rounding; the solve multiplies that by the condition.
  EXPECT_LT(RelativeError(b.weight, a.weight), 1e-14 * a.condition);
  EXPECT_NEAR(ResidualSquares(hundred, a.weight, a.bias) / ResidualSquares(one, a.weight, a.bias), 1, 1e-12);
}

TEST_F(GoldenFitTest, RanksGetTheSameBitsHoweverTheyShareTheBatches) {
  Sums sums;
  for (int64_t batch = 0; batch < 8; ++batch) sums.Add(x_.narrow(0, batch * 8, 8), r_.narrow(0, batch * 8, 8));
  const NormalEquations alone = sums.Equations();
  const LeastSquares expected = *alone.Solve();
  for (int ranks : {1, 2, 3, 9}) {  // with 9 the last has no batch
    std::vector<LeastSquares> solutions(ranks);
    std::vector<double> squares(ranks);
    std::vector<absl::Status> statuses(ranks);
    RunRanks(ranks, [&](Communicator& comm) {
      Sums sums;
      for (int64_t batch = comm.rank(); batch < 8; batch += ranks)
        sums.Add(x_.narrow(0, batch * 8, 8), r_.narrow(0, batch * 8, 8));
      statuses[comm.rank()] = sums.Reduce(comm);
      const NormalEquations equations = sums.Equations();
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
    Sums sums;
    sums.Add(Random({4, 2 + comm.rank()}, 1), Random({4, 3}, 2));
    statuses[comm.rank()] = sums.Reduce(comm);
  });
  EXPECT_EQ(statuses[0],
            absl::InternalError("rank 1 summed 3 inputs and 3 targets of 1 groups where others have 2 and 3 of 1"));
  EXPECT_EQ(statuses[1],
            absl::InternalError("rank 0 summed 2 inputs and 3 targets of 1 groups where others have 3 and 3 of 1"));
}

TEST(NormalEquationsTest, NothingAdded) {
  const NormalEquations equations = Sums().Equations();
  EXPECT_EQ(equations.rows(), 0);
  EXPECT_EQ(equations.TargetSquares(), 0);
  EXPECT_EQ(equations.CentredTargetSquares(), 0);
  EXPECT_EQ(equations.Solve().status(), absl::FailedPreconditionError("there are no rows to solve for"));
}

TEST(NormalEquationsTest, RecoversALinearMapWhateverTheMeans) {
  const at::Tensor weight = Random({5, 3}, 1).to(at::kDouble), bias = Random({3}, 2).to(at::kDouble);
  const at::Tensor x = Random({200, 5}, 3).to(at::kDouble) + 300;
  const NormalEquations equations = EquationsOf(x, at::mm(x, weight) + bias);
  const LeastSquares solution = SolutionOf(equations);
  EXPECT_EQ(solution.rank, 5);
  EXPECT_GT(solution.condition, 1);
  EXPECT_LT(solution.condition, 3);
  EXPECT_LT(MaxAbs(solution.weight - weight), 1e-9);
  EXPECT_LT(MaxAbs(solution.bias - bias), 1e-6);
  EXPECT_LT(ResidualSquares(equations, solution.weight, solution.bias) / equations.CentredTargetSquares(), 1e-9);
}

TEST(NormalEquationsTest, OtherBiasesAndWeightsHaveTheResidualThatTheDataHas) {
  const at::Tensor x = Random({50, 4}, 1) + 2, r = Random({50, 3}, 2) - 1;
  const NormalEquations equations = EquationsOf(x, r);
  const at::Tensor weight = Random({4, 3}, 3).to(at::kDouble), bias = Random({3}, 4).to(at::kDouble);
  EXPECT_NEAR(ResidualSquares(equations, weight, bias) / DirectResidualSquares(x, r, weight, bias), 1, 1e-12);
  const at::Tensor best = equations.BestBias(weight.unsqueeze(0)).squeeze(0);
  const double least = ResidualSquares(equations, weight, best);
  EXPECT_NEAR(least / DirectResidualSquares(x, r, weight, best), 1, 1e-12);
  EXPECT_GT(ResidualSquares(equations, weight, best + 0.01), least);
  EXPECT_GT(ResidualSquares(equations, weight, best - 0.01), least);
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
  Sums sums;
  sums.Add(x.narrow(0, 0, 50), r.narrow(0, 0, 50));
  sums.Add(x.narrow(0, 50, 30), r.narrow(0, 50, 30));
  const NormalEquations equations = sums.Equations();
  for (bool of_bias : {false, true}) {
    for (double strength : {1e-3, 0.5, 40.0}) {
      const Ridge ridge = {strength, of_bias};
      const at::Tensor direct = DirectRidge(x, r, ridge);
      const LeastSquares solution = SolutionOf(equations, ridge);
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
  const NormalEquations equations = EquationsOf(x, r);
  const LeastSquares solution = SolutionOf(equations, {1e-3, true});
  const at::Tensor direct = DirectRidge(x, r, {1e-3, true});
  EXPECT_LT(RelativeError(solution.weight, direct.narrow(0, 0, 9)), 1e-6);
  EXPECT_LT(MaxAbs(solution.bias - direct[9]), 1e-9);  // the constant channel takes nearly all of it
}

TEST(SingularGramTest, DuplicatedChannelsShareTheWeight) {
  const at::Tensor half = Random({100, 4}, 1), r = Random({100, 2}, 2);
  const LeastSquares expected = SolutionOf(EquationsOf(half, r)),
                     solution = SolutionOf(EquationsOf(at::cat({half, half}, 1), r));
  EXPECT_EQ(expected.rank, 4);
  EXPECT_EQ(solution.rank, 4);
  EXPECT_NEAR(solution.condition / expected.condition, 1, 1e-9);
  EXPECT_LT(RelativeError(solution.weight, at::cat({expected.weight, expected.weight}, 0) / 2), 1e-10);
  EXPECT_LT(RelativeError(solution.bias, expected.bias), 1e-10);
}

TEST(SingularGramTest, AConstantChannelGetsNoWeightHoweverLargeItIs) {
  for (double value : {0.0, 1.0, 1234.567, 98765.43, 12345678.9}) {
    const at::Tensor x = Random({97, 3}, 1), r = Random({97, 2}, 2);
    const at::Tensor with = at::cat({x.narrow(1, 0, 2), at::ones({97, 1}) * value, x.narrow(1, 2, 1)}, 1);
    const LeastSquares expected = SolutionOf(EquationsOf(x, r)), solution = SolutionOf(EquationsOf(with, r));
    EXPECT_EQ(solution.rank, 3) << value;
    EXPECT_EQ(MaxAbs(solution.weight[2]), 0) << value;
    EXPECT_LT(MaxAbs(solution.weight[3] - expected.weight[2]), 1e-10) << value;
    EXPECT_LT(MaxAbs(solution.bias - expected.bias), 1e-10) << value;
  }
}

TEST(SingularGramTest, FewerRowsThanChannelsFitsExactlyWithTheLeastNorm) {
  const at::Tensor x = Random({6, 20}, 1), r = Random({6, 2}, 2);
  const NormalEquations equations = EquationsOf(x, r);
  const LeastSquares solution = SolutionOf(equations);
  EXPECT_EQ(solution.rank, 5);  // the mean takes one
  EXPECT_LT(DirectResidualSquares(x, r, solution.weight, solution.bias), 1e-20);
  // The least norm in closed form: Xᵀ(XXᵀ + 11ᵀ)⁻¹R on centred rows, for which XXᵀ·1 = 0 and 1ᵀR = 0.
  const at::Tensor rows = x.to(at::kDouble) - x.to(at::kDouble).mean(0);
  const at::Tensor targets = r.to(at::kDouble) - r.to(at::kDouble).mean(0);
  const at::Tensor least = at::mm(rows.t(), at::linalg_solve(at::mm(rows, rows.t()) + 1.0, targets));
  EXPECT_LT(RelativeError(solution.weight, least), 1e-10);
}

TEST(SingularGramTest, NothingThatVaries) {
  const NormalEquations equations = EquationsOf(at::ones({10, 3}), Random({10, 2}, 1));
  const LeastSquares solution = SolutionOf(equations);
  EXPECT_EQ(solution.rank, 0);
  EXPECT_EQ(solution.condition, 0);
  EXPECT_EQ(MaxAbs(solution.weight), 0);
  EXPECT_LT(MaxAbs(solution.bias - Random({10, 2}, 1).to(at::kDouble).mean(0)), 1e-12);
  EXPECT_NEAR(ResidualSquares(equations, solution.weight, solution.bias) / equations.CentredTargetSquares(), 1, 1e-12);
}

TEST(SingularGramTest, AConstantTargetHasNoVariance) {
  const NormalEquations equations = EquationsOf(Random({10, 3}, 1), at::ones({10, 2}) * 0.3);
  EXPECT_EQ(equations.CentredTargetSquares(), 0);
  EXPECT_GT(equations.TargetSquares(), 1);
}

// Four groups: a regular one, one with a channel twice, one with a constant channel, one that does not vary.
std::pair<at::Tensor, at::Tensor> UnlikeGroups() {
  at::Tensor x = Random({4, 60, 5}, 1), r = Random({4, 60, 3}, 2);
  x[1].select(1, 4).copy_(x[1].select(1, 1));
  x[2].select(1, 0).fill_(1234.567);
  x[3].fill_(0.25);
  return {x, r};
}

TEST(GroupsTest, EachIsSolvedAsIfAlone) {
  const auto [x, r] = UnlikeGroups();
  Sums sums;
  sums.AddGroups(x.narrow(1, 0, 35), r.narrow(1, 0, 35));
  sums.AddGroups(x.narrow(1, 35, 25), r.narrow(1, 35, 25));
  const NormalEquations together = sums.Equations();
  EXPECT_EQ(together.rows(), 60);
  for (const Ridge ridge : {Ridge(), Ridge{0.1, true}}) {
    const LeastSquares solution = *together.Solve(ridge);
    ASSERT_EQ(solution.weight.sizes(), at::IntArrayRef({4, 5, 3}));
    ASSERT_EQ(solution.bias.sizes(), at::IntArrayRef({4, 3}));
    int64_t rank = 0;
    double condition = 0, residual = 0, squares = 0, centred = 0;
    for (int64_t group = 0; group < 4; ++group) {
      const NormalEquations alone = EquationsOf(x[group], r[group]);
      const LeastSquares expected = SolutionOf(alone, ridge);
      EXPECT_LT(MaxAbs(solution.weight[group] - expected.weight), 1e-12) << group;
      EXPECT_LT(MaxAbs(solution.bias[group] - expected.bias), 1e-12) << group;
      EXPECT_LT(MaxAbs(together.BestBias(solution.weight, ridge)[group] - expected.bias), 1e-12) << group;
      rank += expected.rank;
      condition = std::max(condition, expected.condition);
      residual += ResidualSquares(alone, expected.weight, expected.bias);
      squares += alone.TargetSquares();
      centred += alone.CentredTargetSquares();
    }
    EXPECT_EQ(solution.rank, rank);
    EXPECT_EQ(rank, ridge.strength > 0 ? 20 : 13);  // a ridge drops nothing
    EXPECT_NEAR(solution.condition / condition, 1, 1e-9);
    EXPECT_NEAR(together.ResidualSquares(solution.weight, solution.bias) / residual, 1, 1e-12);
    EXPECT_NEAR(together.TargetSquares() / squares, 1, 1e-12);
    EXPECT_NEAR(together.CentredTargetSquares() / centred, 1, 1e-12);
  }
}

TEST(GroupsTest, StridesDoNotMatter) {
  // As a convolution sees them: [images, groups, channels, positions].
  const at::Tensor x = Random({6, 4, 5, 7}, 1), r = Random({6, 4, 3, 7}, 2);
  const auto rows = [](const at::Tensor& images) { return images.permute({1, 0, 3, 2}); };
  const at::Tensor strided = NormalSums::Terms(rows(x), rows(r)),
                   dense = NormalSums::Terms(rows(x).contiguous(), rows(r).contiguous()),
                   flat = NormalSums::Terms(rows(x).reshape({4, 42, 5}), rows(r).reshape({4, 42, 3}));
  ASSERT_EQ(strided.sizes(), at::IntArrayRef({4, 7, 9}));
  EXPECT_LT(MaxAbs(strided - dense), 1e-12);
  EXPECT_TRUE(at::equal(dense, flat));
  const at::Tensor wide_x = rows(x).reshape({4, 42, 5})[2].to(at::kDouble),
                   wide_r = rows(r).reshape({4, 42, 3})[2].to(at::kDouble);
  EXPECT_LT(MaxAbs(strided[2].narrow(0, 0, 5).narrow(1, 0, 5) - at::mm(wide_x.t(), wide_x)), 1e-12);
  EXPECT_LT(MaxAbs(strided[2].narrow(0, 0, 5).narrow(1, 6, 3) - at::mm(wide_x.t(), wide_r)), 1e-12);
  EXPECT_LT(MaxAbs(strided[2][5].narrow(0, 6, 3) - wide_r.sum(0)), 1e-12);
  EXPECT_LT(MaxAbs(strided[2][6].narrow(0, 6, 3) - wide_r.square().sum(0)), 1e-12);
  EXPECT_EQ(strided[2][5][5].item<double>(), 42);
}

TEST(GroupsTest, RanksGetTheSameBits) {
  const auto [x, r] = UnlikeGroups();
  Sums sums;
  for (int64_t batch = 0; batch < 6; ++batch) sums.AddGroups(x.narrow(1, batch * 10, 10), r.narrow(1, batch * 10, 10));
  const LeastSquares expected = *sums.Equations().Solve();
  for (int ranks : {1, 2, 3, 7}) {  // with 7 the last has no batch
    RunRanks(ranks, [&, &x = x, &r = r](Communicator& comm) {
      Sums shared;
      for (int64_t batch = comm.rank(); batch < 6; batch += ranks) {
        shared.AddGroups(x.narrow(1, batch * 10, 10), r.narrow(1, batch * 10, 10));
      }
      EXPECT_EQ(shared.Reduce(comm), absl::OkStatus());
      EXPECT_TRUE(at::equal(shared.Value(), sums.Value())) << comm.rank() << " of " << ranks;
      const LeastSquares solution = *shared.Equations().Solve();
      EXPECT_TRUE(at::equal(solution.weight, expected.weight)) << comm.rank() << " of " << ranks;
      EXPECT_TRUE(at::equal(solution.bias, expected.bias)) << comm.rank() << " of " << ranks;
    });
  }
}

}  // namespace
}  // namespace qwt
