#include "models/graph.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/graph_builder.h"

namespace qwt {
namespace {

// Ops with attributes and every kind of parameter, in a few nodes.
Graph SmallGraph() {
  Graph graph;
  graph.name = "small";
  graph.height = graph.width = 8;
  graph.classes = 5;
  SegmentBuilder stem("stem", &graph);
  int x = stem.Conv2d("conv", SegmentBuilder::kInput, 3, 4, 2, 2, 0, 1, /*bias=*/true);
  x = stem.Apply("flatten", Op::kFlattenTokens, {x});
  stem.Parameter("cls_token", Op::kPrependToken, x, {1, 1, 4});
  graph.stem = stem.Build();
  SegmentBuilder block("blocks.0", &graph);
  x = block.LayerNorm("norm", SegmentBuilder::kInput, 4, 1e-6);
  block.Apply("add", Op::kAdd, {SegmentBuilder::kInput, x});
  graph.blocks.push_back(block.Build());
  SegmentBuilder head("head", &graph);
  x = head.Apply("token", Op::kSelectToken, {SegmentBuilder::kInput}, {{"index", 0}});
  head.Linear("head", x, 4, 5, /*bias=*/false);
  graph.head = head.Build();
  return graph;
}

// The small graph with a batch_norm in its stem and a second block behind a transition.
Graph GraphWithTransition() {
  Graph graph = SmallGraph();
  SegmentBuilder stem("stem", &graph);
  graph.parameters.clear();
  int x = stem.Conv2d("conv", SegmentBuilder::kInput, 3, 4, 2, 2, 0, 1, /*bias=*/true);
  x = stem.BatchNorm("bn", x, 4, 1e-5);
  x = stem.Apply("flatten", Op::kFlattenTokens, {x});
  stem.Parameter("cls_token", Op::kPrependToken, x, {1, 1, 4});
  graph.stem = stem.Build();
  SegmentBuilder first("blocks.0", &graph), between("between", &graph);
  first.LayerNorm("norm", SegmentBuilder::kInput, 4, 1e-6);
  between.Apply("half", Op::kScale, {SegmentBuilder::kInput}, {{"factor", 0.5}});
  graph.blocks = {first.Build(), {"blocks.1", {{"gelu", Op::kGelu, {0}, "", "", {}}}}};
  graph.transitions[1] = between.Build();
  graph.parameters.push_back({"head.weight", {5, 4}});
  return graph;
}

std::string Error(const Graph& graph) {
  const absl::Status status = ValidateGraph(graph);
  EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status));
  return std::string(status.message());
}

TEST(GraphTest, OpsHaveNamesThereAndBack) {
  for (int i = 0; i <= static_cast<int>(Op::kMean); ++i) {
    const Op op = static_cast<Op>(i);
    const auto found = OpFromName(OpName(op));
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, op);
  }
  EXPECT_STREQ(OpName(Op::kConv2d), "conv2d");
  EXPECT_STREQ(OpName(Op::kLayerNorm), "layer_norm");
  EXPECT_EQ(OpFromName("conv3d").status(),
            absl::InvalidArgumentError(
                "unknown op 'conv3d'; there are: conv2d, batch_norm, max_pool, global_average_pool, flatten_tokens, "
                "prepend_token, add_parameter, merge_patches, layer_norm, linear, split_windows, merge_windows, "
                "split_heads, transpose, matmul, scale, add_relative_position_bias, add_window_mask, softmax, "
                "merge_heads, gelu, relu, add, select_token, mean_tokens, mean"));
}

TEST(GraphTest, AttributeMustBeThere) {
  const Graph graph = SmallGraph();
  EXPECT_EQ(graph.stem.nodes[0].Attribute("stride"), 2);
  EXPECT_DEATH(graph.stem.nodes[0].Attribute("strides"), "broken invariant");
}

TEST(GraphTest, SegmentsInOrder) {
  const Graph graph = SmallGraph();
  EXPECT_THAT(graph.Segments(), testing::ElementsAre(&graph.stem, &graph.blocks[0], &graph.head));
}

TEST(GraphTest, ATransitionRunsBeforeItsBlockAndIsNone) {
  Graph graph = GraphWithTransition();
  EXPECT_THAT(graph.Segments(), testing::ElementsAre(&graph.stem, &graph.blocks[0], &graph.transitions.at(1),
                                                     &graph.blocks[1], &graph.head));
  EXPECT_THAT(graph.MutableSegments(), testing::ElementsAreArray(graph.Segments()));
  EXPECT_EQ(graph.TransitionBefore(0), nullptr);
  EXPECT_EQ(graph.TransitionBefore(1), &graph.transitions.at(1));
}

