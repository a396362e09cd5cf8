#include "models/parameters.h"

#include <filesystem>
#include <fstream>
#include <limits>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/full.h"
#include "ATen/ops/ones.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

Graph TwoParameters() {
  Graph graph;
  graph.name = "small";
  graph.parameters = {{"head.weight", {10, 96}}, {"head.bias", {10}}};
  return graph;
}

std::string Write(const TensorMap& tensors, const std::string& name = "parameters") {
  const std::string path = testing::TempDir() + "/" + name + ".safetensors";
  const absl::Status status = WriteSafetensors(path, {tensors, {}});
  EXPECT_TRUE(status.ok()) << status;
  return path;
}

TEST(ParametersTest, FloatingPointTypesBecomeFloat32) {
  for (at::ScalarType type : {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    const std::string path =
        Write({{"head.weight", at::full({10, 96}, 0.5, type)}, {"head.bias", at::ones({10}, type)}});
    const auto parameters = LoadParameters({{path}}, TwoParameters());
    ASSERT_TRUE(parameters.ok()) << parameters.status();
    EXPECT_EQ(parameters->at("head.weight").scalar_type(), at::kFloat);
    EXPECT_TRUE(parameters->at("head.weight").equal(at::full({10, 96}, 0.5, at::kFloat)));
    EXPECT_TRUE(parameters->at("head.weight").is_contiguous());
  }
}

TEST(ParametersTest, OneErrorListsEverything) {
  at::Tensor spoilt = at::ones({10});
  spoilt[3] = std::numeric_limits<float>::quiet_NaN();
  spoilt[4] = std::numeric_limits<float>::infinity();
  const std::string path =
      Write({{"head.weight", at::ones({1000, 96})}, {"head.bias", spoilt}, {"heed.bias", at::ones({10})}});
  Graph graph = TwoParameters();
  graph.parameters.push_back({"norm.weight", {96}});
  EXPECT_EQ(LoadParameters({{path}}, graph).status(),
            absl::InvalidArgumentError(
                path + ": the parameters do not fit the model small (4 problems)\n"
                       "  head.weight: is [1000, 96], the model needs [10, 96]\n"
                       "  head.bias: 2 of 10 values are NaN or infinite\n"
                       "  norm.weight: is missing, the model needs [96]\n"
                       "  heed.bias: is [10], the model has no such parameter (did you mean 'head.bias'?)"));
}

TEST(ParametersTest, IntegersAreNoParameters) {
  const std::string path = Write({{"head.weight", at::ones({10, 96})}, {"head.bias", at::ones({10}, at::kLong)}});
  EXPECT_EQ(LoadParameters({{path}}, TwoParameters()).status(),
            absl::InvalidArgumentError(path + ": the parameters do not fit the model small (1 problem)\n"
                                              "  head.bias: is Long, must be Float, Half, BFloat16 or Double"));
}

TEST(ParametersTest, AFloat64TooLargeForFloat32IsInfinite) {
  const std::string path =
      Write({{"head.weight", at::ones({10, 96})}, {"head.bias", at::full({10}, 1e300, at::kDouble)}});
  EXPECT_EQ(LoadParameters({{path}}, TwoParameters()).status(),
            absl::InvalidArgumentError(path + ": the parameters do not fit the model small (1 problem)\n"
                                              "  head.bias: 10 of 10 values are NaN or infinite"));
}

TEST(ParametersTest, AMissingFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(LoadParameters({{testing::TempDir() + "/none.safetensors"}}, TwoParameters()).status()));
}

TEST(ParametersTest, AChangeOfTheFileDoesNotReachTheLoadedValues) {
  const std::string path = Write({{"head.weight", at::ones({10, 96})}, {"head.bias", at::ones({10})}});
  const auto parameters = LoadParameters({{path}}, TwoParameters());
  ASSERT_TRUE(parameters.ok()) << parameters.status();
  const auto size = std::filesystem::file_size(path);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << std::string(size, '\0');
  EXPECT_TRUE(parameters->at("head.weight").equal(at::ones({10, 96})));
  EXPECT_TRUE(parameters->at("head.bias").equal(at::ones({10})));
}

