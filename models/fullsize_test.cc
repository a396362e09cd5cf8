// The thirteen published networks at full size against timm 0.4.12 and torchvision: names, shapes, counts, the figures
// of every block and the logits.
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "ATen/TensorOperators.h"
#include "gtest/gtest.h"
#include "models/cost.h"
#include "models/executor.h"
#include "models/parameters.h"
#include "models/registry.h"
#include "tests/helpers/formula_weights.h"

namespace qwt {
namespace {

using Json = nlohmann::json;

const Json& Golden() {
  static const auto* json = new Json(Json::parse(std::ifstream("tests/golden/fullsize.json")));
  return *json;
}

Graph Published(const std::string& name) {
  const auto component = ModelRegistry::Get().Find(name);
  EXPECT_TRUE(component.ok()) << component.status();
  Problems problems;
  const Options options = CheckOptions(*ParseConfig("{}", "test"), (*component)->schema, &problems);
  EXPECT_EQ(problems.ToStatus(), absl::OkStatus());
  const auto graph = (*component)->create(options);
  EXPECT_TRUE(graph.ok()) << graph.status();
  return *graph;
}

class FullsizeTest : public testing::TestWithParam<std::string> {};

TEST_P(FullsizeTest, NamesShapesAndCounts) {
  const Json& golden = Golden().at("models").at(GetParam());
  const Graph graph = Published(GetParam());
  std::map<std::string, std::vector<int64_t>> expected, actual;
  for (const Json& tensor : golden.at("tensors")) expected[tensor[0]] = tensor[1].get<std::vector<int64_t>>();
  for (const ParameterSpec& spec : graph.parameters) actual[spec.name] = spec.shape;
  EXPECT_EQ(actual, expected);

  const auto costs = EstimateCost(graph, 1);
  ASSERT_TRUE(costs.ok()) << costs.status();
  int64_t parameters = 0, macs = 0;
  for (const SegmentCost& cost : *costs) {
    parameters += cost.parameters;
    macs += cost.macs;
  }
  EXPECT_EQ(parameters, golden.at("parameters").get<int64_t>());
  EXPECT_EQ(macs, golden.at("macs").at("total").get<int64_t>());
  int64_t all = 0;
  for (const ParameterSpec& spec : graph.parameters) all += spec.numel();
  EXPECT_EQ(all, parameters + golden.at("float_buffers").get<int64_t>());
}

// `golden`: [module, shape, mean, std, four elements].
void ExpectFigures(const at::Tensor& output, const Json& golden) {
  const std::string name = golden[0];
  const double std = golden[3].get<double>();
  const at::Tensor flat = output.flatten();
  const std::vector<int64_t> shape = golden[1];
  const int64_t count = flat.numel();
  // A pooled image is [1, C, 1, 1] there.
  ASSERT_EQ(output.sizes(), at::IntArrayRef(shape).slice(0, output.dim())) << name;
  ASSERT_EQ(count, std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>())) << name;
  EXPECT_NEAR(flat.to(at::kDouble).mean().item<double>(), golden[2].get<double>(), 1e-5 * std) << name;
  EXPECT_NEAR(flat.to(at::kDouble).std(/*unbiased=*/false).item<double>(), std, 1e-5 * std) << name;
  const int64_t indices[] = {0, count / 3, 2 * count / 3, count - 1};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(flat[indices[i]].item<double>(), golden[4 + i].get<double>(), 1e-4 * std) << name << " " << indices[i];
  }
}

// What our node or segment is called among the reference's modules.
std::string ModuleOf(const std::string& name) {
  static const auto* modules = new std::map<std::string, std::string>{
      {"patch_embed.flatten", "patch_embed"}, {"patch_embed.norm", "patch_embed"}, {"pos_embed", "pos_drop"}};
  const auto found = modules->find(name);
  return found == modules->end() ? name : found->second;
}

TEST_P(FullsizeTest, EveryBlockAndTheLogits) {
  const Json& golden = Golden().at("models").at(GetParam());
  const Graph graph = Published(GetParam());
  const TensorMap parameters = FormulaParameters(Golden(), GetParam());
  ASSERT_EQ(CheckParameters(parameters, graph), absl::OkStatus());
  std::map<std::string, at::Tensor> made;  // by module
  at::Tensor value = Formula("input", {1, 3, 224, 224}, 0, 2);
  for (const Segment* segment : graph.Segments()) {
    const auto output = RunNodes(*segment, value, [&](const Node& node, const std::vector<at::Tensor>& inputs) {
      return made[ModuleOf(node.name)] = EvaluateNode(node, inputs, parameters);
    });
    ASSERT_TRUE(output.ok()) << output.status();
    value = made[segment->name] = *output;
  }
  for (const Json& output : golden.at("outputs")) {
    ASSERT_TRUE(made.count(output[0])) << output[0];
    ExpectFigures(made.at(output[0]), output);
  }
  const Json& logits = golden.at("logits");
  const double std = logits.at("std").get<double>();
  EXPECT_NEAR(value.to(at::kDouble).std(/*unbiased=*/false).item<double>(), std, 1e-4 * std);
  EXPECT_EQ(value.argmax().item<int64_t>(), logits.at("argmax").get<int64_t>());
  for (int i = 0; i < 8; ++i) {
    EXPECT_NEAR(value[0][i].item<double>(), logits.at("first8")[i].get<double>(), 1e-4 * std);
    EXPECT_NEAR(value[0][992 + i].item<double>(), logits.at("last8")[i].get<double>(), 1e-4 * std);
  }
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& [name, model] : Golden().at("models").items()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, FullsizeTest, testing::ValuesIn(Names()), [](const auto& info) { return info.param; });

TEST(FullsizeNamesTest, AllThirteen) { EXPECT_EQ(Names().size(), 13); }

}  // namespace
}  // namespace qwt
