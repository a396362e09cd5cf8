// What every registered compensator owes its callers.
#include "qwt/compensator.h"

#include <fstream>
#include <functional>
#include <limits>
#include <map>
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
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr int kChannels = 8;
constexpr int kBatches = 6;
constexpr int64_t kImages = 3;  // of a batch

at::Tensor Random(at::IntArrayRef shape, uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kFloat));
}

// What blocks take and make: tokens [N, 5, C] or images [N, C, 5, 3].
struct Layout {
  const char* name;
  int64_t height, width;
  bool images;

  int64_t positions() const { return height * width; }
  // Of [N, positions, C].
  at::Tensor Arrange(const at::Tensor& tokens) const {
    if (!images) return tokens;
    return tokens.transpose(1, 2).reshape({tokens.size(0), tokens.size(2), height, width}).contiguous();
  }
};
constexpr Layout kLayouts[] = {{"tokens", 1, 5, false}, {"images", 5, 3, true}};

// Two blocks, "blocks.0" and "blocks.1", of one linear map each.
Graph TwoBlocks(const Layout& layout) {
  Graph graph;
  graph.name = layout.name;
  graph.channels = graph.classes = kChannels;
  graph.height = layout.height;
  graph.width = layout.width;
  graph.stem = {"stem", {{"stem.node", layout.images ? Op::kRelu : Op::kFlattenTokens, {0}, "", "", {}}}};
  for (const char* name : {"blocks.0", "blocks.1"}) {
    const std::string node = std::string(name) + ".map", weight = node + ".weight";
    if (layout.images) {
      const std::map<std::string, double> conv = {{"stride", 1}, {"padding", 0}, {"groups", 1}};
      graph.blocks.push_back({name, {{node, Op::kConv2d, {0}, weight, "", conv}}});
      graph.parameters.push_back({weight, {kChannels, kChannels, 1, 1}});
    } else {
      graph.blocks.push_back({name, {{node, Op::kLinear, {0}, weight, "", {}}}});
      graph.parameters.push_back({weight, {kChannels, kChannels}});
    }
  }
  graph.head = {"head", {{"pool", layout.images ? Op::kGlobalAveragePool : Op::kMeanTokens, {0}, "", "", {}}}};
  return graph;
}

struct Batch {
  at::Tensor x, y_float, y_quant;
};

// A block whose error is `linear` parts of a linear map of its input and `noise` parts of noise.
std::vector<Batch> Batches(const Layout& layout, double linear, double noise) {
  const at::Tensor map = Random({kChannels, kChannels}, 100);
  const std::vector<int64_t> shape = {kImages, layout.positions(), kChannels};
  std::vector<Batch> batches;
  for (int i = 0; i < kBatches; ++i) {
    const at::Tensor x = Random(shape, 3 * i) + 0.5, y_quant = Random(shape, 3 * i + 1);
    const at::Tensor y_float = y_quant + at::matmul(x, map) * linear + Random(shape, 3 * i + 2) * noise + 0.1;
    batches.push_back({layout.Arrange(x), layout.Arrange(y_float), layout.Arrange(y_quant)});
  }
  return batches;
}

absl::StatusOr<std::unique_ptr<Compensator>> Make(const std::string& name, const std::string& yaml) {
  const auto component = CompensatorRegistry::Get().Find(name);
  if (!component.ok()) return component.status();
  const auto config = ParseConfig(yaml, "test");
  Problems problems;
  const Options options = CheckOptions(*config, (*component)->schema, &problems);
  if (!problems.empty()) return problems.ToStatus();
  return (*component)->create(options);
}

bool SameSolution(const BlockSolution& a, const BlockSolution& b) {
  if (a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, tensor] : a.tensors) {
    if (!b.tensors.count(name) || !at::equal(tensor, b.tensors.at(name))) return false;
  }
  return a.block == b.block && a.kept == b.kept && a.reason == b.reason && a.r2 == b.r2 &&
         a.held_out_r2 == b.held_out_r2 && a.mse_before == b.mse_before && a.mse_after == b.mse_after &&
         a.condition == b.condition && a.rank == b.rank && a.samples == b.samples;
}

