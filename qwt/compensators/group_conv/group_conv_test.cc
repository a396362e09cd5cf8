#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/constant_pad_nd.h"
#include "ATen/ops/conv2d.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/eye.h"
#include "ATen/ops/linalg_solve.h"
#include "ATen/ops/mm.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/randn.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/zeros.h"
#include "gtest/gtest.h"
#include "models/vit/vit.h"
#include "qwt/compensator.h"
#include "tests/helpers/component.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kFloat));
}

std::unique_ptr<Compensator> GroupConv(const std::string& options = "{}") {
  return MakeComponent<CompensatorRegistry>("group_conv", options);
}

// One block, called "block", that makes [N, out, ...] of [N, in, size, size] with this stride.
Graph OneBlock(int64_t in, int64_t out, int64_t size, int64_t stride) {
  Graph graph;
  graph.name = "small";
  graph.channels = in;
  graph.height = graph.width = size;
  graph.classes = out;
  graph.stem = {"stem", {{"relu", Op::kRelu, {0}, "", "", {}}}};
  const std::map<std::string, double> conv = {{"stride", static_cast<double>(stride)}, {"padding", 1}, {"groups", 1}};
  graph.blocks = {{"block", {{"conv", Op::kConv2d, {0}, "conv.weight", "", conv}}}};
  graph.parameters = {{"conv.weight", {out, in, 3, 3}}};
  graph.head = {"head", {{"pool", Op::kGlobalAveragePool, {0}, "", "", {}}}};
  return graph;
}

// Y - Ŷ = residual, in batches of 16 images.
BlockSolution Fit(const Compensator& compensator, const Graph& graph, int index, const at::Tensor& x,
                  const at::Tensor& residual) {
  auto fit = compensator.Begin(graph, index);
  EXPECT_EQ(fit.status(), absl::OkStatus());
  for (int64_t first = 0; first < x.size(0); first += 16) {
    const at::Tensor r = residual.slice(0, first, first + 16);
    EXPECT_EQ((*fit)->Accumulate(first, x.slice(0, first, first + 16), r, at::zeros(r.sizes())), absl::OkStatus());
  }
  absl::StatusOr<BlockSolution> solution = (*fit)->Solve();
  EXPECT_EQ(solution.status(), absl::OkStatus());
  return *solution;
}

struct Conv {
  at::Tensor weight, bias;  // float64 [C', C / groups, k, k], [C']
  double r2 = 0;
};

// The ridge solution in float64 from its definition: every group's patches with a column of ones, λ on all of it.
Conv DirectSolution(const at::Tensor& x, const at::Tensor& r, int64_t groups, int64_t k, int64_t stride, double ridge) {
  const int64_t in = x.size(1) / groups, out = r.size(1) / groups, height = r.size(2), width = r.size(3), p = k / 2;
  const at::Tensor padded = at::constant_pad_nd(x.to(at::kDouble), {p, p, p, p}), wide = r.to(at::kDouble);
  std::vector<at::Tensor> weights, biases;
  double left = 0;
  for (int64_t g = 0; g < groups; ++g) {
    std::vector<at::Tensor> columns;
    for (int64_t c = g * in; c < (g + 1) * in; ++c) {
      for (int64_t i = 0; i < k; ++i) {
        for (int64_t j = 0; j < k; ++j) {
          columns.push_back(padded.select(1, c)
                                .slice(1, i, i + stride * (height - 1) + 1, stride)
                                .slice(2, j, j + stride * (width - 1) + 1, stride)
                                .flatten());
        }
      }
    }
    columns.push_back(at::ones(columns[0].sizes(), at::kDouble));
    const at::Tensor rows = at::stack(columns, 1);
    const at::Tensor targets = wide.narrow(1, g * out, out).permute({0, 2, 3, 1}).reshape({-1, out});
    const at::Tensor gram = at::mm(rows.t(), rows) + ridge * at::eye(rows.size(1), at::kDouble);
    const at::Tensor solution = at::linalg_solve(gram, at::mm(rows.t(), targets));
    left += (targets - at::mm(rows, solution)).square().sum().item<double>();
    weights.push_back(solution.narrow(0, 0, in * k * k).t().reshape({out, in, k, k}));
    biases.push_back(solution[in * k * k]);
  }
  const double total = (wide - wide.mean(0, true)).square().sum().item<double>();
  return {at::cat(weights), at::cat(biases), 1 - left / total};
}

