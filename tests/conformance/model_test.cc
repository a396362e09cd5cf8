// What every registered network must do, whatever it is. A new one is tested without a line here.
#include <map>
#include <set>

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/randn.h"
#include "gtest/gtest.h"
#include "models/cost.h"
#include "models/executor.h"
#include "models/parameters.h"
#include "models/registry.h"

namespace qwt {
namespace {

// Small values for the dimensions that networks share; each takes those it has an option for, as its type says.
std::string SmallDimension(const Option& option) {
  static const auto* numbers =
      new std::map<std::string, std::string>{{"image", "32"}, {"patch", "8"}, {"window", "2"}, {"width", "24"},
                                             {"depth", "2"},  {"heads", "3"}, {"classes", "7"}};
  static const auto* lists =
      new std::map<std::string, std::string>{{"depths", "[2, 1]"}, {"heads", "[3, 6]"}, {"blocks", "[1, 2]"}};
  const auto& values = option.type == OptionType::kInts ? *lists : *numbers;
  const auto found = values.find(option.name);
  return found == values.end() ? "" : option.name + ": " + found->second + "\n";
}

// Leaves those alone that are well above zero, as variances are.
void MakeVariancesPositive(const Graph& graph, TensorMap* parameters) {
  for (const Segment* segment : graph.Segments()) {
    for (const Node& node : segment->nodes) {
      if (!node.variance.empty()) (*parameters)[node.variance] = parameters->at(node.variance).abs().clamp_min(0.3);
    }
  }
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& description : ModelRegistry::Get().Descriptions()) names.push_back(description.name);
  return names;
}

class ModelTest : public testing::TestWithParam<std::string> {
 protected:
  static absl::StatusOr<Graph> Create(const std::string& name, bool small) {
    const auto component = ModelRegistry::Get().Find(name);
    if (!component.ok()) return component.status();
    std::string yaml = "{}\n";
    if (small) {
      yaml = "";
      for (const Option& option : (*component)->schema.options) yaml += SmallDimension(option);
    }
    const auto node = ParseConfig(yaml, "test");
    if (!node.ok()) return node.status();
    Problems problems;
    const Options options = CheckOptions(*node, (*component)->schema, &problems);
    if (!problems.empty()) return problems.ToStatus();
    return (*component)->create(options);
  }

  void SetUp() override {
    auto graph = Create(GetParam(), /*small=*/true);
    ASSERT_TRUE(graph.ok()) << graph.status();
    graph_ = *std::move(graph);
    auto generator = at::detail::createCPUGenerator(1);
    for (const ParameterSpec& spec : graph_.parameters) {
      parameters_[spec.name] = at::randn(spec.shape, generator, at::kFloat) * 0.2;
    }
    MakeVariancesPositive(graph_, &parameters_);
    images_ = at::randn({5, graph_.channels, graph_.height, graph_.width}, generator, at::kFloat);
  }

  at::Tensor Logits(const TensorMap& parameters, const at::Tensor& images) {
    const auto executor = MakeFloatExecutor(parameters);
    const auto logits = RunGraph(graph_, *executor, images);
    EXPECT_TRUE(logits.ok()) << logits.status();
    return logits.ok() ? *logits : at::Tensor();
  }

  Graph graph_;
  TensorMap parameters_;
  at::Tensor images_;
};

TEST_P(ModelTest, PublishedDimensionsMakeAValidGraph) {
  const auto graph = Create(GetParam(), /*small=*/false);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(ValidateGraph(*graph), absl::OkStatus());
  EXPECT_EQ(graph->name, GetParam());
  EXPECT_TRUE(InferShapes(*graph, 2).ok()) << InferShapes(*graph, 2).status();
}

TEST_P(ModelTest, GraphIsValidAndSurvivesJson) {
  EXPECT_EQ(ValidateGraph(graph_), absl::OkStatus());
  const std::string json = GraphToJson(graph_);
  const auto back = GraphFromJson(json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(GraphToJson(*back), json);
}

TEST_P(ModelTest, SegmentsHaveTheShapesInferred) {
  const auto shapes = InferShapes(graph_, images_.size(0));
  ASSERT_TRUE(shapes.ok()) << shapes.status();
  const auto executor = MakeFloatExecutor(parameters_);
  at::Tensor value = images_;
  const auto segments = graph_.Segments();
  for (size_t i = 0; i < segments.size(); ++i) {
    size_t node = 0;
    auto result = RunNodes(*segments[i], value, [&](const Node& n, const std::vector<at::Tensor>& inputs) {
      const at::Tensor made = EvaluateNode(n, inputs, parameters_);
      EXPECT_EQ(made.sizes(), at::IntArrayRef((*shapes)[i][++node])) << n.name;
      return made;
    });
    ASSERT_TRUE(result.ok()) << result.status();
    value = *result;
  }
  EXPECT_EQ(value.sizes(), at::IntArrayRef({5, graph_.classes}));
}

TEST_P(ModelTest, AnImageAloneIsTheSameAsInABatch) {
  const at::Tensor logits = Logits(parameters_, images_);
  for (int64_t i = 0; i < images_.size(0); ++i) {
    const at::Tensor alone = Logits(parameters_, images_.slice(0, i, i + 1));
    EXPECT_LT((alone[0] - logits[i]).abs().max().item<float>(), 1e-4) << "image " << i;
  }
}

TEST_P(ModelTest, TheSameImagesGiveTheSameBits) {
  EXPECT_TRUE(Logits(parameters_, images_).equal(Logits(parameters_, images_)));
}

// A parameter that changes nothing is not read, or read in the wrong place.
TEST_P(ModelTest, EveryParameterReachesTheLogits) {
  const at::Tensor logits = Logits(parameters_, images_);
  for (const ParameterSpec& spec : graph_.parameters) {
    TensorMap changed = parameters_;
    auto generator = at::detail::createCPUGenerator(2);
    changed[spec.name] = parameters_[spec.name] + at::randn(spec.shape, generator, at::kFloat);
    MakeVariancesPositive(graph_, &changed);
    EXPECT_GT((Logits(changed, images_) - logits).abs().max().item<float>(), 1e-3) << spec.name;
  }
}

TEST_P(ModelTest, ParametersOfItsShapesFit) {
  EXPECT_EQ(CheckParameters(parameters_, graph_), absl::OkStatus());
  parameters_.erase(graph_.parameters[0].name);
  EXPECT_TRUE(absl::IsInvalidArgument(CheckParameters(parameters_, graph_)));
}

INSTANTIATE_TEST_SUITE_P(All, ModelTest, testing::ValuesIn(Names()),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

TEST(ModelRegistryTest, HoldsThePublishedNetworks) {
  const std::vector<std::string> names = Names();
  const std::set<std::string> registered(names.begin(), names.end());
  for (const char* name : {"vit", "vit_small", "vit_base", "deit_tiny", "deit_small", "deit_base",
                           "deit_tiny_distilled", "deit_small_distilled", "deit_base_distilled", "swin", "swin_tiny",
                           "swin_small", "resnet", "resnet18", "resnet50", "resnet101"}) {
    EXPECT_TRUE(registered.count(name)) << name;
  }
}

}  // namespace
}  // namespace qwt