TEST(GraphTest, RunningStatisticsAreParametersButNotTrained) {
  const Graph graph = GraphWithTransition();
  EXPECT_THAT(graph.stem.nodes[1].ParameterNames(),
              testing::ElementsAre("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"));
  EXPECT_THAT(graph.stem.nodes[2].ParameterNames(), testing::IsEmpty());
  std::vector<std::string> names;
  for (const ParameterSpec& spec : TrainedParameters(graph)) names.push_back(spec.name);
  EXPECT_THAT(names, testing::ElementsAre("conv.weight", "conv.bias", "bn.weight", "bn.bias", "cls_token",
                                          "norm.weight", "norm.bias", "head.weight"));
}

TEST(ValidateGraphTest, AcceptsAWholeGraph) {
  EXPECT_EQ(ValidateGraph(SmallGraph()), absl::OkStatus());
  EXPECT_EQ(ValidateGraph(GraphWithTransition()), absl::OkStatus());
}

TEST(ValidateGraphTest, TransitionsAreCheckedToo) {
  Graph graph = GraphWithTransition();
  graph.transitions.at(1).nodes[0].name = "gelu";
  EXPECT_EQ(Error(graph), "graph 'small': two nodes have the name 'gelu'");
  graph = GraphWithTransition();
  graph.transitions[2] = {"late", {}};
  EXPECT_EQ(Error(graph), "graph 'small': segment 'late' stands before block 2, there are 2 blocks");
}

TEST(ValidateGraphTest, RunningStatisticsBelongToBatchNormAlone) {
  Graph graph = GraphWithTransition();
  graph.stem.nodes[1].mean = "";
  graph.stem.nodes[2].variance = "bn.running_mean";
  EXPECT_EQ(Error(graph),
            "graph 'small': node 'bn' (batch_norm): has no mean\n"
            "  node 'flatten' (flatten_tokens): has the variance 'bn.running_mean', which its op does not take");
}

struct Violation {
  const char* name;
  void (*spoil)(Graph*);
  const char* message;
};

class ViolationTest : public testing::TestWithParam<Violation> {};

