// The published ViTs and DeiTs against timm 0.4.12 at full size: names, shapes and counts of all, the figures of every
// block of some.
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "gtest/gtest.h"
#include "models/cost.h"
#include "models/executor.h"
#include "models/parameters.h"
#include "models/registry.h"

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

// fullsize.json, "formula": centre + amplitude * (2 * u - 1), u from splitmix64 of the name's FNV-1a hash and the
// index.
at::Tensor Formula(const std::string& name, at::IntArrayRef shape, double centre, double amplitude) {
  uint64_t hash = 0xCBF29CE484222325;
  for (unsigned char byte : name) hash = (hash ^ byte) * 0x100000001B3;
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    uint64_t z = hash + static_cast<uint64_t>(i) * 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    values[i] = static_cast<float>(centre + amplitude * (2 * (static_cast<double>(z >> 11) * 0x1p-53) - 1));
  }
  return tensor;
}

at::Tensor FormulaParameter(const std::string& name, const std::vector<int64_t>& shape, char kind) {
  int64_t fan_in = 1;
  for (size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
  if (kind == 'W') return Formula(name, shape, 0, std::sqrt(3.0 / static_cast<double>(fan_in)));
  return Formula(name, shape, kind == 'G' ? 1 : 0, kind == 'G' ? 0.5 : 0.1);
}

class FullsizeTest : public testing::TestWithParam<const char*> {};

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
}

INSTANTIATE_TEST_SUITE_P(All, FullsizeTest,
                         testing::Values("vit_small", "vit_base", "deit_tiny", "deit_small", "deit_base",
                                         "deit_tiny_distilled", "deit_small_distilled", "deit_base_distilled"),
                         [](const testing::TestParamInfo<const char*>& info) { return std::string(info.param); });

// `golden`: [module, shape, mean, std, four elements]. `name` in messages.
void ExpectFigures(const at::Tensor& output, const Json& golden, const std::string& name) {
  const double std = golden[3].get<double>();
  const at::Tensor flat = output.flatten();
  const int64_t count = flat.numel();
  ASSERT_EQ(output.sizes(), at::IntArrayRef(golden[1].get<std::vector<int64_t>>())) << name;
  EXPECT_NEAR(flat.to(at::kDouble).mean().item<double>(), golden[2].get<double>(), 1e-5 * std) << name;
  EXPECT_NEAR(flat.to(at::kDouble).std(/*unbiased=*/false).item<double>(), std, 1e-5 * std) << name;
  const int64_t indices[] = {0, count / 3, 2 * count / 3, count - 1};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(flat[indices[i]].item<double>(), golden[4 + i].get<double>(), 1e-4 * std) << name << " " << indices[i];
  }
}

class FullsizeFiguresTest : public testing::TestWithParam<const char*> {};

TEST_P(FullsizeFiguresTest, EveryBlockAndTheLogits) {
  const Json& golden = Golden().at("models").at(GetParam());
  const Graph graph = Published(GetParam());
  TensorMap parameters;
  for (const Json& tensor : golden.at("tensors")) {
    parameters[tensor[0]] = FormulaParameter(tensor[0], tensor[1], tensor[2].get<std::string>()[0]);
  }
  ASSERT_EQ(CheckParameters(parameters, graph), absl::OkStatus());
  std::map<std::string, Json> figures;
  for (const Json& output : golden.at("outputs")) figures[output[0]] = output;

  const auto executor = MakeFloatExecutor(parameters);
  at::Tensor value = Formula("input", {1, 3, 224, 224}, 0, 2);
  for (const Segment* segment : graph.Segments()) {
    const auto output = executor->Run(*segment, value);
    ASSERT_TRUE(output.ok()) << output.status();
    value = *output;
    if (segment == &graph.head) break;
    ExpectFigures(value, figures.at(segment == &graph.stem ? "pos_drop" : segment->name), segment->name);
  }
  const Json& logits = golden.at("logits");
  const double std = logits.at("std").get<double>();
  EXPECT_EQ(value.argmax().item<int64_t>(), logits.at("argmax").get<int64_t>());
  for (int i = 0; i < 8; ++i) {
    EXPECT_NEAR(value[0][i].item<double>(), logits.at("first8")[i].get<double>(), 1e-4 * std);
    EXPECT_NEAR(value[0][992 + i].item<double>(), logits.at("last8")[i].get<double>(), 1e-4 * std);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FullsizeFiguresTest, testing::Values("deit_tiny_distilled", "vit_small"),
                         [](const testing::TestParamInfo<const char*>& info) { return std::string(info.param); });

}  // namespace
}  // namespace qwt