// As recorded: the reference's X and Y - Ŷ of all fit images.
void ExpectRecordedFit(const std::string& name, int index, int64_t groups, int64_t kernel) {
  const GoldenNetwork network = LoadGoldenNetwork(name);
  const std::string fit = "fit/" + std::to_string(index);
  const at::Tensor &x = network.Figure(fit + ".input"), &residual = network.Figure(fit + ".residual");
  ASSERT_EQ(x.size(0), 64);
  const Conv exact = DirectSolution(x, residual, groups, kernel, 2, 1e-3);
  const std::string options = "factor: 16, kernel_size: " + std::to_string(kernel);
  // R² may be below 0, about the mean at each position: the gate is tested below.
  const auto single = GroupConv("{gate: always, storage: float32, " + options + "}");
  const BlockSolution solution = Fit(*single, network.graph, index, x, residual);
  EXPECT_LT(RelativeError(solution.tensors.at("weight").to(at::kDouble), exact.weight), 1e-6);
  EXPECT_LT(RelativeError(solution.tensors.at("bias").to(at::kDouble), exact.bias), 1e-6);
  EXPECT_NEAR(solution.r2, exact.r2, 1e-6);
  EXPECT_EQ(solution.samples, 64 * residual.size(2) * residual.size(3));
  EXPECT_EQ(solution.rank, x.size(1) * kernel * kernel);
  EXPECT_GT(solution.condition, 1);
  EXPECT_EQ(solution.held_out_r2, std::nullopt);
  // Its inverse is float32's.
  EXPECT_LT(RelativeError(network.Figure(fit + ".weight").to(at::kDouble), exact.weight), 1e-3);
  EXPECT_LT(RelativeError(network.Figure(fit + ".bias").to(at::kDouble), exact.bias), 1e-3);
  EXPECT_NEAR(solution.r2, network.Figure("fit/r2")[index].item<double>(), 1e-4);

  // What the sums say is what running it gives, but for float16.
  const auto half = GroupConv("{gate: always, " + options + "}");
  const BlockSolution stored = Fit(*half, network.graph, index, x, residual);
  EXPECT_TRUE(at::equal(stored.tensors.at("weight"), exact.weight.to(at::kHalf)));
  const at::Tensor compensated = half->Apply(stored, x, at::zeros(residual.sizes()));
  EXPECT_NEAR(stored.mse_before / residual.square().mean().item<double>(), 1, 1e-6);
  EXPECT_NEAR(stored.mse_after / (residual - compensated).square().mean().item<double>(), 1, 1e-4);

  // Kept where the reference's own gate, on its R² of this block, keeps it.
  const bool kept = Fit(*GroupConv("{" + options + "}"), network.graph, index, x, residual).kept;
  const std::string used = "qwt/" + network.graph.blocks[index].name + ".weight";
  EXPECT_EQ(kept, network.Figure(used).abs().max().item<double>() > 0);
  EXPECT_EQ(kept, network.Figure("fit/r2")[index].item<double>() > 0);
}

TEST(GroupConvTest, RecordedFitOfOneByOne) { ExpectRecordedFit("resnet_basic_w4a4", 1, 1, 1); }
TEST(GroupConvTest, RecordedFitOfThreeByThreeInGroups) { ExpectRecordedFit("resnet_basic_k3_w4a4", 3, 4, 3); }

