#include "pipelines/inspection.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/config/schema.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/registry.h"

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

// Every network of fullsize.json that there is.
TEST(InspectNetworkTest, TotalsAreThePublishedNetworks) {
  const Json models = Json::parse(std::ifstream("tests/golden/fullsize.json")).at("models");
  int compared = 0;
  for (const auto& model : ModelRegistry::Get().Descriptions()) {
    if (!models.contains(model.name)) continue;
    const Json& golden = models.at(model.name);
    const NetworkInspection network = Inspected(model.name);
    // BatchNorm's running statistics are parameters here, buffers there.
    EXPECT_EQ(network.totals.parameters,
              golden.at("parameters").get<int64_t>() + golden.at("float_buffers").get<int64_t>())
        << model.name;
    EXPECT_EQ(network.totals.macs, golden.at("macs").at("total").get<int64_t>()) << model.name;
    EXPECT_EQ(network.parameters.size(), golden.at("tensors").size()) << model.name;
    ++compared;
  }
  EXPECT_GE(compared, 8);
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

TEST(PrintTest, FitsATerminal) {
  for (const auto& model : ModelRegistry::Get().Descriptions()) {
    for (const absl::string_view line : absl::StrSplit(InspectionToText(Inspected(model.name, 128), true), '\n')) {
      EXPECT_LE(line.size(), 120u) << line;
    }
  }
}

TEST(PrintTest, ParametersWhereAskedFor) {
  const NetworkInspection network = Inspected("deit_tiny");
  EXPECT_THAT(InspectionToText(network, false), testing::Not(HasSubstr("blocks.0.attn.qkv.bias")));
  EXPECT_THAT(InspectionToText(network, true),
              AllOf(HasSubstr("  blocks.0.attn.qkv.bias      [576]             -\n"),
                    HasSubstr("  blocks.0.attn.qkv.weight    [576, 192]        blocks.0.attn.qkv.weight\n")));
}

}  // namespace
}  // namespace qwt
