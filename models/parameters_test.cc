#include "models/parameters.h"

#include <filesystem>
#include <fstream>
#include <limits>

#include "ATen/TensorOperators.h"
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

std::string Write(const TensorMap& tensors) {
  const std::string path = testing::TempDir() + "/parameters.safetensors";
  const absl::Status status = WriteSafetensors(path, {tensors, {}});
  EXPECT_TRUE(status.ok()) << status;
  return path;
}

TEST(ParametersTest, FloatingPointTypesBecomeFloat32) {
  for (at::ScalarType type : {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    const std::string path =
        Write({{"head.weight", at::full({10, 96}, 0.5, type)}, {"head.bias", at::ones({10}, type)}});
    const auto parameters = LoadParameters(path, TwoParameters());
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
  EXPECT_EQ(LoadParameters(path, graph).status(),
            absl::InvalidArgumentError(
                path + ": the parameters do not fit the model small (4 problems)\n"
                       "  head.weight: is [1000, 96], the model needs [10, 96]\n"
                       "  head.bias: 2 of 10 values are NaN or infinite\n"
                       "  norm.weight: is missing, the model needs [96]\n"
                       "  heed.bias: is [10], the model has no such parameter (did you mean 'head.bias'?)"));
}

TEST(ParametersTest, IntegersAreNoParameters) {
  const std::string path = Write({{"head.weight", at::ones({10, 96})}, {"head.bias", at::ones({10}, at::kLong)}});
  EXPECT_EQ(LoadParameters(path, TwoParameters()).status(),
            absl::InvalidArgumentError(path + ": the parameters do not fit the model small (1 problem)\n"
                                              "  head.bias: is Long, must be Float, Half, BFloat16 or Double"));
}

TEST(ParametersTest, AFloat64TooLargeForFloat32IsInfinite) {
  const std::string path =
      Write({{"head.weight", at::ones({10, 96})}, {"head.bias", at::full({10}, 1e300, at::kDouble)}});
  EXPECT_EQ(LoadParameters(path, TwoParameters()).status(),
            absl::InvalidArgumentError(path + ": the parameters do not fit the model small (1 problem)\n"
                                              "  head.bias: 10 of 10 values are NaN or infinite"));
}

TEST(ParametersTest, AMissingFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(LoadParameters(testing::TempDir() + "/none.safetensors", TwoParameters()).status()));
}

TEST(ParametersTest, AChangeOfTheFileDoesNotReachTheLoadedValues) {
  const std::string path = Write({{"head.weight", at::ones({10, 96})}, {"head.bias", at::ones({10})}});
  const auto parameters = LoadParameters(path, TwoParameters());
  ASSERT_TRUE(parameters.ok()) << parameters.status();
  const auto size = std::filesystem::file_size(path);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << std::string(size, '\0');
  EXPECT_TRUE(parameters->at("head.weight").equal(at::ones({10, 96})));
  EXPECT_TRUE(parameters->at("head.bias").equal(at::ones({10})));
}

}  // namespace
}  // namespace qwt
