// What every registered compensator owes its callers.
#include "qwt/compensator.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/randn.h"
#include "core/comm/run_ranks.h"
#include "core/tensor/parallel.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr int kChannels = 8;
constexpr int kBatches = 6;

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kFloat));
}

struct Batch {
  at::Tensor x, y_float, y_quant;
};

// A block whose error is `linear` parts of a linear map of its input and `noise` parts of noise.
std::vector<Batch> Batches(double linear, double noise) {
  const at::Tensor map = Random({kChannels, kChannels}, 100);
  std::vector<Batch> batches;
  for (int i = 0; i < kBatches; ++i) {
    Batch batch;
    batch.x = Random({3, 5, kChannels}, 3 * i) + 0.5;
    batch.y_quant = Random({3, 5, kChannels}, 3 * i + 1);
    batch.y_float =
        batch.y_quant + at::matmul(batch.x, map) * linear + Random({3, 5, kChannels}, 3 * i + 2) * noise + 0.1;
    batches.push_back(batch);
  }
  return batches;
}

Graph TwoBlocks() {
  Graph graph;
  graph.blocks = {{"blocks.0", {}}, {"blocks.1", {}}};
  return graph;
}

bool SameSolution(const BlockSolution& a, const BlockSolution& b) {
  if (a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, tensor] : a.tensors) {
    if (!b.tensors.count(name) || !at::equal(tensor, b.tensors.at(name))) return false;
  }
  return a.block == b.block && a.kept == b.kept && a.reason == b.reason && a.r2 == b.r2 &&
         a.mse_before == b.mse_before && a.mse_after == b.mse_after && a.condition == b.condition && a.rank == b.rank &&
         a.samples == b.samples;
}

class CompensatorConformanceTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto component = CompensatorRegistry::Get().Find(GetParam());
    ASSERT_EQ(component.status(), absl::OkStatus());
    Problems problems;
    const Options options = CheckOptions(ConfigNode(), (*component)->schema, &problems);
    ASSERT_EQ(problems.ToStatus(), absl::OkStatus())
        << "every option has a default: saved models are loaded by name alone";
    auto created = (*component)->create(options);
    ASSERT_EQ(created.status(), absl::OkStatus());
    compensator_ = *std::move(created);
  }

  std::unique_ptr<BlockFit> Begin(int index = 0) const { return *compensator_->Begin(TwoBlocks(), index); }

  BlockSolution Fit(const std::vector<Batch>& batches) const {
    std::unique_ptr<BlockFit> fit = Begin();
    for (const Batch& batch : batches) {
      EXPECT_EQ(fit->Accumulate(batch.x, batch.y_float, batch.y_quant), absl::OkStatus());
    }
    absl::StatusOr<BlockSolution> solution = fit->Solve();
    EXPECT_EQ(solution.status(), absl::OkStatus());
    return *solution;
  }

  std::unique_ptr<Compensator> compensator_;
};

TEST_P(CompensatorConformanceTest, WhatIsKeptHelpsAndWhatIsNotSaysWhy) {
  for (const auto& [linear, noise] :
       {std::pair(1.0, 0.1), std::pair(0.01, 1.0), std::pair(0.0, 1.0), std::pair(0.0, 0.0)}) {
    const std::vector<Batch> batches = Batches(linear, noise);
    const BlockSolution solution = Fit(batches);
    double before = 0, after = 0, scale = 0;
    for (const Batch& batch : batches) {
      const at::Tensor out = compensator_->Apply(solution, batch.x, batch.y_quant);
      ASSERT_EQ(out.sizes(), batch.y_quant.sizes());
      EXPECT_EQ(out.scalar_type(), at::kFloat);
      EXPECT_TRUE(solution.kept || at::equal(out, batch.y_quant));
      const at::Tensor error = (batch.y_float - batch.y_quant).to(at::kDouble),
                       left = (batch.y_float - out).to(at::kDouble);
      before += (error * error).mean().item<double>() / kBatches;
      after += (left * left).mean().item<double>() / kBatches;
      scale += (batch.x * batch.x).mean().item<double>() / kBatches;
    }
    EXPECT_EQ(solution.block, "blocks.0");
    EXPECT_EQ(solution.samples, kBatches * 15);
    EXPECT_EQ(solution.kept, solution.reason.empty()) << solution.reason;
    EXPECT_NEAR(solution.mse_before, before, 1e-6 * before);
    // Running it may differ from the sums by what half precision rounds.
    EXPECT_NEAR(solution.mse_after, after, 1e-5 * (before + scale));
    if (solution.kept) {
      EXPECT_GT(solution.r2, 0);
      EXPECT_LE(solution.mse_after, solution.mse_before);
    } else {
      EXPECT_EQ(solution.mse_after, solution.mse_before);
      for (const auto& [name, tensor] : solution.tensors) EXPECT_EQ(tensor.abs().max().item<double>(), 0) << name;
    }
  }
}

