#include "pipelines/inspect_request.h"

#include <cstdlib>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::string ErrorOf(const std::string& network, const std::vector<std::string>& overrides = {},
                    const std::vector<std::string>& weights = {}) {
  return std::string(CheckInspectRequest(network, overrides, weights).status().message());
}

TEST(InspectRequestTest, ARegisteredNetwork) {
  const auto request = CheckInspectRequest("deit_tiny", {"model.depth=2", "model.classes=10"}, {});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->graph.name, "deit_tiny");
  EXPECT_EQ(request->graph.blocks.size(), 2u);
  EXPECT_EQ(request->graph.classes, 10);
  EXPECT_THAT(request->weights.files, IsEmpty());
}

TEST(InspectRequestTest, AConfigsModelSection) {
  auto request = CheckInspectRequest("configs/quickstart.yaml", {"model.depth=4"}, {});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->graph.blocks.size(), 4u);
  EXPECT_THAT(request->weights.files, ElementsAre(EndsWith("/models/demo/demo_vit.safetensors")));
  request = CheckInspectRequest("configs/quickstart.yaml", {"model.weights="}, {});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_THAT(request->weights.files, IsEmpty());
}

TEST(InspectRequestTest, OnlyTheModelSectionMatters) {
  const std::string folder = TestFolder("sections");
  MakeFile(folder + "/a.yaml",
           "model: {name: vit, depth: 3}\ndataset: {root: \"${QWT_TEST_UNSET}\"}\nquantise: 1\n"
           "fit: {images: [\"${QWT_TEST_UNSET}\"]}\n");
  const auto request = CheckInspectRequest(folder + "/a.yaml", {}, {});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->graph.blocks.size(), 3u);
  MakeFile(folder + "/b.yaml", "model:\n  name: vit\n  weights: ${QWT_TEST_UNSET}\ndataset: ${QWT_TEST_UNSET}\n");
  EXPECT_EQ(ErrorOf(folder + "/b.yaml"),
            folder +
                "/b.yaml:3: model.weights: variable QWT_TEST_UNSET is not set in the environment (export "
                "QWT_TEST_UNSET=...)");
}

TEST(InspectRequestTest, UnknownNamesComeWithTheNearest) {
  EXPECT_THAT(ErrorOf("deit_smal"),
              HasSubstr("command line: model.name: unknown model 'deit_smal' (did you mean 'deit_small'?); there are: "
                        "deit_base, "));
  EXPECT_THAT(ErrorOf("configs/quickstrat.yaml"),
              HasSubstr("cannot read 'configs/quickstrat.yaml': No such file or directory (did you mean "
                        "'configs/quickstart.yaml'?)"));
  EXPECT_THAT(ErrorOf("deit_small", {"model.widht=96"}),
              HasSubstr("command line: model.widht: unknown key (did you mean 'width'?); allowed: name, "));
}

TEST(InspectRequestTest, ANameIsNoYaml) {
  EXPECT_THAT(ErrorOf("[a, 'b"), HasSubstr("command line: model.name: unknown model '[a, 'b'"));
  EXPECT_THAT(ErrorOf("${HOME}"), HasSubstr("unknown model '${HOME}'"));
}

TEST(InspectRequestTest, AllThatIsWrongAtOnce) {
  EXPECT_EQ(ErrorOf("configs/quickstart.yaml", {"quantize.weight_bits=3", "model.depth=0", "model.heads=many"}),
            "command line: quantize.weight_bits: only the model is inspected; allowed: model.KEY=VALUE\n"
            "command line: model.depth: must be an integer from 1 to 1024, is 0\n"
            "command line: model.heads: must be an integer from 1 to 65536, is 'many'");
  EXPECT_THAT(ErrorOf("deit_small", {"model.patch=5"}, {"/nowhere/w.safetensors", "/nowhere/it's.pth"}),
              AllOf(HasSubstr("command line: model.patch: must divide image, is 5 for image 224\n"),
                    HasSubstr("command line: model.weights: "), HasSubstr("/nowhere/w.safetensors"),
                    HasSubstr("/nowhere/it's.pth")));
  EXPECT_THAT(ErrorOf("deit_small", {"vit_base"}),
              HasSubstr("command line: 'vit_base' must be of the form key.path=value"));
}

TEST(InspectRequestTest, AConfigWithoutAModel) {
  const std::string path = TestFolder("without") + "/a.yaml";
  MakeFile(path, "name: a\n");
  EXPECT_THAT(ErrorOf(path), StartsWith(path + ":1: model.name: is missing, must be one of deit_base, "));
}

}  // namespace
}  // namespace qwt
