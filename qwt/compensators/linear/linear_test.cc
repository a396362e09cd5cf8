#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/zeros.h"
#include "core/tensor/safetensors.h"
#include "gtest/gtest.h"
#include "models/resnet/resnet.h"
#include "models/swin/swin.h"
#include "qwt/compensator.h"
#include "tests/helpers/component.h"

namespace qwt {
namespace {

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kFloat));
}

Graph TwoBlocks() {
  Graph graph;
  graph.blocks = {{"blocks.0", {}}, {"blocks.1", {}}};
  return graph;
}

std::unique_ptr<Compensator> Linear(const std::string& options = "{}") {
  return MakeComponent<CompensatorRegistry>("linear", options);
}

// The solution of block `index` for Y - Ŷ = residual.
BlockSolution Fit(const Compensator& compensator, int index, const at::Tensor& x, const at::Tensor& residual) {
  std::unique_ptr<BlockFit> fit = *compensator.Begin(TwoBlocks(), index);
  EXPECT_EQ(fit->Accumulate(0, x, residual, at::zeros(residual.sizes())), absl::OkStatus());
  absl::StatusOr<BlockSolution> solution = fit->Solve();
  EXPECT_EQ(solution.status(), absl::OkStatus());
  return *solution;
}

double MeanSquare(const at::Tensor& x) { return (x * x).to(at::kDouble).mean().item<double>(); }

TEST(LinearTest, RecordedFit) {
  const absl::StatusOr<TensorFile> file = ReadSafetensors("tests/golden/networks/vit_w4a4.safetensors");
  ASSERT_EQ(file.status(), absl::OkStatus());
  const at::Tensor& x = file->tensors.at("fit/1.input");
  const at::Tensor& residual = file->tensors.at("fit/1.residual");
  const std::unique_ptr<Compensator> compensator = Linear();
  const BlockSolution solution = Fit(*compensator, 1, x, residual);
  EXPECT_EQ(solution.block, "blocks.1");
  EXPECT_TRUE(solution.kept);
  EXPECT_EQ(solution.reason, "");
  EXPECT_NEAR(solution.r2, file->tensors.at("fit/r2")[1].item<double>(), 1e-4);
  EXPECT_EQ(solution.rank, 48);
  EXPECT_EQ(solution.samples, 64 * 17);
  EXPECT_GT(solution.condition, 1);
  EXPECT_TRUE(at::equal(solution.tensors.at("weight"), file->tensors.at("fit/1.weight_float64").to(at::kHalf)));
  EXPECT_EQ(solution.tensors.at("bias").scalar_type(), at::kFloat);
  EXPECT_LT((solution.tensors.at("bias") - file->tensors.at("fit/1.bias_float64")).abs().max().item<double>(), 1e-3);

  // What the sums say is what running it gives, but for the float16 of X and of the product.
  EXPECT_NEAR(solution.mse_before / MeanSquare(residual), 1, 1e-6);
  const at::Tensor compensated = compensator->Apply(solution, x, at::zeros(residual.sizes()));
  EXPECT_NEAR(solution.mse_after / MeanSquare(residual - compensated), 1, 1e-4);
  EXPECT_LT(solution.mse_after, solution.mse_before);
}

TEST(LinearTest, AppliesInFloat16) {
  BlockSolution solution;
  solution.kept = true;
  solution.tensors = {{"weight", Random({5, 4}, 1).to(at::kHalf)}, {"bias", Random({4}, 2)}};
  const at::Tensor x = Random({2, 3, 5}, 3) * 7, y = Random({2, 3, 4}, 4);
  const at::Tensor out = Linear()->Apply(solution, x, y);
  ASSERT_EQ(out.sizes(), y.sizes());
  ASSERT_EQ(out.scalar_type(), at::kFloat);
  int differs_from_float32 = 0;
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t c = 0; c < 4; ++c) {
        double product = 0, unrounded = 0;
        for (int64_t i = 0; i < 5; ++i) {
          const float value = x[n][t][i].item<float>(), weight = solution.tensors.at("weight")[i][c].item<float>();
          product += static_cast<double>(static_cast<float>(c10::Half(value))) * weight;
          unrounded += static_cast<double>(value) * weight;
        }
        // The float32 sum may round to the other neighbour where the exact one lies halfway.
        const float rounded = c10::Half(static_cast<float>(product));
        const float expected = y[n][t][c].item<float>() + rounded + solution.tensors.at("bias")[c].item<float>();
        EXPECT_NEAR(out[n][t][c].item<float>(), expected, 1e-6) << n << " " << t << " " << c;
        const double plain = y[n][t][c].item<double>() + unrounded + solution.tensors.at("bias")[c].item<double>();
        differs_from_float32 += std::abs(out[n][t][c].item<double>() - plain) > 1e-5;
      }
    }
  }
  EXPECT_GT(differs_from_float32, 12);  // or this test shows nothing
}