// A registered compensator on a layout that it takes.
struct Case {
  std::string name;
  Layout layout;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name << " on " << c.layout.name; }

class CompensatorConformanceTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    auto created = Make(GetParam().name, "{}");
    ASSERT_EQ(created.status(), absl::OkStatus())
        << "every option has a default: saved models are loaded by name alone";
    compensator_ = *std::move(created);
  }

  const Layout& layout() const { return GetParam().layout; }
  std::vector<Batch> Batches(double linear, double noise) const { return qwt::Batches(layout(), linear, noise); }
  std::unique_ptr<BlockFit> Begin(int index = 0) const { return *compensator_->Begin(TwoBlocks(layout()), index); }

  static absl::Status Add(BlockFit& fit, const std::vector<Batch>& batches, int64_t i) {
    return fit.Accumulate(i * kImages, batches[i].x, batches[i].y_float, batches[i].y_quant);
  }

  BlockSolution Fit(const std::vector<Batch>& batches) const {
    std::unique_ptr<BlockFit> fit = Begin();
    for (int64_t i = 0; i < kBatches; ++i) EXPECT_EQ(Add(*fit, batches, i), absl::OkStatus());
    absl::StatusOr<BlockSolution> solution = fit->Solve();
    EXPECT_EQ(solution.status(), absl::OkStatus());
    return *solution;
  }

  // Calls check() with the compensator as it is by default and, where it has that gate, with images kept aside.
  void WithEveryGate(const std::function<void()>& check) {
    check();
    auto held_out = Make(GetParam().name, "{gate: held_out, held_out_fraction: 0.4}");
    if (!held_out.ok()) return;
    SCOPED_TRACE("held_out");
    compensator_ = *std::move(held_out);
    check();
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
    EXPECT_EQ(solution.samples, kBatches * kImages * layout().positions());
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
  WithEveryGate([&] {
    const std::vector<Batch> batches = Batches(1.0, 0.3);
    const BlockSolution expected = Fit(batches);
    for (const std::vector<int64_t>& order : {std::vector<int64_t>{5, 4, 3, 2, 1, 0}, {2, 4, 3, 5, 1, 0}}) {
      std::unique_ptr<BlockFit> fit = Begin();
      for (int64_t i : order) EXPECT_EQ(Add(*fit, batches, i), absl::OkStatus());
      EXPECT_TRUE(SameSolution(*fit->Solve(), expected));
    }
  });
}

TEST_P(CompensatorConformanceTest, NeitherThreadsNorRanksMatter) {
  WithEveryGate([&] {
    const std::vector<Batch> batches = Batches(1.0, 0.3);
    const BlockSolution expected = Fit(batches);
    for (int ranks : {1, 2, 3}) {
      std::vector<absl::StatusOr<BlockSolution>> solutions(ranks, absl::UnknownError("not solved"));
      RunRanks(ranks, [&](Communicator& comm) {
        std::unique_ptr<BlockFit> fit = Begin();
        const int64_t own = (kBatches - comm.rank() + ranks - 1) / ranks;
        EXPECT_EQ(ParallelFor(own, 4, [&](int64_t i) { return Add(*fit, batches, comm.rank() + i * ranks); }),
                  absl::OkStatus());
        EXPECT_EQ(fit->Reduce(comm), absl::OkStatus());
        solutions[comm.rank()] = fit->Solve();
      });
      for (const auto& solution : solutions) {
        ASSERT_EQ(solution.status(), absl::OkStatus());
        EXPECT_TRUE(SameSolution(*solution, expected)) << ranks << " ranks";
      }
    }
  });
}

