#include <map>

#include "gtest/gtest.h"
#include "models/registry.h"

namespace qwt {
namespace {

absl::StatusOr<Graph> Create(const std::string& name, const std::string& yaml) {
  const auto component = ModelRegistry::Get().Find(name);
  if (!component.ok()) return component.status();
  const auto node = ParseConfig(yaml, "a.yaml");
  if (!node.ok()) return node.status();
  Problems problems;
  const Options options = CheckOptions(*node, (*component)->schema, &problems);
  if (!problems.empty()) return problems.ToStatus();
  return (*component)->create(options);
}

std::map<std::string, std::vector<int64_t>> Shapes(const Graph& graph) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const ParameterSpec& spec : graph.parameters) shapes[spec.name] = spec.shape;
  return shapes;
}

TEST(ResnetOptionsTest, EveryDimensionIsAnOption) {
  const auto graph =
      Create("resnet", "image: 20\nblock: bottleneck\nblocks: [1, 2, 1]\nwidth: 6\nclasses: 7\nepsilon: 1e-3\n");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(ValidateGraph(*graph), absl::OkStatus());
  EXPECT_EQ(graph->width, 20);
  EXPECT_EQ(graph->classes, 7);
  ASSERT_EQ(graph->blocks.size(), 4);
  EXPECT_EQ(graph->blocks[2].name, "layer2.1");
  auto shapes = Shapes(*graph);
  EXPECT_EQ(shapes["conv1.weight"], (std::vector<int64_t>{6, 3, 7, 7}));
  EXPECT_EQ(shapes["layer2.1.conv3.weight"], (std::vector<int64_t>{48, 12, 1, 1}));
  EXPECT_EQ(shapes["layer3.0.downsample.1.running_var"], (std::vector<int64_t>{96}));
  EXPECT_EQ(shapes["fc.weight"], (std::vector<int64_t>{7, 96}));
  EXPECT_EQ(graph->stem.nodes[1].Attribute("epsilon"), 1e-3);
}

TEST(ResnetOptionsTest, BasicBlocksProjectWhereTheShapeChangesAlone) {
  const auto graph = Create("resnet", "{blocks: [1, 1]}");
  ASSERT_TRUE(graph.ok()) << graph.status();
  auto shapes = Shapes(*graph);
  EXPECT_EQ(shapes["layer2.0.conv1.weight"], (std::vector<int64_t>{128, 64, 3, 3}));
  EXPECT_EQ(shapes["layer2.0.downsample.0.weight"], (std::vector<int64_t>{128, 64, 1, 1}));
  EXPECT_EQ(shapes.count("layer1.0.downsample.0.weight"), 0);
  EXPECT_EQ(shapes.count("layer1.0.conv1.bias"), 0);
}

// v1.5: the published weights of ResNet-50 are trained so.
TEST(ResnetOptionsTest, ABottlenecksStrideIsAtItsSecondConvolution) {
  const auto graph = Create("resnet50", "{}");
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::map<std::string, double> strides;
  for (const Node& node : graph->blocks[3].nodes) {
    if (node.op == Op::kConv2d) strides[node.name] = node.Attribute("stride");
  }
  EXPECT_EQ(strides,
            (std::map<std::string, double>{
                {"layer2.0.conv1", 1}, {"layer2.0.conv2", 2}, {"layer2.0.conv3", 1}, {"layer2.0.downsample.0", 2}}));
}

TEST(ResnetOptionsTest, WrongDimensionsAreNamed) {
  EXPECT_EQ(Create("resnet", "blocks: []\n").status(),
            absl::InvalidArgumentError("a.yaml:1: blocks: must be of 1 to 12 layers, is of 0"));
  EXPECT_TRUE(absl::IsInvalidArgument(Create("resnet", "blocks: [2, 0]\n").status()));
  EXPECT_EQ(Create("resnet", "block: wide\n").status(),
            absl::InvalidArgumentError("a.yaml:1: block: must be one of basic, bottleneck, is 'wide'"));
}

}  // namespace
}  // namespace qwt
