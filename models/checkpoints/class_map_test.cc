#include "models/checkpoints/class_map.h"

#include <fstream>

#include "ATen/TensorIndexing.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/tensor.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

std::string Write(const std::string& text) {
  const std::string path = testing::TempDir() + "/classes.txt";
  std::ofstream(path) << text;
  return path;
}

// A head of a hidden layer and two classifiers of two classes.
Graph TwoClassifiers() {
  Graph graph;
  graph.name = "small";
  graph.classes = 2;
  graph.head.nodes = {{"pre", Op::kLinear, {0}, "pre.weight", "", {}},
                      {"head", Op::kLinear, {1}, "head.weight", "head.bias", {}},
                      {"head_dist", Op::kLinear, {1}, "head_dist.weight", "", {}}};
  graph.parameters = {
      {"pre.weight", {3, 3}}, {"head.weight", {2, 3}}, {"head.bias", {2}}, {"head_dist.weight", {2, 3}}};
  return graph;
}

Parameters FiveClasses() {
  const at::Tensor weight = at::arange(15, at::kFloat).reshape({5, 3});
  return {{"pre.weight", {weight}},
          {"head.weight", {weight}},
          {"head.bias", {at::arange(5, at::kFloat)}},
          {"head_dist.weight", {weight}}};
}

TEST(ClassMapTest, RowsOfEveryClassifierInTheGivenOrder) {
  const auto rows = ReadClassMap(Write("# ImageNet\n4 n02102040 English springer\n\n1\n"));
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(*rows, (std::vector<int64_t>{4, 1}));
  Parameters parameters = FiveClasses();
  ASSERT_EQ(SelectClasses("map", *rows, TwoClassifiers(), &parameters), absl::OkStatus());
  const at::Tensor expected = FiveClasses()["head.weight"][0].index({at::tensor({4, 1})});
  EXPECT_TRUE(parameters["head.weight"][0].equal(expected));
  EXPECT_TRUE(parameters["head_dist.weight"][0].equal(expected));
  EXPECT_TRUE(parameters["head.bias"][0].equal(at::tensor({4.0f, 1.0f})));
  EXPECT_EQ(parameters["pre.weight"][0].size(0), 5);
}

TEST(ClassMapTest, SaysWhichLineIsWrong) {
  const auto error = [](const std::string& text) { return std::string(ReadClassMap(Write(text)).status().message()); };
  const std::string path = testing::TempDir() + "/classes.txt";
  EXPECT_EQ(error("0\nn01440764\n"),
            path + ":2: must begin with a class's row in the checkpoint's head, counted from 0, is 'n01440764'");
  EXPECT_EQ(error("-1\n"),
            path + ":1: must begin with a class's row in the checkpoint's head, counted from 0, is '-1'");
  EXPECT_EQ(error("3\n1\n3 again\n"), path + ":3: row 3 is already line 1's");
  EXPECT_EQ(error("# nothing\n"), path + ": names no class");
  EXPECT_TRUE(absl::IsNotFound(ReadClassMap("/nowhere/map").status()));
}

TEST(ClassMapTest, MustFitTheModelAndTheCheckpoint) {
  Parameters parameters = FiveClasses();
  EXPECT_EQ(SelectClasses("map", {1, 2, 3}, TwoClassifiers(), &parameters),
            absl::InvalidArgumentError("map: has 3 classes, the model small has 2; set model.classes to 3"));
  EXPECT_EQ(SelectClasses("map", {1, 5}, TwoClassifiers(), &parameters),
            absl::InvalidArgumentError("map: asks for row 5, the checkpoint's head.weight has 5"));
}

}  // namespace
}  // namespace qwt