TEST_P(CompensatorConformanceTest, ARankWithoutImagesGetsTheSolution) {
  WithEveryGate([&] {
    const std::vector<Batch> batches = Batches(1.0, 0.3);
    const BlockSolution expected = Fit(batches);
    RunRanks(2, [&](Communicator& comm) {
      std::unique_ptr<BlockFit> fit = Begin();
      for (int64_t i = 0; comm.rank() == 1 && i < kBatches; ++i) EXPECT_EQ(Add(*fit, batches, i), absl::OkStatus());
      EXPECT_EQ(fit->Reduce(comm), absl::OkStatus());
      absl::StatusOr<BlockSolution> solution = fit->Solve();
      ASSERT_EQ(solution.status(), absl::OkStatus());
      EXPECT_TRUE(SameSolution(*solution, expected));
    });
  });
}

TEST_P(CompensatorConformanceTest, SavedSumsGiveTheSameSolution) {
  WithEveryGate([&] {
    const std::vector<Batch> batches = Batches(1.0, 0.3);
    std::unique_ptr<BlockFit> fit = Begin(), restored = Begin();
    for (int64_t i = 0; i < kBatches; ++i) EXPECT_EQ(Add(*fit, batches, i), absl::OkStatus());
    ASSERT_EQ(fit->Reduce(*MakeLocalCommunicator()), absl::OkStatus());
    ASSERT_EQ(restored->Restore(fit->Sums()), absl::OkStatus());
    EXPECT_TRUE(SameSolution(*restored->Solve(), *fit->Solve()));
    // And once more, as from an entry that was made of an entry.
    std::unique_ptr<BlockFit> again = Begin();
    ASSERT_EQ(again->Restore(restored->Sums()), absl::OkStatus());
    EXPECT_TRUE(SameSolution(*again->Solve(), *fit->Solve()));
  });
}

TEST_P(CompensatorConformanceTest, WhatAreNotItsSumsIsDataLoss) {
  std::unique_ptr<BlockFit> fit = Begin(1), restored = Begin(1);
  EXPECT_EQ(Add(*fit, Batches(1.0, 0.3), 0), absl::OkStatus());
  TensorMap sums = fit->Sums();
  ASSERT_FALSE(sums.empty());
  for (auto& [name, tensor] : sums) tensor = tensor.to(at::kFloat);
  const absl::Status status = restored->Restore(sums);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("block blocks.1: "));
}

// Resident memory at its highest so far.
int64_t PeakBytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
  }
  ADD_FAILURE() << "no VmHWM";
  return 0;
}

TEST_P(CompensatorConformanceTest, AHundredBatchesTakeTheMemoryOfOne) {
  WithEveryGate([&] {
    const std::vector<int64_t> shape = {20000 / layout().positions(), layout().positions(), kChannels};
    const Batch batch = {layout().Arrange(Random(shape, 1)), layout().Arrange(Random(shape, 2)),
                         layout().Arrange(Random(shape, 3))};
    const auto add = [&](BlockFit& fit, int64_t i) {  // copies, which a fit could hold on to
      return fit.Accumulate(i * shape[0], batch.x.clone(), batch.y_float.clone(), batch.y_quant.clone());
    };
    std::unique_ptr<BlockFit> one = Begin(), hundred = Begin();
    EXPECT_EQ(add(*one, 0), absl::OkStatus());
    EXPECT_EQ(one->Solve().status(), absl::OkStatus());
    // A tenth of what the batches would take: the allocator keeps a little.
    const int64_t bound = PeakBytes() + 10 * 3 * static_cast<int64_t>(batch.x.nbytes());
    for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(add(*hundred, i), absl::OkStatus());
    EXPECT_EQ(hundred->Solve().status(), absl::OkStatus());
    EXPECT_LT(PeakBytes(), bound);
  });
}