// Sums of the definition, element by element; odd sizes at stride 2.
TEST(GroupConvTest, AppliesInFloat16) {
  BlockSolution solution;
  solution.kept = true;
  solution.tensors = {{"weight", Random({6, 2, 3, 3}, 1).to(at::kHalf)}, {"bias", Random({6}, 2)}};
  const at::Tensor x = Random({2, 4, 5, 7}, 3) * 7, y = Random({2, 6, 3, 4}, 4);
  const at::Tensor out = GroupConv()->Apply(solution, x, y);
  ASSERT_EQ(out.sizes(), y.sizes());
  ASSERT_EQ(out.scalar_type(), at::kFloat);
  const at::Tensor product = at::conv2d(x.to(at::kHalf).to(at::kDouble), solution.tensors.at("weight").to(at::kDouble),
                                        {}, {2, 2}, {1, 1}, {1, 1}, 2);
  const at::Tensor wide = product + y + solution.tensors.at("bias").view({1, 6, 1, 1});
  const at::Tensor rounded = product.to(at::kHalf).to(at::kFloat) + y + solution.tensors.at("bias").view({1, 6, 1, 1});
  // A float32 sum may round to the other neighbour where the exact one lies halfway.
  EXPECT_GE(((out - rounded).abs() < 1e-6).sum().item<int64_t>(), out.numel() - 1);
  EXPECT_GT((out - wide).abs().max().item<double>(), 1e-3) << "or this test shows nothing";
}

TEST(GroupConvTest, RecoversAConvolutionOfOddSizesAtStride2) {
  for (int64_t kernel : {1, 3}) {
    const at::Tensor x = Random({40, 8, 9, 9}, 1), weight = Random({12, 4, kernel, kernel}, 2), bias = Random({12}, 3);
    const at::Tensor r = at::conv2d(x, weight, bias, {2, 2}, {kernel / 2, kernel / 2}, {1, 1}, 2);
    ASSERT_EQ(r.size(2), 5);
    const auto compensator =
        GroupConv("{storage: float32, ridge: 0, factor: 4, kernel_size: " + std::to_string(kernel) + "}");
    const Graph graph = OneBlock(8, 12, 9, 2);
    ASSERT_EQ(compensator->Check(graph, 40), absl::OkStatus());
    const BlockSolution solution = Fit(*compensator, graph, 0, x, r);
    EXPECT_LT(RelativeError(solution.tensors.at("weight"), weight), 1e-5);
    EXPECT_LT(RelativeError(solution.tensors.at("bias"), bias), 1e-5);
    EXPECT_NEAR(solution.r2, 1, 1e-9);
    EXPECT_LT((compensator->Apply(solution, x, -r)).abs().max().item<double>(), 1e-4);
  }
}

// More rows than are made at once: of 48 images three in four are fitted to, of which 32 make 64 MiB.
TEST(GroupConvTest, ALargeBatchIsSummedInParts) {
  const at::Tensor x = Random({48, 8, 128, 128}, 1), r = x * 0.5 + Random({48, 8, 128, 128}, 2) + 0.25;
  const auto compensator = GroupConv("{storage: float32, factor: 4, gate: always}");
  std::unique_ptr<BlockFit> fit = *compensator->Begin(OneBlock(8, 8, 128, 1), 0);
  ASSERT_EQ(fit->Accumulate(0, x, r, at::zeros(r.sizes())), absl::OkStatus());
  const BlockSolution solution = *fit->Solve();
  const Conv exact = DirectSolution(x, r, 2, 1, 1, 1e-3);
  EXPECT_EQ(solution.samples, 48 * 128 * 128);
  EXPECT_LT(RelativeError(solution.tensors.at("weight").to(at::kDouble), exact.weight), 1e-6);
  EXPECT_LT(RelativeError(solution.tensors.at("bias").to(at::kDouble), exact.bias), 1e-6);
  EXPECT_NEAR(solution.r2, exact.r2, 1e-9);
}

TEST(GroupConvTest, GroupsAreChannelsByFactorAndAtLeastOne) {
  const at::Tensor x = Random({20, 8, 3, 3}, 1), r = Random({20, 16, 3, 3}, 2) + x.repeat({1, 2, 1, 1});
  for (const auto& [factor, inputs] : {std::pair(64, 8), std::pair(8, 8), std::pair(4, 4), std::pair(3, 4)}) {
    const BlockSolution solution =
        Fit(*GroupConv("{factor: " + std::to_string(factor) + "}"), OneBlock(8, 16, 3, 1), 0, x, r);
    EXPECT_EQ(solution.tensors.at("weight").sizes(), at::IntArrayRef({16, inputs, 1, 1})) << factor;
    EXPECT_EQ(solution.tensors.at("bias").sizes(), at::IntArrayRef({16}));
    EXPECT_EQ(solution.rank, 8);
  }
}