TEST(LinearTest, Float32StorageIsUsedAsStored) {
  const std::unique_ptr<Compensator> compensator = Linear("{storage: float32}");
  const at::Tensor x = Random({50, 3}, 1), r = at::matmul(x, Random({3, 3}, 2)) + Random({50, 3}, 3) * 0.1;
  const BlockSolution solution = Fit(*compensator, 0, x, r);
  const at::Tensor& weight = solution.tensors.at("weight");
  ASSERT_EQ(weight.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(compensator->Apply(solution, x, r), r + at::matmul(x, weight) + solution.tensors.at("bias")));
}

TEST(LinearTest, BlocksBeforeStartBlockAreMeasuredAndLeft) {
  const std::unique_ptr<Compensator> compensator = Linear("{start_block: 1}");
  const at::Tensor x = Random({50, 3}, 1), r = x * 0.5;
  const BlockSolution before = Fit(*compensator, 0, x, r), after = Fit(*compensator, 1, x, r);
  EXPECT_FALSE(before.kept);
  EXPECT_EQ(before.reason, "before start_block 1");
  EXPECT_GT(before.r2, 0.99);
  EXPECT_EQ(before.mse_after, before.mse_before);
  EXPECT_TRUE(at::equal(before.tensors.at("weight"), at::zeros({3, 3}, at::kHalf)));
  EXPECT_TRUE(at::equal(before.tensors.at("bias"), at::zeros({3})));
  EXPECT_TRUE(at::equal(compensator->Apply(before, x, r), r));
  EXPECT_TRUE(after.kept);
}

TEST(LinearTest, AnErrorThatDoesNotVaryIsNotKept) {
  for (double value : {0.0, 0.3}) {
    const BlockSolution solution = Fit(*Linear(), 0, Random({50, 3}, 1), at::ones({50, 3}) * value);
    EXPECT_FALSE(solution.kept);
    EXPECT_EQ(solution.reason, "the quantisation error does not vary");
    EXPECT_EQ(solution.r2, 0);
    EXPECT_NEAR(solution.mse_before, value * value, 1e-6);
  }
}

TEST(LinearTest, AnInputThatDoesNotVaryExplainsNothing) {
  const BlockSolution solution = Fit(*Linear(), 0, at::ones({50, 3}), Random({50, 3}, 1));
  EXPECT_FALSE(solution.kept);
  EXPECT_EQ(solution.rank, 0);
  EXPECT_LE(solution.r2, 0);
  EXPECT_EQ(solution.reason.substr(0, 7), "R² is ");
}

TEST(LinearTest, WeightsThatFloat16CannotHoldAreNotKept) {
  const at::Tensor x = Random({50, 3}, 1) * 1e-6, r = x * 1e6;
  const BlockSolution solution = Fit(*Linear(), 0, x, r);
  EXPECT_FALSE(solution.kept);
  EXPECT_EQ(solution.reason, "the weights are too large for float16; storage: float32 holds them");
  EXPECT_NEAR(solution.r2, 1, 1e-6);
  EXPECT_EQ(solution.mse_after, solution.mse_before);
  EXPECT_TRUE(Fit(*Linear("{storage: float32}"), 0, x, r).kept);
}

// Two channels that differ by little: rounded to float16 (here to multiples of 2) their large weights no longer cancel.
TEST(LinearTest, TheGateSeesTheWeightsAsRounded) {
  at::Tensor x = Random({200, 2}, 1);
  x.select(1, 1).copy_(x.select(1, 0) + x.select(1, 1) * 1e-4);
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor r = (wide.select(1, 1) * 3000.9 - wide.select(1, 0) * 3001.1).to(at::kFloat).unsqueeze(1);
  const BlockSolution single = Fit(*Linear("{storage: float32}"), 0, x, r);
  EXPECT_TRUE(single.kept);
  EXPECT_GT(single.r2, 0.99);
  const BlockSolution half = Fit(*Linear(), 0, x, r);
  EXPECT_FALSE(half.kept);
  EXPECT_LT(half.r2, -10);
  EXPECT_NE(half.reason.find("once the weights are rounded to float16 ("), std::string::npos) << half.reason;
  EXPECT_NE(half.reason.find("storage: float32 keeps it"), std::string::npos) << half.reason;
}