TEST_P(CompensatorConformanceTest, WhatIsNotFiniteNamesTheBlock) {
  Batch batch = Batches(1.0, 0.3)[0];
  batch.y_quant.view({-1})[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Begin(1)->Accumulate(0, batch.x, batch.y_float, batch.y_quant),
            absl::InvalidArgumentError(
                "block blocks.1: its quantised output holds NaN or infinity, which nothing can be fitted to; look "
                "for them in the weights and images"));
}

// Duplicated channels, a constant one, fewer rows than channels.
TEST_P(CompensatorConformanceTest, SingularInputsHaveFiniteSolutions) {
  const int64_t channel_dim = layout().images ? 1 : 2;
  const auto channels = [&](at::Tensor& x, int64_t first, int64_t count) {
    return x.narrow(channel_dim, first, count);
  };
  const std::vector<std::function<void(at::Tensor&)>> changes = {
      [&](at::Tensor& x) { channels(x, 4, 4).copy_(channels(x, 0, 4)); },
      [&](at::Tensor& x) { channels(x, 2, 1).fill_(1234.5); },
      [&](at::Tensor& x) { x = x.narrow(0, 0, 1); },
  };
  for (size_t change = 0; change < changes.size(); ++change) {
    std::unique_ptr<BlockFit> fit = Begin();
    std::vector<Batch> batches = Batches(1.0, 0.3);
    if (change == 2) batches.resize(1);
    double before = 0, after = 0;
    for (size_t i = 0; i < batches.size(); ++i) {
      Batch& batch = batches[i];
      changes[change](batch.x);
      if (change == 2) batch.y_float = batch.y_float.narrow(0, 0, 1), batch.y_quant = batch.y_quant.narrow(0, 0, 1);
      EXPECT_EQ(Add(*fit, batches, i), absl::OkStatus());
    }
    const absl::StatusOr<BlockSolution> solution = fit->Solve();
    ASSERT_EQ(solution.status(), absl::OkStatus());
    for (const auto& [name, tensor] : solution->tensors) EXPECT_LT(tensor.abs().max().item<double>(), 100) << name;
    for (const Batch& batch : batches) {
      const at::Tensor out = compensator_->Apply(*solution, batch.x, batch.y_quant);
      before += (batch.y_float - batch.y_quant).square().mean().item<double>() / batches.size();
      after += (batch.y_float - out).square().mean().item<double>() / batches.size();
    }
    EXPECT_NEAR(solution->mse_before / before, 1, 1e-5);
    EXPECT_NEAR(solution->mse_after / before, after / before, 1e-3) << change;
  }
}

TEST_P(CompensatorConformanceTest, SaysWhatItHolds) {
  const Graph graph = TwoBlocks(layout());
  EXPECT_EQ(compensator_->Check(graph, 512), absl::OkStatus());
  const int64_t few = compensator_->FitBytes(graph, 16), many = compensator_->FitBytes(graph, 160);
  EXPECT_GE(few, 0);
  EXPECT_LE(many, 1 << 20);
  EXPECT_EQ(many > few, few > 0) << "the rows of the images in flight";
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

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const std::string& name : Names()) {
    for (const Layout& layout : kLayouts) {
      const auto compensator = Make(name, "{}");
      if (!compensator.ok() || (*compensator)->Check(TwoBlocks(layout), 512).ok()) cases.push_back({name, layout});
    }
  }
  return cases;
}

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name + "_" + info.param.layout.name;
}

INSTANTIATE_TEST_SUITE_P(All, CompensatorConformanceTest, ::testing::ValuesIn(Cases()), CaseName);

TEST(CompensatorRegistryTest, EveryOneTakesTheBlocksItIsFor) {
  std::vector<std::string> cases;
  for (const Case& c : Cases()) cases.push_back(c.name + " " + c.layout.name);
  EXPECT_EQ(cases, (std::vector<std::string>{"group_conv images", "linear tokens", "none tokens", "none images"}));
}

}  // namespace
}  // namespace qwt