// An error that is the same in every image has a position for each of its values to stand at, and no variance.
TEST(GroupConvTest, VarianceIsAboutTheMeanOverImages) {
  const at::Tensor x = Random({20, 4, 3, 3}, 1), pattern = Random({1, 4, 3, 3}, 2).expand({20, 4, 3, 3}).contiguous();
  const BlockSolution same = Fit(*GroupConv(), OneBlock(4, 4, 3, 1), 0, x, pattern);
  EXPECT_FALSE(same.kept);
  EXPECT_EQ(same.reason, "the quantisation error does not vary");
  EXPECT_EQ(same.r2, 0);
  EXPECT_EQ(same.mse_after, same.mse_before);
  EXPECT_EQ(same.tensors.at("weight").abs().max().item<double>(), 0);
  // Beside a part that the layer explains it counts against R² in the numerator alone.
  const at::Tensor r = x * 0.5 + pattern;
  const BlockSolution both = Fit(*GroupConv("{storage: float32}"), OneBlock(4, 4, 3, 1), 0, x, r);
  EXPECT_NEAR(both.r2, DirectSolution(x, r, 1, 1, 1, 1e-3).r2, 1e-6);
  EXPECT_LT(both.r2, 0);
  EXPECT_FALSE(both.kept);
}

TEST(SingularGramTest, DuplicatedChannelsShareTheWeight) {
  const at::Tensor half = Random({40, 4, 3, 3}, 1), r = half * 0.5 + Random({40, 4, 3, 3}, 2) * 0.1;
  const at::Tensor twice = at::cat({half, half}, 1);
  const BlockSolution once = Fit(*GroupConv("{storage: float32}"), OneBlock(4, 4, 3, 1), 0, half, r);
  for (const auto& [ridge, rank] : {std::pair("1e-3", 8), std::pair("0", 4)}) {
    const auto compensator = GroupConv(std::string("{storage: float32, ridge: ") + ridge + "}");
    const BlockSolution solution = Fit(*compensator, OneBlock(8, 4, 3, 1), 0, twice, r);
    EXPECT_TRUE(solution.kept) << solution.reason;
    EXPECT_EQ(solution.rank, rank) << ridge;
    EXPECT_NEAR(solution.r2, once.r2, 1e-5) << ridge;
    const at::Tensor& weight = solution.tensors.at("weight");
    EXPECT_LT((weight.narrow(1, 0, 4) - weight.narrow(1, 4, 4)).abs().max().item<double>(), 1e-6) << ridge;
    EXPECT_LT(RelativeError(weight.narrow(1, 0, 4) * 2, once.tensors.at("weight")), 1e-4) << ridge;
  }
}

TEST(SingularGramTest, AConstantChannelIsNotABias) {
  at::Tensor x = Random({40, 4, 3, 3}, 1);
  const at::Tensor r = x * 0.5 + Random({40, 4, 3, 3}, 2) * 0.1;
  x.select(1, 2).fill_(1234.5);
  for (const char* ridge : {"1e-3", "0"}) {
    const auto compensator = GroupConv(std::string("{ridge: ") + ridge + "}");
    const BlockSolution solution = Fit(*compensator, OneBlock(4, 4, 3, 1), 0, x, r);
    EXPECT_TRUE(solution.kept) << solution.reason;
    EXPECT_GT(solution.r2, 0.6) << "three of four channels are explained";
    EXPECT_LT(solution.tensors.at("weight").select(1, 2).abs().max().item<double>(), 1e-3);
    const at::Tensor left = r - compensator->Apply(solution, x, at::zeros(r.sizes()));
    EXPECT_NEAR(solution.mse_after / left.square().mean().item<double>(), 1, 1e-2) << ridge;
  }
}

