#include "pipelines/inspection.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "ATen/ops/ones.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/config/schema.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/registry.h"
#include "models/vit/vit.h"

namespace qwt {
namespace {

using Json = nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

NetworkInspection Inspected(const std::string& name, int64_t batch = 1) {
  const auto component = ModelRegistry::Get().Find(name);
  EXPECT_TRUE(component.ok()) << component.status();
  Problems problems;
  const auto graph = (*component)->create(CheckOptions(ConfigNode::EmptyMap(), (*component)->schema, &problems));
  EXPECT_TRUE(graph.ok()) << graph.status();
  auto network = InspectNetwork(*graph, batch);
  EXPECT_TRUE(network.ok()) << network.status();
  return *std::move(network);
}

const SegmentInspection& SegmentOf(const NetworkInspection& network, const std::string& name) {
  for (const SegmentInspection& segment : network.segments) {
    if (segment.name == name) return segment;
  }
  ADD_FAILURE() << "no segment " << name;
  return network.totals;
}

TEST(InspectNetworkTest, TotalsAreThePublishedNetworks) {
  const Json models = Json::parse(std::ifstream("tests/golden/fullsize.json")).at("models");
  int compared = 0;
  for (const auto& model : ModelRegistry::Get().Descriptions()) {
    if (!models.contains(model.name)) continue;
    const Json& golden = models.at(model.name);
    const NetworkInspection network = Inspected(model.name);
    EXPECT_EQ(network.totals.parameters, golden.at("parameters").get<int64_t>()) << model.name;
    EXPECT_EQ(network.totals.macs, golden.at("macs").at("total").get<int64_t>()) << model.name;
    EXPECT_EQ(network.parameters.size(), golden.at("tensors").size()) << model.name;
    ++compared;
  }
  EXPECT_EQ(compared, 13);
}

TEST(InspectNetworkTest, ABlockOfDeitSmall) {
  const SegmentInspection block = SegmentOf(Inspected("deit_small"), "blocks.3");
  EXPECT_EQ(block.output, (std::vector<int64_t>{197, 384}));
  const int64_t weights = 12 * 384 * 384;  // qkv 3, proj 1, fc1 4, fc2 4
  const int64_t others = (3 + 1 + 4 + 1) * 384 + 4 * 384;
  EXPECT_EQ(block.parameters, weights + others);
  EXPECT_EQ(block.macs, 197 * weights + 2 * 197 * 197 * 384);
  EXPECT_EQ(block.weight_sites, 4);
  EXPECT_EQ(block.activation_sites, 8);  // of four linear layers and two products
  EXPECT_DOUBLE_EQ(block.size_mb.w4, (weights / 2 + others * 4) / 1e6);
  EXPECT_DOUBLE_EQ(block.size_mb.w8, (weights + others * 4) / 1e6);
  EXPECT_DOUBLE_EQ(block.size_mb.w32, (weights + others) * 4 / 1e6);
}

TEST(InspectNetworkTest, TheBorderKeepsEightBits) {
  const SegmentInspection head = SegmentOf(Inspected("deit_small"), "head");
  EXPECT_DOUBLE_EQ(head.size_mb.w4, (384 * 1000 + (1000 + 2 * 384) * 4) / 1e6);
  EXPECT_DOUBLE_EQ(head.size_mb.w4, head.size_mb.w8);
}

// algorithms section 6.
TEST(InspectNetworkTest, DeitSmallAtFourBitsIsTheReferencesSize) {
  const ParameterSizes sizes = Inspected("deit_small").totals.size_mb;
  EXPECT_NEAR(sizes.w4, 11.848, 5e-4);
  EXPECT_NEAR(sizes.w32, 22050664 * 4 / 1e6, 1e-9);
}

TEST(InspectNetworkTest, ABatchCostsAsOftenAsItHasImages) {
  const NetworkInspection one = Inspected("deit_tiny"), four = Inspected("deit_tiny", 4);
  EXPECT_EQ(four.totals.macs, 4 * one.totals.macs);
  EXPECT_EQ(four.totals.peak_activation_bytes, 4 * one.totals.peak_activation_bytes);
  EXPECT_EQ(four.totals.parameters, one.totals.parameters);
  EXPECT_EQ(SegmentOf(four, "blocks.0").output, SegmentOf(one, "blocks.0").output);
}

TEST(InspectNetworkTest, ParametersKnowTheirSegmentAndSite) {
  const NetworkInspection network = Inspected("deit_tiny");
  for (const ParameterInspection& parameter : network.parameters) {
    if (parameter.name == "blocks.2.mlp.fc1.weight") {
      EXPECT_EQ(parameter.segment, "blocks.2");
      EXPECT_EQ(parameter.site, "blocks.2.mlp.fc1.weight");
      EXPECT_EQ(parameter.shape, (std::vector<int64_t>{768, 192}));
    }
    if (parameter.name == "pos_embed") {
      EXPECT_EQ(parameter.segment, "stem");
      EXPECT_EQ(parameter.site, "");
    }
    EXPECT_NE(parameter.segment, "") << parameter.name;
  }
}

// One linear layer that two segments share: the segments' sizes hold it twice, the total once.
TEST(InspectNetworkTest, ASharedParameterCountsOnce) {
  Graph graph;
  graph.name = "shared";
  graph.channels = 1, graph.height = 4, graph.width = 3, graph.classes = 3;
  const auto linear = [](const std::string& name) { return Node{name, Op::kLinear, {0}, "weight", "", {}}; };
  graph.stem = {"stem", {linear("a"), {"tokens", Op::kFlattenTokens, {1}, "", "", {}}}};
  graph.head = {"head", {linear("b")}};
  graph.parameters = {{"weight", {3, 3}}};
  EXPECT_THAT(InspectNetwork(graph, 1).status().message(), AllOf(HasSubstr("node 'b'"), HasSubstr("[Co, 1]")));
  graph.stem.nodes.pop_back();
  graph.head.nodes.push_back({"mean", Op::kFlattenTokens, {1}, "", "", {}});
  graph.head.nodes.push_back({"turned", Op::kTranspose, {2}, "", "", {}});
  graph.head.nodes.push_back({"first", Op::kSelectToken, {3}, "", "", {{"index", 0}}});
  graph.classes = 12;
  const auto network = InspectNetwork(graph, 1);
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_EQ(network->segments[0].parameters + network->segments[1].parameters, 18);
  EXPECT_EQ(network->totals.parameters, 9);
  EXPECT_DOUBLE_EQ(network->totals.size_mb.w32, 36 / 1e6);
}

// The cells of the table's line that begins with `name`.
std::vector<std::string> Cells(const std::string& text, const std::string& name) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    std::vector<std::string> cells = absl::StrSplit(
        absl::StrReplaceAll(line, {{", ", ","}, {" M", "M"}, {" G", "G"}, {" k", "k"}}), ' ', absl::SkipEmpty());
    if (!cells.empty() && cells[0] == name) return cells;
  }
  ADD_FAILURE() << "no line " << name << " in\n" << text;
  return {};
}