TEST(ParametersTest, ShardsTogetherHoldTheNetwork) {
  const std::string weight = Write({{"head.weight", at::ones({10, 96})}}, "weight");
  const std::string bias = Write({{"head.bias", at::ones({10})}}, "bias");
  EXPECT_TRUE(LoadParameters({{weight, bias}}, TwoParameters()).ok());
  EXPECT_EQ(LoadParameters({{weight, bias, weight}}, TwoParameters()).status(),
            absl::InvalidArgumentError(weight + ": holds head.weight, which " + weight +
                                       " holds already; shards hold each tensor once"));
  EXPECT_EQ(LoadParameters({{bias}}, TwoParameters()).status(),
            absl::InvalidArgumentError(bias + ": the parameters do not fit the model small (1 problem)\n"
                                              "  head.weight: is missing, the model needs [10, 96]"));
}

// The head as a graph knows it: its linear layer makes the classes.
Graph WithHead() {
  Graph graph = TwoParameters();
  graph.classes = 10;
  graph.head.nodes = {{"head", Op::kLinear, {0}, "head.weight", "head.bias", {}}};
  return graph;
}

TEST(ParametersTest, AnotherNumberOfClassesSaysWhatToDo) {
  const std::string path = Write({{"head.weight", at::ones({1000, 96})}, {"head.bias", at::ones({1000})}});
  const std::string hint =
      " (the checkpoint has 1000 classes: set model.classes to that, or choose 10 of them with model.class_map)";
  EXPECT_EQ(LoadParameters({{path}}, WithHead()).status(),
            absl::InvalidArgumentError(path + ": the parameters do not fit the model small (2 problems)\n" +
                                       "  head.weight: is [1000, 96], the model needs [10, 96]" + hint +
                                       "\n  head.bias: is [1000], the model needs [10]" + hint));
}

TEST(ParametersTest, AClassMapChoosesRowsOfTheHead) {
  const std::string path = Write(
      {{"head.weight", at::arange(12 * 96, at::kFloat).reshape({12, 96})}, {"head.bias", at::arange(12, at::kFloat)}});
  const std::string map = testing::TempDir() + "/map.txt";
  std::ofstream(map) << "11\n1\n2\n3\n4\n5\n6\n7\n8\n0 zero\n";
  const auto parameters = LoadParameters({{path}, map}, WithHead());
  ASSERT_TRUE(parameters.ok()) << parameters.status();
  EXPECT_EQ(parameters->at("head.bias")[0].item<float>(), 11);
  EXPECT_EQ(parameters->at("head.bias")[9].item<float>(), 0);
  EXPECT_EQ(parameters->at("head.weight")[0][1].item<float>(), 11 * 96 + 1);
}

TEST(ParametersTest, NamesOfAnotherLayoutAreNamed) {
  const std::string path = Write({{"encoder.layers.encoder_layer_0.ln_1.weight", at::ones({2})}});
  EXPECT_EQ(LoadParameters({{path}}, TwoParameters()).status(),
            absl::InvalidArgumentError(
                path + ": the parameters do not fit the model small (3 problems); the names look like those of "
                       "torchvision's VisionTransformer\n"
                       "  head.weight: is missing, the model needs [10, 96]\n"
                       "  head.bias: is missing, the model needs [10]\n"
                       "  encoder.layers.encoder_layer_0.ln_1.weight: is [2], the model has no such parameter"));
}

TEST(ParametersTest, PositionsOfAnotherImageSizeAreInterpolated) {
  Graph graph;
  graph.name = "vit";
  graph.parameters = {{"cls_token", {1, 1, 4}}, {"pos_embed", {1, 10, 4}}};
  graph.stem.nodes = {{"cls_token", Op::kPrependToken, {0}, "cls_token", "", {}},
                      {"pos_embed", Op::kAddParameter, {1}, "pos_embed", "", {}}};
  at::Tensor positions = at::full({1, 5, 4}, 3.0);
  positions[0][0].fill_(7);
  const std::string path = Write({{"cls_token", at::ones({1, 1, 4})}, {"pos_embed", positions.to(at::kHalf)}});
  const auto parameters = LoadParameters({{path}}, graph);
  ASSERT_TRUE(parameters.ok()) << parameters.status();
  EXPECT_TRUE(parameters->at("pos_embed")[0][0].equal(at::full({4}, 7.0)));
  EXPECT_TRUE(parameters->at("pos_embed").narrow(1, 1, 9).allclose(at::full({1, 9, 4}, 3.0)));
}

}  // namespace
}  // namespace qwt