TEST(SingularGramTest, FewerPositionsThanChannels) {
  const at::Tensor x = Random({3, 32, 1, 1}, 1), r = Random({3, 32, 1, 1}, 2);
  for (const char* ridge : {"1e-3", "0"}) {
    const auto compensator = GroupConv(std::string("{ridge: ") + ridge + "}");
    const BlockSolution solution = Fit(*compensator, OneBlock(32, 32, 1, 1), 0, x, r);
    EXPECT_TRUE(solution.kept) << solution.reason;
    EXPECT_GT(solution.r2, 0.99);
    EXPECT_LT(solution.tensors.at("weight").abs().max().item<double>(), 2) << "the least norm";
  }
}

// As many weights as values: they fit noise, which the images kept aside see.
TEST(HeldOutGateTest, RefusesWhatFitsOnlyItsOwnImages) {
  const at::Tensor x = Random({40, 32, 1, 1}, 1), noise = Random({40, 32, 1, 1}, 2);
  const Graph graph = OneBlock(32, 32, 1, 1);
  const BlockSolution in_sample = Fit(*GroupConv(), graph, 0, x, noise);
  EXPECT_TRUE(in_sample.kept);
  EXPECT_EQ(in_sample.samples, 40);
  const BlockSolution held_out = Fit(*GroupConv("{gate: held_out}"), graph, 0, x, noise);
  EXPECT_FALSE(held_out.kept);
  EXPECT_EQ(held_out.samples, 30);
  EXPECT_GT(held_out.r2, 0.9);
  EXPECT_LT(held_out.held_out_r2.value(), -1);
  EXPECT_EQ(held_out.reason.substr(0, 55), "the held-out images' mean squared error does not fall: ");
  const BlockSolution always = Fit(*GroupConv("{gate: always}"), graph, 0, x, noise);
  EXPECT_TRUE(always.kept);
  EXPECT_EQ(always.held_out_r2, std::nullopt);
  const at::Tensor more = Random({200, 32, 1, 1}, 3), linear = more * 0.5 + Random({200, 32, 1, 1}, 4) * 0.01;
  const BlockSolution real = Fit(*GroupConv("{gate: held_out}"), graph, 0, more, linear);
  EXPECT_TRUE(real.kept) << real.reason;
  EXPECT_GT(real.held_out_r2.value(), 0.9);
  EXPECT_LT(real.held_out_r2.value(), real.r2);
}

TEST(GroupConvTest, WhatIsNotFiniteNamesTheBlock) {
  const auto compensator = GroupConv();
  std::unique_ptr<BlockFit> fit = *compensator->Begin(OneBlock(4, 8, 4, 2), 0);
  const at::Tensor x = Random({2, 4, 4, 4}, 1), y = Random({2, 8, 2, 2}, 2);
  at::Tensor bad = x.clone();
  bad[1][2][3][0] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(fit->Accumulate(0, bad, y, y),
            absl::InvalidArgumentError("block block: its input holds NaN or infinity, which nothing can be fitted to; "
                                       "look for them in the weights and images"));
  EXPECT_EQ(fit->Accumulate(0, x.narrow(0, 0, 1), y, y),
            absl::InvalidArgumentError("block block: its input [1, 4, 4, 4], float output [2, 8, 2, 2] and quantised "
                                       "output [2, 8, 2, 2] do not fit together; the first dimension must be equal"));
}

// Before anything is computed.
TEST(GroupConvTest, NeedsBlocksOfImagesThatItsGroupsDivide) {
  EXPECT_EQ(GroupConv()->Check(BuildVit("vit", VitConfig()), 512),
            absl::InvalidArgumentError(
                "group_conv: needs blocks of images, [N, C, h, w] in and out, of the same or a smaller size; blocks.0 "
                "of vit makes [1, 197, 384] from [1, 197, 384]"));
  EXPECT_EQ(GroupConv("{factor: 3}")->Check(OneBlock(10, 12, 4, 1), 512),
            absl::InvalidArgumentError("group_conv: factor 3 makes 3 groups of the 10 input channels of block of "
                                       "small, which do not divide these and its 12 output channels; take another "
                                       "factor"));
  EXPECT_EQ(GroupConv("{gate: held_out}")->Check(OneBlock(12, 12, 4, 1), 1).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace qwt
