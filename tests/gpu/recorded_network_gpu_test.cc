// Forward passes recorded on a GPU and launched as a whole: the bits of those launched kernel by kernel.
#include "ATen/TensorOperators.h"
#include "ATen/ops/randn.h"
#include "c10/core/InferenceMode.h"
#include "c10/core/impl/VirtualGuardImpl.h"
#include "core/tensor/recording.h"
#include "gmock/gmock.h"
#include "models/recorded_network.h"
#include "tests/gpu/gpu.h"
#include "tests/helpers/golden_model.h"

namespace qwt {
namespace {

using testing::HasSubstr;

struct RecordedNetworkGpuTest : GpuTest {
  at::Tensor RandomImages(const Graph& graph, int64_t count) {
    return at::randn({count, graph.channels, graph.height, graph.width}, at::TensorOptions(gpu_));
  }
  void Wait() { c10::impl::VirtualGuardImpl(gpu_.type()).synchronizeDevice(gpu_.index()); }

  const c10::InferenceMode no_gradients_;
};

TEST_F(RecordedNetworkGpuTest, SameBitsForEveryBatch) {
  for (const char* name : {"vit_w4a4", "swin_w4a4", "resnet_basic_w4a4"}) {
    for (const bool compensated : {false, true}) {
      SCOPED_TRACE(std::string(name) + (compensated ? ", compensated" : ""));
      const GoldenNetwork golden = LoadGoldenNetwork(name);
      const bool tokens = std::string(name).find("resnet") == std::string::npos;
      QuantizedModel model =
          QuantizeGolden(golden, tokens ? "repq_vit" : "percentile", "{weight_bits: 4, activation_bits: 4}");
      FitGolden(golden, tokens ? "linear" : "group_conv", "{}", &model);
      const auto executor = MakeQuantizedExecutor(model, compensated, gpu_, Numerics::kInteger);
      ASSERT_TRUE(executor.ok()) << executor.status();
      RecordedNetwork network(&model.graph, executor->get());
      // Of each size the first batch runs as it is, the second is recorded, others are launched again.
      for (int round = 0; round < 4; ++round) {
        for (const int64_t count : {1, 3, 32}) {
          const at::Tensor images = RandomImages(model.graph, count);
          const auto expected = RunGraph(model.graph, **executor, images);
          ASSERT_TRUE(expected.ok()) << expected.status();
          const auto found = network.Run(images);
          ASSERT_TRUE(found.ok()) << found.status();
          EXPECT_EQ(found->ne(*expected).sum().item<int64_t>(), 0)
              << "of " << expected->numel() << " logits, round " << round << ", " << count << " images, furthest apart "
              << (*found - *expected).abs().max().item<float>();
        }
      }
      EXPECT_EQ(network.recordings(), 3);
    }
  }
}

// Adds one in every segment.
class Steps : public Executor {
 public:
  explicit Steps(bool waits) : waits_(waits) {}
  absl::StatusOr<at::Tensor> Run(const Segment&, const at::Tensor& batch) const override {
    ++runs_;
    if (waits_) batch.sum().item<float>();
    return batch + 1;
  }
  int runs() const { return runs_; }

 private:
  const bool waits_;
  mutable int runs_ = 0;
};

// A graph of two segments, to run with Steps.
Graph Two() {
  Graph graph;
  graph.name = "two";
  graph.channels = 1;
  graph.height = graph.width = 4;
  return graph;
}

TEST_F(RecordedNetworkGpuTest, RunsTheExecutorUntilItIsRecorded) {
  const Graph graph = Two();
  const Steps steps(/*waits=*/false);
  RecordedNetwork network(&graph, &steps);
  for (int i = 1; i <= 5; ++i) {
    const at::Tensor images = RandomImages(graph, 2);
    EXPECT_TRUE(network.Run(images)->equal(images + 1 + 1)) << i;
    EXPECT_EQ(steps.runs(), i == 1 ? 2 : 4) << i;  // two segments
  }
}

// What waits for the GPU cannot be recorded; nothing of the attempt is left that would keep memory from being reused.
TEST_F(RecordedNetworkGpuTest, WhatCannotBeRecordedRunsAsItIs) {
  const Graph graph = Two();
  const Steps steps(/*waits=*/true);
  RecordedNetwork network(&graph, &steps);
  for (int i = 1; i <= 5; ++i) {
    const at::Tensor images = RandomImages(graph, 2);
    const auto found = network.Run(images);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_TRUE(found->equal(images + 1 + 1)) << i;
    EXPECT_EQ(network.recordings(), 0);
  }
  const auto failed = Record(RandomImages(graph, 1), [](const at::Tensor& x) -> absl::StatusOr<at::Tensor> {
    return x * x.sum().item<float>();
  });
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("recording: "));
  // Another recording works after it.
  const auto recording = Record(RandomImages(graph, 1), [](const at::Tensor& x) { return x * 3; });
  ASSERT_TRUE(recording.ok()) << recording.status();
  const at::Tensor images = RandomImages(graph, 1);
  EXPECT_TRUE((*recording)->Replay(images).equal(images * 3));
}

TEST_F(RecordedNetworkGpuTest, MemoryDoesNotGrow) {
  const Graph graph = Two();
  const Steps steps(/*waits=*/false);
  RecordedNetwork network(&graph, &steps);
  const at::Tensor images = RandomImages(graph, 64);
  const auto run = [&] {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(network.Run(images).ok());
    Wait();
  };
  run();
  const int64_t before = FreeBytes(gpu_);
  for (int i = 0; i < 50; ++i) run();
  EXPECT_EQ(FreeBytes(gpu_), before);
  // Of many sizes only the last few are kept.
  for (int64_t count = 1; count <= 12; ++count) {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(network.Run(RandomImages(graph, count)).ok());
    EXPECT_LE(network.recordings(), 4);
  }
  EXPECT_EQ(network.recordings(), 4);
}

}  // namespace
}  // namespace qwt