TEST_P(CompensatorConformanceTest, TheOrderOfBatchesDoesNotMatter) {
  std::vector<Batch> batches = Batches(1.0, 0.3);
  const BlockSolution expected = Fit(batches);
  std::reverse(batches.begin(), batches.end());
  EXPECT_TRUE(SameSolution(Fit(batches), expected));
  std::swap(batches[0], batches[3]);
  EXPECT_TRUE(SameSolution(Fit(batches), expected));
}

TEST_P(CompensatorConformanceTest, NeitherThreadsNorRanksMatter) {
  const std::vector<Batch> batches = Batches(1.0, 0.3);
  const BlockSolution expected = Fit(batches);
  for (int ranks : {1, 2, 3}) {
    std::vector<absl::StatusOr<BlockSolution>> solutions(ranks, absl::UnknownError("not solved"));
    RunRanks(ranks, [&](Communicator& comm) {
      std::unique_ptr<BlockFit> fit = Begin();
      const int64_t own = (kBatches - comm.rank() + ranks - 1) / ranks;
      EXPECT_EQ(ParallelFor(own, 4,
                            [&](int64_t i) {
                              const Batch& batch = batches[comm.rank() + i * ranks];
                              return fit->Accumulate(batch.x, batch.y_float, batch.y_quant);
                            }),
                absl::OkStatus());
      EXPECT_EQ(fit->Reduce(comm), absl::OkStatus());
      solutions[comm.rank()] = fit->Solve();
    });
    for (const auto& solution : solutions) {
      ASSERT_EQ(solution.status(), absl::OkStatus());
      EXPECT_TRUE(SameSolution(*solution, expected)) << ranks << " ranks";
    }
  }
}

TEST_P(CompensatorConformanceTest, ARankWithoutImagesGetsTheSolution) {
  const std::vector<Batch> batches = Batches(1.0, 0.3);
  const BlockSolution expected = Fit(batches);
  RunRanks(2, [&](Communicator& comm) {
    std::unique_ptr<BlockFit> fit = Begin();
    if (comm.rank() == 1) {
      for (const Batch& batch : batches)
        EXPECT_EQ(fit->Accumulate(batch.x, batch.y_float, batch.y_quant), absl::OkStatus());
    }
    EXPECT_EQ(fit->Reduce(comm), absl::OkStatus());
    absl::StatusOr<BlockSolution> solution = fit->Solve();
    ASSERT_EQ(solution.status(), absl::OkStatus());
    EXPECT_TRUE(SameSolution(*solution, expected));
  });
}

TEST_P(CompensatorConformanceTest, WhatIsNotFiniteNamesTheBlock) {
  Batch batch = Batches(1.0, 0.3)[0];
  batch.y_quant.view({-1})[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Begin(1)->Accumulate(batch.x, batch.y_float, batch.y_quant),
            absl::InvalidArgumentError(
                "block blocks.1: its quantised output holds NaN or infinity, which nothing can be fitted to; look "
                "for them in the weights and images"));
}

TEST_P(CompensatorConformanceTest, NoImagesAreAnError) {
  EXPECT_EQ(Begin(1)->Solve().status(),
            absl::FailedPreconditionError("block blocks.1: there are no rows to solve for"));
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& description : CompensatorRegistry::Get().Descriptions()) names.push_back(description.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, CompensatorConformanceTest, ::testing::ValuesIn(Names()),
                         [](const auto& info) { return info.param; });

TEST(CompensatorRegistryTest, HasTheLinearOneAndNone) {
  EXPECT_EQ(Names(), (std::vector<std::string>{"linear", "none"}));
}

}  // namespace
}  // namespace qwt
