// Sums, solutions and whole networks on a GPU against the CPU.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/randn.h"
#include "core/comm/exact_sum.h"
#include "gmock/gmock.h"
#include "models/executor.h"
#include "quant/calibrate.h"
#include "qwt/compensator.h"
#include "qwt/normal_equations.h"
#include "tests/gpu/gpu.h"
#include "tests/helpers/component.h"
#include "tests/helpers/golden_model.h"
#include "tests/helpers/golden_network.h"
#include "tests/helpers/quant_method.h"

namespace qwt {
namespace {

using FitGpuTest = GpuTest;

TEST_F(FitGpuTest, ExactSumsAreTheCpusToTheLastBit) {
  ExactSum on_cpu, on_gpu, backwards;
  std::vector<at::Tensor> terms;
  for (int i = 0; i < 50; ++i) terms.push_back(at::randn({33, 7}, at::kDouble) * (i % 5 == 0 ? 1e12 : 1e-3));
  for (const at::Tensor& term : terms) {
    on_cpu.Add(term);
    on_gpu.Add(term.to(gpu_));
  }
  for (auto term = terms.rbegin(); term != terms.rend(); ++term) backwards.Add(term->to(gpu_));
  EXPECT_TRUE(on_gpu.Value().is_cuda());
  EXPECT_TRUE(on_gpu.Value().cpu().equal(on_cpu.Value()));
  EXPECT_TRUE(backwards.Value().equal(on_gpu.Value()));
}

// Of groups of batches: x [G, rows, C], r [G, rows, K].
void ExpectSameLeastSquares(const std::vector<std::pair<at::Tensor, at::Tensor>>& batches, Ridge ridge,
                            at::Device gpu) {
  NormalSums sums, sums_of_gpu;
  for (const auto& [x, r] : batches) {
    sums.Add(NormalSums::Terms(x, r));
    sums_of_gpu.Add(NormalSums::Terms(x.to(gpu), r.to(gpu)));
  }
  const NormalEquations on_cpu(sums.Value()), on_gpu(sums_of_gpu.Value());
  EXPECT_LT(RelativeError(sums_of_gpu.Value().cpu(), sums.Value()), 1e-12);
  const LeastSquares expected = *on_cpu.Solve(ridge), found = *on_gpu.Solve(ridge);
  EXPECT_TRUE(found.weight.is_cuda());
  EXPECT_EQ(found.rank, expected.rank);
  EXPECT_NEAR(found.condition / expected.condition, 1, 1e-6);
  EXPECT_LT(RelativeError(found.weight.cpu(), expected.weight), 1e-6);
  EXPECT_LT(RelativeError(found.bias.cpu(), expected.bias), 1e-6);
  EXPECT_NEAR(on_gpu.ResidualSquares(found.weight, found.bias), on_cpu.ResidualSquares(expected.weight, expected.bias),
              1e-6 * on_cpu.TargetSquares());
}

// Of 32 channels and fewer a GPU decomposes all Grams at once, of more one after the other.
TEST_F(FitGpuTest, LeastSquaresAreTheCpus) {
  for (const auto& [groups, channels] : {std::pair(1, 48), {1, 300}, {6, 24}, {6, 64}}) {
    SCOPED_TRACE(std::to_string(groups) + " groups of " + std::to_string(channels));
    std::vector<std::pair<at::Tensor, at::Tensor>> batches;
    for (int i = 0; i < 4; ++i) {
      const at::Tensor x = at::randn({groups, 500, channels}) + 3;
      const at::Tensor r = at::matmul(x, at::randn({groups, channels, 20})) + at::randn({groups, 500, 20});
      batches.push_back({x, r});
    }
    ExpectSameLeastSquares(batches, {}, gpu_);
    ExpectSameLeastSquares(batches, {1e-3, true}, gpu_);
  }
}

// A group with a channel twice, one with a constant channel, one that does not vary, and one as any.
TEST_F(FitGpuTest, SingularGroupsAreTheCpus) {
  for (int64_t channels : {20, 64}) {
    SCOPED_TRACE(channels);
    const at::Tensor x = at::randn({4, 400, channels}), r = at::randn({4, 400, 7});
    x[0].select(1, 4).copy_(x[0].select(1, 1));
    x[1].select(1, 3).fill_(1234.567);
    x[2].fill_(0.25);
    ExpectSameLeastSquares({{x, r}}, {}, gpu_);
    ExpectSameLeastSquares({{x, r}}, {1e-3, false}, gpu_);
  }
}

// Block `index`'s fit on the same tensors, and what it makes of them.
void ExpectSameFit(const GoldenNetwork& network, int index, const std::string& name, const std::string& options,
                   at::Device gpu) {
  SCOPED_TRACE(name + " " + options);
  const auto compensator = MakeComponent<CompensatorRegistry>(name, options);
  const auto comm = MakeLocalCommunicator();
  const auto executor = MakeFloatExecutor(network.parameters);
  at::Tensor x = *executor->Run(network.graph.stem, network.calibration);
  for (int before = 0; before < index; ++before) x = *executor->Run(network.graph.blocks[before], x);
  const at::Tensor y = *executor->Run(network.graph.blocks[index], x),
                   y_quant = y + 0.1 * y.sin() + 0.01 * at::randn(y.sizes());
  BlockSolution solutions[2];
  at::Tensor outputs[2];
  for (int i = 0; i < 2; ++i) {
    const at::Device device = i == 0 ? at::Device(at::kCPU) : gpu;
    auto fit = *compensator->Begin(network.graph, index);
    ASSERT_TRUE(fit->Accumulate(0, x.to(device), y.to(device), y_quant.to(device)).ok());
    ASSERT_TRUE(fit->Reduce(*comm).ok());
    const TensorMap sums = ToDevice(fit->Sums(), at::kCPU);
    solutions[i] = *fit->Solve();
    auto restored = *compensator->Begin(network.graph, index);
    ASSERT_TRUE(restored->Restore(ToDevice(sums, device)).ok());
    const BlockSolution again = *restored->Solve();
    for (const auto& [tensor, expected] : solutions[i].tensors) {
      EXPECT_TRUE(again.tensors.at(tensor).equal(expected)) << tensor << ", from stored sums";
    }
    BlockSolution applied = solutions[i];
    applied.tensors = ToDevice(applied.tensors, device);
    outputs[i] = compensator->Apply(applied, x.to(device), y_quant.to(device)).cpu();
  }
  EXPECT_NEAR(solutions[1].r2, solutions[0].r2, 1e-5);
  EXPECT_EQ(solutions[1].kept, solutions[0].kept);
  for (const auto& [tensor, expected] : solutions[0].tensors) {
    ASSERT_TRUE(solutions[1].tensors.at(tensor).is_cpu());
    // Rounded to float16, half of whose last bit is 2.4e-4.
    EXPECT_LT(RelativeError(solutions[1].tensors.at(tensor).to(at::kFloat), expected.to(at::kFloat)), 1e-3) << tensor;
  }
  EXPECT_LT(RelativeError(outputs[1], outputs[0]), 1e-3);
}

TEST_F(FitGpuTest, CompensatorsFitAndApplyAsOnTheCpu) {
  ExpectSameFit(LoadGoldenNetwork("vit_w4a4"), 0, "linear", "{}", gpu_);
  const GoldenNetwork resnet = LoadGoldenNetwork("resnet_basic_w4a4");
  for (int index : {0, 1}) {  // of stride 1 and 2
    ExpectSameFit(resnet, index, "group_conv", "{gate: always}", gpu_);
    ExpectSameFit(resnet, index, "group_conv", "{gate: always, factor: 4}", gpu_);
    ExpectSameFit(resnet, index, "group_conv", "{gate: always, factor: 4, kernel_size: 3}", gpu_);
  }
}

TEST_F(FitGpuTest, NetworksComputeWhatTheCpuComputes) {
  for (const char* name : {"vit_w4a4", "swin_w4a4", "resnet_bottleneck_w4a4"}) {
    SCOPED_TRACE(name);
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const auto on_cpu = MakeFloatExecutor(network.parameters);
    const auto on_gpu = MakeFloatExecutor(ToDevice(network.parameters, gpu_));
    const at::Tensor expected = *RunGraph(network.graph, *on_cpu, network.evaluation);
    const auto found = RunGraph(network.graph, *on_gpu, network.evaluation.to(gpu_));
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_LT(RelativeError(found->cpu(), expected), 1e-4);
  }
}

TEST_F(FitGpuTest, WhereThereIsNoMemoryForABatchItRunsInHalves) {
  const GoldenNetwork network = LoadGoldenNetwork("vit_w4a4");
  const TensorMap parameters = ToDevice(network.parameters, gpu_);
  const at::Tensor images = network.evaluation.to(gpu_).repeat({512, 1, 1, 1});  // 8192
  const at::Tensor expected = *RunGraph(network.graph, *MakeFloatExecutor(parameters), images);
  const int64_t whole_bytes = PeakBytes(gpu_);
  ReleaseCachedMemory(gpu_);
  const at::Tensor filler = at::empty({FreeBytes(gpu_) - whole_bytes / 2}, at::TensorOptions(at::kByte).device(gpu_));
  const auto plain = RunGraph(network.graph, *MakeFloatExecutor(parameters), images);
  EXPECT_TRUE(absl::IsResourceExhausted(plain.status())) << plain.status();
  const auto found = RunGraph(network.graph, *MakeHalvingExecutor(MakeFloatExecutor(parameters)), images);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_LT(RelativeError(found->cpu(), expected.cpu()), 1e-5);
}

TEST_F(FitGpuTest, CalibrationFindsTheCpusScales) {
  for (const auto& [name, method] :
       {std::pair("vit_w4a4", "repq_vit"), {"swin_w4a4", "repq_vit"}, {"resnet_bottleneck_w4a4", "percentile"}}) {
    SCOPED_TRACE(name);
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const QuantSpecs specs = *MakeMethod(method, "{weight_bits: 8, activation_bits: 8}")->Specs(network.graph);
    const auto comm = MakeLocalCommunicator();
    const auto calibrate = [&](at::Device device) {
      return Calibrate(network.graph, ToDevice(network.parameters, device), specs,
                       {network.calibration.narrow(0, 0, 16).to(device)}, *comm, 1, {});
    };
    const auto expected = calibrate(at::kCPU), found = calibrate(gpu_);
    ASSERT_TRUE(expected.ok() && found.ok()) << found.status();
    ASSERT_EQ(found->size(), expected->size());
    for (const auto& [site, quantization] : *expected) {
      // Weights are the same input: their scales must be the same. Activations come through products that round in
      // another order, and a code that falls to the other side moves the next sites' extremes by whole steps.
      const bool weight = testing::Value(site, testing::EndsWith(".weight"));
      EXPECT_LT(RelativeError(found->at(site).scale, quantization.scale), weight ? 1e-7 : 0.15) << site;
    }
  }
}

}  // namespace
}  // namespace qwt