double NumberOf(const std::string& cell) {
  double number = -1;
  EXPECT_TRUE(absl::SimpleAtod(absl::StrReplaceAll(cell, {{",", ""}, {"M", "e6"}, {"G", "e9"}, {"k", "e3"}}), &number))
      << cell;
  return number;
}

TEST(PrintTest, JsonAndTableAgree) {
  for (const auto& model : ModelRegistry::Get().Descriptions()) {
    const NetworkInspection network = Inspected(model.name);
    const std::string text = InspectionToText(network, false);
    const Json json = Json::parse(InspectionToJson(network));
    EXPECT_EQ(json["schema"], 1);
    EXPECT_EQ(json["model"], model.name);
    EXPECT_EQ(json["input"], Json({3, 224, 224}));
    EXPECT_EQ(json["parameters"].size(), network.parameters.size());
    ASSERT_EQ(json["segments"].size(), network.segments.size());
    std::vector<Json> rows(json["segments"].begin(), json["segments"].end());
    rows.push_back(json["totals"]);
    rows.back()["name"] = "total";
    for (const Json& row : rows) {
      const std::vector<std::string> cells = Cells(text, row["name"]);
      ASSERT_EQ(cells.size(), 10u) << row;
      EXPECT_EQ(Json::parse(cells[1]), row["output"]);
      EXPECT_EQ(NumberOf(cells[2]), row["parameters"].get<double>());
      EXPECT_NEAR(NumberOf(cells[3]), row["macs"].get<double>(), 5e-4 * row["macs"].get<double>()) << row;
      EXPECT_EQ(NumberOf(cells[4]), row["weight_sites"].get<double>());
      EXPECT_EQ(NumberOf(cells[5]), row["activation_sites"].get<double>());
      EXPECT_NEAR(NumberOf(cells[6]), row["size_mb"]["w4"].get<double>(), 5.01e-4);
      EXPECT_NEAR(NumberOf(cells[7]), row["size_mb"]["w8"].get<double>(), 5.01e-4);
      EXPECT_NEAR(NumberOf(cells[8]), row["size_mb"]["w32"].get<double>(), 5.01e-4);
      EXPECT_NEAR(NumberOf(cells[9]) * 1e6, row["peak_activation_bytes"].get<double>(), 501);
    }
  }
}