TEST_P(ViolationTest, IsNamed) {
  Graph graph = SmallGraph();
  GetParam().spoil(&graph);
  EXPECT_EQ(Error(graph), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, ViolationTest,
    testing::Values(
        Violation{"Dimension", [](Graph* g) { g->classes = 0; }, "graph 'small': classes is 0, must be at least 1"},
        Violation{"EmptySegment",
                  [](Graph* g) {
                    g->blocks.push_back({"blocks.1", {}});
                  },
                  "graph 'small': segment 'blocks.1' has no nodes"},
        Violation{"NamelessSegment", [](Graph* g) { g->head.name = ""; }, "graph 'small': a segment has no name"},
        Violation{"SegmentTwice", [](Graph* g) { g->head.name = "stem"; },
                  "graph 'small': two segments have the name 'stem'"},
        Violation{"NamelessNode", [](Graph* g) { g->head.nodes[1].name = ""; }, "graph 'small': a node has no name"},
        Violation{"NodeTwice", [](Graph* g) { g->head.nodes[0].name = "conv"; },
                  "graph 'small': two nodes have the name 'conv'"},
        Violation{"ReadsLater",
                  [](Graph* g) {
                    g->blocks[0].nodes[1].inputs = {1, 2};
                  },
                  "graph 'small': node 'add' (add): reads value 2, only 0 to 1 are made before it"},
        Violation{"ReadsNegative",
                  [](Graph* g) {
                    g->blocks[0].nodes[1].inputs = {1, -1};
                  },
                  "graph 'small': node 'add' (add): reads value -1, only 0 to 1 are made before it"},
        Violation{"TooFewInputs", [](Graph* g) { g->blocks[0].nodes[1].inputs = {1}; },
                  "graph 'small': node 'add' (add): has 1 inputs, needs 2"},
        Violation{"NoInputs",
                  [](Graph* g) {
                    g->blocks[0].nodes.push_back({"mean", Op::kMean, {}, "", "", {}});
                    g->blocks[0].nodes[0].inputs = {0};
                  },
                  "graph 'small': node 'mean' (mean): has 0 inputs, needs at least 1\n"
                  "  node 'add' (add): no node reads its value"},
        Violation{"Unread",
                  [](Graph* g) {
                    g->blocks[0].nodes[1].inputs = {0, 0};
                  },
                  "graph 'small': node 'norm' (layer_norm): no node reads its value"},
        Violation{"InputUnread", [](Graph* g) { g->head.nodes[0].inputs.clear(); },
                  "graph 'small': node 'token' (select_token): has 0 inputs, needs 1\n"
                  "  segment 'head': no node reads its input"},
        Violation{"NoAttribute", [](Graph* g) { g->stem.nodes[0].attributes.erase("stride"); },
                  "graph 'small': node 'conv' (conv2d): lacks the attribute 'stride'"},
        Violation{"ForeignAttribute", [](Graph* g) { g->stem.nodes[0].attributes["epsilon"] = 1; },
                  "graph 'small': node 'conv' (conv2d): has the attribute 'epsilon', which its op does not take"},
        Violation{"NoWeight",
                  [](Graph* g) {
                    g->head.nodes[1].weight = "";
                    g->parameters.pop_back();
                  },
                  "graph 'small': node 'head' (linear): has no weight"},
        Violation{
            "ForeignBias", [](Graph* g) { g->stem.nodes[2].bias = "conv.bias"; },
            "graph 'small': node 'cls_token' (prepend_token): has the bias 'conv.bias', which its op does not take"},
        Violation{"NoSpec", [](Graph* g) { g->parameters.pop_back(); },
                  "graph 'small': node 'head' (linear): its weight 'head.weight' is not among the parameters"},
        Violation{"UnusedSpec",
                  [](Graph* g) {
                    g->parameters.push_back({"extra", {1}});
                  },
                  "graph 'small': parameter 'extra' is used by no node"},
        Violation{"SpecTwice", [](Graph* g) { g->parameters.push_back(g->parameters[0]); },
                  "graph 'small': two parameters have the name 'conv.weight'"},
        Violation{"EmptySpec", [](Graph* g) { g->parameters[0].shape[1] = 0; },
                  "graph 'small': parameter 'conv.weight' has shape [4, 0, 2, 2], every size must be at least 1"}),
    [](const testing::TestParamInfo<Violation>& info) { return info.param.name; });

TEST(GraphJsonTest, ThereAndBack) {
  const std::string json = GraphToJson(SmallGraph());
  const auto graph = GraphFromJson(json);
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(GraphToJson(*graph), json);
  EXPECT_EQ(graph->name, "small");
  EXPECT_EQ(graph->classes, 5);
  ASSERT_EQ(graph->blocks.size(), 1);
  const Node& norm = graph->blocks[0].nodes[0];
  EXPECT_EQ(norm.name, "norm");
  EXPECT_EQ(norm.op, Op::kLayerNorm);
  EXPECT_EQ(norm.inputs, std::vector<int>{0});
  EXPECT_EQ(norm.weight, "norm.weight");
  EXPECT_EQ(norm.bias, "norm.bias");
  EXPECT_EQ(norm.Attribute("epsilon"), 1e-6);
  EXPECT_EQ(graph->parameters[0].shape, (std::vector<int64_t>{4, 3, 2, 2}));
}

TEST(GraphJsonTest, TheTextIsStable) {
  Graph graph = SmallGraph();
  graph.stem.nodes.clear();
  graph.blocks.clear();
  graph.parameters.resize(1);
  EXPECT_EQ(GraphToJson(graph),
            R"({"name":"small","channels":3,"height":8,"width":8,"classes":5,"stem":{"name":"stem","nodes":[]},)"
            R"("blocks":[],"head":{"name":"head","nodes":[)"
            R"({"name":"token","op":"select_token","inputs":[0],"attributes":{"index":0.0}},)"
            R"({"name":"head","op":"linear","inputs":[1],"weight":"head.weight"}]},)"
            R"("parameters":[{"name":"conv.weight","shape":[4,3,2,2]}]})");
}

TEST(GraphJsonTest, TransitionsAndRunningStatistics) {
  const Graph graph = GraphWithTransition();
  const std::string json = GraphToJson(graph);
  EXPECT_THAT(json, testing::HasSubstr(R"("weight":"bn.weight","bias":"bn.bias","mean":"bn.running_mean",)"
                                       R"("variance":"bn.running_var","attributes":{"epsilon":1e-05}})"));
  EXPECT_THAT(json,
              testing::HasSubstr(R"("transitions":[{"before":1,"segment":{"name":"between","nodes":[{"name":"half",)"
                                 R"("op":"scale","inputs":[0],"attributes":{"factor":0.5}}]}}],"head":)"));
  const auto back = GraphFromJson(json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(GraphToJson(*back), json);
  EXPECT_EQ(back->stem.nodes[1].variance, "bn.running_var");
  EXPECT_EQ(back->TransitionBefore(1)->name, "between");
  const std::string transition =
      json.substr(json.find("{\"before\""), json.find("],\"head\"") - json.find("{\"before\""));
  std::string twice = json;
  twice.insert(twice.find("],\"head\""), "," + transition);
  EXPECT_EQ(GraphFromJson(twice).status(),
            absl::InvalidArgumentError("graph JSON: transitions[1].before is 1 as in another transition"));
}

// The error after `from` in the small graph's JSON became `to`.
std::string ErrorAfter(const std::string& from, const std::string& to) {
  std::string json = GraphToJson(SmallGraph());
  const size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  const absl::Status status = GraphFromJson(json.replace(at, from.size(), to)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

TEST(GraphJsonTest, ErrorsTellThePlace) {
  EXPECT_EQ(ErrorAfter("\"classes\":5", "\"classes\":\"5\""), "graph JSON: classes must be an integer, is \"5\"");
  EXPECT_EQ(ErrorAfter("\"classes\":5,", ""), "graph JSON: classes is missing");
  EXPECT_EQ(ErrorAfter("\"classes\":5,", "\"classes\":5,\"class\":5,"),
            "graph JSON: class is unknown; allowed are name, channels, height, width, classes, stem, blocks, "
            "transitions, head, parameters");
  EXPECT_EQ(ErrorAfter("\"name\":\"norm\"", "\"name\":null"),
            "graph JSON: blocks[0].nodes[0].name must be a string, is null");
  EXPECT_EQ(ErrorAfter("\"inputs\":[0,1]", "\"inputs\":[0,1.5]"),
            "graph JSON: blocks[0].nodes[1].inputs[1] must be an integer, is 1.5");
  EXPECT_EQ(ErrorAfter("\"inputs\":[0,1]", "\"inputs\":0"), "graph JSON: blocks[0].nodes[1].inputs must be a list");
  EXPECT_EQ(ErrorAfter("{\"epsilon\":1e-06}", "{\"epsilon\":\"small\"}"),
            "graph JSON: blocks[0].nodes[0].attributes.epsilon must be a number, is \"small\"");
  EXPECT_EQ(ErrorAfter("{\"epsilon\":1e-06}", "[]"), "graph JSON: blocks[0].nodes[0].attributes must be an object");
  EXPECT_EQ(ErrorAfter("\"shape\":[4,3,2,2]", "\"size\":[4,3,2,2]"),
            "graph JSON: parameters[0].size is unknown; allowed are name, shape");
  EXPECT_THAT(ErrorAfter("\"op\":\"add\"", "\"op\":\"plus\""),
              testing::StartsWith("graph JSON: blocks[0].nodes[1].op is an unknown op 'plus'; there are: conv2d, "));
}

TEST(GraphJsonTest, WhatIsNoJsonIsAnError) {
  EXPECT_EQ(GraphFromJson("[]").status(), absl::InvalidArgumentError("graph JSON: the text must be an object"));
  EXPECT_THAT(std::string(GraphFromJson("{\"name\":").status().message()),
              testing::StartsWith("graph JSON: [json.exception.parse_error.101] parse error at line 1, column 9"));
}

TEST(GraphJsonTest, WhatComesBackIsValidated) {
  EXPECT_EQ(ErrorAfter("\"inputs\":[0,1]", "\"inputs\":[0,7]"),
            "graph 'small': node 'add' (add): reads value 7, only 0 to 1 are made before it\n"
            "  node 'norm' (layer_norm): no node reads its value");
}

TEST(GraphJsonTest, IntegersThatDoNotFitAreErrors) {
  EXPECT_EQ(ErrorAfter("\"inputs\":[0,1]", "\"inputs\":[0,4294967297]"),
            "graph JSON: blocks[0].nodes[1].inputs[1] must be an integer, is 4294967297");
  EXPECT_EQ(ErrorAfter("\"classes\":5", "\"classes\":18446744073709551615"),
            "graph JSON: classes must be an integer, is 18446744073709551615");
}

}  // namespace
}  // namespace qwt
