// Whole runs whose quantised models are evaluated as integers, against the same in the fake quantiser's numerics.
#include "core/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

constexpr int kImages = 2000;

struct Case {
  std::string config;
  std::vector<std::string> options;
};

class IntegerTest : public testing::TestWithParam<Case> {};

ProgramResult Evaluate(const Case& of, const std::string& folder, const std::string& executor) {
  std::vector<std::string> arguments = {"pipelines/run",
                                        "configs/" + of.config + ".yaml",
                                        "fit.images=128",
                                        "stages=[load, calibrate, quantize, fit, evaluate]",
                                        "evaluate.images=" + std::to_string(kImages),
                                        "evaluate.models=[float, quantized, compensated]",
                                        "evaluate.executor=" + executor,
                                        "--out=" + folder + "/" + executor,
                                        "runtime.store=" + folder + "/store"};
  arguments.insert(arguments.end(), of.options.begin(), of.options.end());
  return RunProgram(arguments);
}

TEST_P(IntegerTest, PredictsWhatTheFakeQuantiserDoes) {
  const std::string folder = TestFolder(GetParam().config);
  for (const char* executor : {"fake", "integer"}) {
    const ProgramResult run = Evaluate(GetParam(), folder, executor);
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  const auto fake = ReadSafetensors(folder + "/fake/predictions.safetensors");
  const auto integer = ReadSafetensors(folder + "/integer/predictions.safetensors");
  ASSERT_TRUE(fake.ok() && integer.ok());
  const auto same = [&](const std::string& tensor) {
    return fake->tensors.at(tensor).eq(integer->tensors.at(tensor)).to(at::kFloat).mean().item<double>();
  };
  for (const std::string model : {"quantized", "compensated"}) {
    SCOPED_TRACE(model);
    EXPECT_GE(same(model + ".predictions"), 0.998);
    // Another code here and there moves the logits: it did run otherwise.
    EXPECT_LT(same(model + ".squared_error"), 0.5);
    const auto top1 = [&](const char* executor) {
      return ResultIn(folder + "/" + executor)["evaluation"][model]["top1"].get<double>();
    };
    EXPECT_NEAR(top1("integer"), top1("fake"), 0.1);
  }
  EXPECT_EQ(same("float.predictions"), 1);
  // Nothing before the evaluation is done again, nor the float model's.
  for (const nlohmann::json& stage : ResultIn(folder + "/integer")["stages"]) {
    EXPECT_EQ(stage["cached"], stage["name"] != "evaluate" && stage["name"] != "load") << stage["name"];
    if (stage["name"] != "evaluate") continue;
    EXPECT_EQ(stage["forward_images"], 2 * kImages);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, IntegerTest,
                         testing::Values(Case{"quickstart", {}}, Case{"demo_swin", {}},
                                         Case{"demo_resnet",
                                              {"quantize.method=percentile", "fit.compensator=group_conv",
                                               "fit.factor=16", "calibrate.order=first", "calibrate.transform=eval",
                                               "fit.order=first", "fit.transform=eval"}}),
                         [](const auto& info) { return info.param.config; });

}  // namespace
}  // namespace qwt