// Also with figures as wide as they come.
TEST(PrintTest, FitsATerminal) {
  for (const auto& model : ModelRegistry::Get().Descriptions()) {
    NetworkInspection network = Inspected(model.name, 128);
    for (ParameterInspection& parameter : network.parameters) {
      parameter.range = {-1234.5, 1234.5};
      if (parameter.site.empty()) continue;
      network.weights.push_back({parameter.name, parameter.shape, false, {-12, 12, 1, 1, 120, 0.1, 1000, 12.0}});
    }
    for (const absl::string_view line : absl::StrSplit(InspectionToText(network, true), '\n')) {
      EXPECT_LE(line.size(), 120u) << line;
    }
  }
}

// Two blocks of deit_tiny's kind with weights that are known: the spans of a channel are 2, but in one layer there is a
// value far out, and one layer is constant.
class WeightsTest : public testing::Test {
 protected:
  WeightsTest() {
    VitConfig config;
    config.image = 8, config.patch = 4, config.width = 12, config.depth = 2, config.heads = 2, config.classes = 3;
    graph_ = BuildVit("small", config);
    for (const ParameterSpec& spec : graph_.parameters) {
      at::Tensor values = at::ones(spec.shape);
      values.view({-1}).slice(0, 0, values.numel(), 2).fill_(-1);
      parameters_[spec.name] = values;
    }
    parameters_["blocks.1.mlp.fc1.weight"][5][7] = 40;
    parameters_["blocks.0.attn.proj.weight"].fill_(0.25);
    parameters_["blocks.0.norm1.weight"][3] = 1.5;
    network_ = *InspectNetwork(graph_, 1);
    EXPECT_EQ(InspectWeights(graph_, parameters_, 2, &network_), absl::OkStatus());
  }

  Graph graph_;
  TensorMap parameters_;
  NetworkInspection network_;
};

TEST_F(WeightsTest, EveryWeightWithASiteAndEveryRange) {
  std::vector<std::string> names;
  for (const WeightInspection& weight : network_.weights) names.push_back(weight.name);
  ASSERT_EQ(names.size(), 10u);
  EXPECT_EQ(names[0], "patch_embed.proj.weight");
  EXPECT_TRUE(network_.weights[0].at_border);
  EXPECT_EQ(names[2], "blocks.0.attn.proj.weight");
  EXPECT_FALSE(network_.weights[2].at_border);
  EXPECT_EQ(names[7], "blocks.1.mlp.fc1.weight");
  EXPECT_EQ(network_.weights[7].shape, (std::vector<int64_t>{48, 12}));
  EXPECT_EQ(network_.weights[7].statistics.max, 40);
  EXPECT_DOUBLE_EQ(network_.weights[7].statistics.channel_spread, 41.0 / 2);
  EXPECT_DOUBLE_EQ(network_.weights[7].statistics.outlier_share, 1.0 / (48 * 12));
  EXPECT_TRUE(network_.weights[9].at_border);
  for (const ParameterInspection& parameter : network_.parameters) {
    ASSERT_TRUE(parameter.range.has_value());
    if (parameter.name == "blocks.0.norm1.weight") {
      EXPECT_EQ(*parameter.range, std::make_pair(-1.0, 1.5));
    }
  }
}

