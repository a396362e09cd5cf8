#include "benchmarks/bfloat16_executor.h"

#include "ATen/TensorOperators.h"
#include "gtest/gtest.h"
#include "tests/helpers/golden_network.h"

namespace qwt {
namespace {

// Segment by segment on the same input; bfloat16 knows 8 bits. Without its bias or mask an attention is far further
// off.
TEST(Bfloat16ExecutorTest, IsTheFloatNetworkRounded) {
  for (const char* name : {"vit_w4a4", "swin_w4a4", "resnet_bottleneck_w4a4"}) {
    const GoldenNetwork network = LoadGoldenNetwork(name);
    const auto exact = MakeFloatExecutor(network.parameters);
    const auto rounded = MakeBfloat16Executor(network.graph, network.parameters);
    ASSERT_TRUE(rounded.ok()) << rounded.status();
    at::Tensor x = network.evaluation;
    for (const Segment* segment : network.graph.Segments()) {
      const at::Tensor expected = *exact->Run(*segment, x);
      const auto found = (*rounded)->Run(*segment, x.to(at::kBFloat16));
      ASSERT_TRUE(found.ok()) << name << ": " << found.status();
      EXPECT_EQ(found->scalar_type(), at::kBFloat16);
      ASSERT_EQ(found->sizes(), expected.sizes()) << name << " " << segment->name;
      const at::Tensor error = (found->to(at::kFloat) - expected).square().mean().sqrt() / expected.std();
      EXPECT_LT(error.item<float>(), 0.01f) << name << " " << segment->name;
      x = expected;
    }
  }
}

}  // namespace
}  // namespace qwt
