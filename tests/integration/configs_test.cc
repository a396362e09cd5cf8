// The configs that come with the project: which there are, and that each is a sound request.
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipelines/home.h"
#include "pipelines/request.h"

namespace qwt {
namespace {

const std::set<std::string>& Networks() {
  static const auto* networks = new std::set<std::string>{"deit_tiny",
                                                          "deit_small",
                                                          "deit_base",
                                                          "deit_tiny_distilled",
                                                          "deit_small_distilled",
                                                          "deit_base_distilled",
                                                          "vit_small",
                                                          "vit_base",
                                                          "swin_tiny",
                                                          "swin_small",
                                                          "resnet18",
                                                          "resnet50",
                                                          "resnet101"};
  return *networks;
}

std::set<std::string> Published() {
  std::set<std::string> names;
  for (const std::string& network : Networks()) {
    for (const char* bits : {"_w4a4", "_w6a6"}) names.insert(network + bits);
  }
  return names;
}

std::set<std::string> Present() {
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator("configs")) {
    if (file.path().extension() == ".yaml") names.insert(file.path().stem());
  }
  return names;
}

// The request of a config where the variables are set; nothing that it names is opened.
Request Checked(const std::string& name) {
  Problems problems;
  const std::map<std::string, std::string> variables = {
      {kHomeVariable, "/home"}, {"IMAGENET", "/imagenet"}, {"QWT_WEIGHTS", "/weights"}};
  const auto config = LoadConfig("configs/" + name + ".yaml", {}, variables, &problems);
  EXPECT_EQ(config.status(), absl::OkStatus());
  Request request = CheckRequest(*config, &problems);
  EXPECT_EQ(problems.ToStatus(), absl::OkStatus()) << name;
  return request;
}

TEST(ConfigsTest, EveryPublishedSettingAndTheDemos) {
  std::set<std::string> expected = Published();
  EXPECT_EQ(expected.size(), 26);
  expected.insert({"quickstart", "demo_swin", "demo_resnet", "evaluate_saved", "generated"});
  EXPECT_EQ(Present(), expected);
}

TEST(ConfigsTest, EachIsASoundRequest) {
  for (const std::string& name : Present()) {
    const Request request = Checked(name);
    EXPECT_EQ(request.name, name);
  }
}

TEST(ConfigsTest, PublishedSettingsAreWhatTheirNamesSay) {
  std::set<std::string> weights;
  for (const std::string& name : Published()) {
    const Request request = Checked(name);
    const std::string network = name.substr(0, name.rfind('_')), bits = name.substr(name.size() - 1);
    EXPECT_EQ(request.Of("model").String("name"), network);
    EXPECT_EQ(request.Of("quantize").Int("weight_bits"), std::stoi(bits)) << name;
    EXPECT_EQ(request.Of("quantize").Int("activation_bits"), std::stoi(bits)) << name;
    const Options& expected = request.Of(kExpected);
    EXPECT_EQ(expected.String("of"), "W" + bits + "/A" + bits) << name;
    EXPECT_LT(expected.Double("quantized"), expected.Double("float")) << name;
    EXPECT_LT(expected.Double("quantized"), expected.Double("compensated")) << name;
    EXPECT_EQ(request.Of("calibrate").Int("images"), 32) << name;
    EXPECT_EQ(request.Of("fit").Int("images"), 512) << name;
    const std::string family = network.substr(0, network.find_first_of("_0123456789"));
    EXPECT_EQ(request.Of("dataset").String("preset"), family);
    EXPECT_EQ(request.Of("quantize").String("method"), family == "resnet" ? "percentile" : "repq_vit");
    EXPECT_THAT(request.Of("model").Paths("weights"), testing::ElementsAre(testing::StartsWith("/weights/")));
    weights.insert(request.Of("model").Paths("weights")[0]);
  }
  EXPECT_EQ(weights.size(), Networks().size());  // a file for each
}

TEST(ConfigsTest, VariablesThatAreNotSetAreNamed) {
  Problems problems;
  const auto config = LoadConfig("configs/deit_small_w4a4.yaml", {}, {}, &problems);
  ASSERT_EQ(config.status(), absl::OkStatus());
  EXPECT_THAT(std::string(problems.ToStatus().message()),
              testing::AllOf(testing::HasSubstr("IMAGENET"), testing::HasSubstr("QWT_WEIGHTS")));
}

}  // namespace
}  // namespace qwt