TEST_F(WeightsTest, TheHardestHaveTheLowestSignalOverNoise) {
  const auto hardest = HardestWeights(network_, 100);
  ASSERT_EQ(hardest.size(), 7u);  // of ten two are at the border, one is exact
  EXPECT_EQ(hardest[0]->name, "blocks.1.mlp.fc1.weight");
  for (size_t i = 1; i < hardest.size(); ++i) {
    EXPECT_LE(*hardest[i - 1]->statistics.snr_db, *hardest[i]->statistics.snr_db);
  }
  EXPECT_EQ(HardestWeights(network_, 5).size(), 5u);
}

TEST_F(WeightsTest, JsonAndTableAgree) {
  const std::string text = InspectionToText(network_, true);
  const Json json = Json::parse(InspectionToJson(network_));
  ASSERT_EQ(json["weights"].size(), 10u);
  const std::string table = text.substr(text.find("  weight "));
  for (const Json& weight : json["weights"]) {
    const std::vector<std::string> cells = Cells(table, weight["name"]);
    ASSERT_EQ(cells.size(), 9u) << weight;
    EXPECT_EQ(Json::parse(cells[1]), weight["shape"]);
    EXPECT_NEAR(NumberOf(cells[2]), weight["min"].get<double>(), 5.01e-5);
    EXPECT_NEAR(NumberOf(cells[3]), weight["max"].get<double>(), 5.01e-5);
    EXPECT_NEAR(NumberOf(cells[4]), weight["std"].get<double>(), 5.01e-5);
    EXPECT_NEAR(NumberOf(cells[5]), weight["peak"].get<double>(), 0.0501);
    EXPECT_NEAR(NumberOf(cells[6]), 100 * weight["outlier_share"].get<double>(), 5.01e-5);
    EXPECT_NEAR(NumberOf(cells[7]), weight["channel_spread"].get<double>(), 0.0501);
    if (weight["snr_db_w4"].is_null()) {
      EXPECT_EQ(cells[8], "exact");
      EXPECT_EQ(weight["name"], "blocks.0.attn.proj.weight");
    } else {
      EXPECT_NEAR(NumberOf(cells[8]), weight["snr_db_w4"].get<double>(), 0.0501);
    }
  }
  const std::string list = text.substr(text.find("  hardest at 4 bits"));
  ASSERT_EQ(json["hardest"].size(), 5u);
  EXPECT_THAT(list, HasSubstr(":\n  " + json["hardest"][0].get<std::string>() + " "));
  EXPECT_EQ(json["parameters"][4]["name"], "blocks.0.norm1.weight");
  EXPECT_EQ(json["parameters"][4]["max"], 1.5);
  EXPECT_THAT(text, HasSubstr("  blocks.0.norm1.weight      [12]           -     -1.0000   1.5000\n"));
}

TEST_F(WeightsTest, AnyNumberOfThreads) {
  NetworkInspection one = *InspectNetwork(graph_, 1);
  ASSERT_EQ(InspectWeights(graph_, parameters_, 1, &one), absl::OkStatus());
  EXPECT_EQ(InspectionToJson(one), InspectionToJson(network_));
}

TEST(PrintTest, ParametersWhereAskedFor) {
  const NetworkInspection network = Inspected("deit_tiny");
  EXPECT_THAT(InspectionToText(network, false), testing::Not(HasSubstr("blocks.0.attn.qkv.bias")));
  EXPECT_THAT(InspectionToText(network, true), AllOf(HasSubstr("  blocks.0.attn.qkv.bias      [576]             -\n"),
                                                     HasSubstr("  blocks.0.attn.qkv.weight    [576, 192]        =\n")));
}

}  // namespace
}  // namespace qwt