TEST(LinearTest, ImagesKeptAsideSeeWhatFitsOnlyItsOwn) {
  const at::Tensor x = Random({40, 1, 32}, 1), noise = Random({40, 1, 32}, 2);
  const BlockSolution in_sample = Fit(*Linear(), 0, x, noise);
  EXPECT_TRUE(in_sample.kept);
  EXPECT_EQ(in_sample.held_out_r2, std::nullopt);
  const BlockSolution held_out = Fit(*Linear("{gate: held_out}"), 0, x, noise);
  EXPECT_FALSE(held_out.kept);
  EXPECT_GT(held_out.r2, 0.9);
  EXPECT_LT(held_out.held_out_r2.value(), 0);
  EXPECT_EQ(held_out.samples, 30);
  EXPECT_EQ(held_out.reason.substr(0, 55), "the held-out images' mean squared error does not fall: ");
  EXPECT_TRUE(Fit(*Linear("{gate: always}"), 0, x, noise).kept);

  // What is measured is the error of applying it to the images that were not fitted to: the last of every four.
  const at::Tensor more = Random({200, 1, 32}, 3), r = more * 0.5 + Random({200, 1, 32}, 4) * 0.1;
  const auto compensator = Linear("{gate: held_out, storage: float32}");
  const BlockSolution real = Fit(*compensator, 0, more, r);
  EXPECT_TRUE(real.kept) << real.reason;
  const at::Tensor left = (r - compensator->Apply(real, more, at::zeros(r.sizes()))).slice(0, 3, 200, 4);
  const at::Tensor aside = r.slice(0, 3, 200, 4), centred = aside - aside.mean(0, true);
  EXPECT_NEAR(real.held_out_r2.value(), 1 - MeanSquare(left) / MeanSquare(centred), 1e-5);
  EXPECT_LT(real.held_out_r2.value(), real.r2);
}

TEST(LinearTest, ARidgeDrawsTheWeightsToZero) {
  const at::Tensor x = Random({50, 3}, 1), r = x * 0.5 + 2.0;
  const BlockSolution plain = Fit(*Linear(), 0, x, r), ridge = Fit(*Linear("{ridge: 50}"), 0, x, r);
  EXPECT_LT(MeanSquare(ridge.tensors.at("weight")), 0.5 * MeanSquare(plain.tensors.at("weight")));
  EXPECT_NEAR(ridge.tensors.at("bias").mean().item<double>(), 2.0, 0.2) << "the bias is not drawn";
  EXPECT_LT(ridge.r2, plain.r2);
}

TEST(LinearTest, WhatIsNotFiniteNamesTheBlockAndTheTensor) {
  const std::unique_ptr<Compensator> compensator = Linear();
  std::unique_ptr<BlockFit> fit = *compensator->Begin(TwoBlocks(), 1);
  const at::Tensor good = Random({2, 3, 4}, 1);
  at::Tensor bad = good.clone();
  bad[1][2][3] = std::numeric_limits<float>::quiet_NaN();
  const std::string rest =
      " holds NaN or infinity, which nothing can be fitted to; look for them in the weights and images";
  EXPECT_EQ(fit->Accumulate(0, bad, good, good), absl::InvalidArgumentError("block blocks.1: its input" + rest));
  bad[1][2][3] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(fit->Accumulate(0, good, bad, good), absl::InvalidArgumentError("block blocks.1: its float output" + rest));
  EXPECT_EQ(fit->Accumulate(0, good, good, bad),
            absl::InvalidArgumentError("block blocks.1: its quantised output" + rest));
  EXPECT_EQ(fit->Accumulate(0, good, bad, bad), absl::InvalidArgumentError("block blocks.1: its float output" + rest));
  EXPECT_EQ(fit->Accumulate(0, good.narrow(0, 0, 1), good, good),
            absl::InvalidArgumentError(
                "block blocks.1: its input [1, 3, 4], float output [2, 3, 4] and quantised output [2, 3, 4] do "
                "not fit together; all but the last dimension must be equal"));
  EXPECT_EQ(fit->Accumulate(0, good.to(at::kDouble), good, good),
            absl::InvalidArgumentError("block blocks.1: its input is Double; float32 is needed"));
  EXPECT_EQ(fit->Solve().status(), absl::FailedPreconditionError("block blocks.1: there are no rows to solve for"));
}

// Before anything is computed.
TEST(LinearTest, NeedsBlocksOfTokens) {
  SwinConfig swin;
  EXPECT_EQ(Linear()->Check(BuildSwin("swin", swin), 512), absl::OkStatus());
  ResnetConfig resnet;
  resnet.blocks = {1, 1};
  EXPECT_EQ(Linear()->Check(BuildResnet("small", resnet), 512),
            absl::InvalidArgumentError("linear: needs blocks of tokens, [N, T, C] in and out; layer1.0 of small makes "
                                       "[1, 64, 56, 56] from [1, 64, 56, 56]"));
}

}  // namespace
}  // namespace qwt
