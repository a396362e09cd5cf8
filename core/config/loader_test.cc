// Files, their bases, overrides and variables; parse_test.cc has what concerns one text.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/config/node.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

class LoadConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_ / "_base");
    setenv("BUILD_WORKING_DIRECTORY", folder_.c_str(), 1);
    unsetenv("QWT_TEST_UNSET");
  }
  void TearDown() override { unsetenv("BUILD_WORKING_DIRECTORY"); }

  void Write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }

  std::string Yaml(const std::string& name, const std::vector<std::string>& overrides = {}) {
    auto root = LoadConfig(name, overrides);
    EXPECT_TRUE(root.ok()) << root.status();
    return root.ok() ? root->ToYaml() : "";
  }
  std::string Error(const std::string& name, const std::vector<std::string>& overrides = {}) {
    const absl::Status status = LoadConfig(name, overrides).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }

  std::filesystem::path folder_;
};

TEST_F(LoadConfigTest, MergesMapsKeyByKeyAndReplacesEverythingElse) {
  Write("_base/b.yaml",
        "stages: [load, fit]\nfit: {method: qwt, options: {images: 512, gate: train}}\nseed: 0\nmodel: x\n");
  Write("a.yaml", "base: _base/b.yaml\nname: a\nfit: {options: {images: 8}}\nstages: [load]\nmodel: {name: vit}\n");
  EXPECT_EQ(Yaml("a.yaml"),
            "stages: [load]\nfit:\n  method: qwt\n  options:\n    images: 8\n    gate: train\nseed: 0\n"
            "model:\n  name: vit\nname: a\n");
}

TEST_F(LoadConfigTest, LocationsNameTheFileThatHoldsTheValue) {
  Write("_base/b.yaml", "fit:\n  method: qwt\n  images: 512\n");
  Write("a.yaml", "base: ./_base/b.yaml\n\nfit:\n\n  images: 8\n");
  auto root = LoadConfig("./a.yaml", {"fit.seed=1"});
  ASSERT_TRUE(root.ok()) << root.status();
  const ConfigNode* fit = root->Find("fit");
  EXPECT_EQ(fit->Where(), "./a.yaml:3: fit");
  EXPECT_EQ(fit->Find("images")->Where(), "./a.yaml:5: fit.images");
  EXPECT_EQ(fit->Find("method")->Where(), "_base/b.yaml:2: fit.method");
  EXPECT_EQ(fit->Find("seed")->Where(), "command line: fit.seed");
}

TEST_F(LoadConfigTest, LaterBasesCoverEarlierOnesAndBasesHaveBases) {
  Write("_base/root.yaml", "a: 0\nb: 0\nc: 0\nd: 0\n");
  Write("_base/one.yaml", "base: root.yaml\nb: 1\nc: 1\nd: 1\n");
  Write("_base/two.yaml", "c: 2\nd: 2\n");
  Write("x.yaml", "base: [_base/one.yaml, _base/two.yaml]\nd: 3\n");
  EXPECT_EQ(Yaml("x.yaml"), "a: 0\nb: 1\nc: 2\nd: 3\n");
}

TEST_F(LoadConfigTest, TwoBasesMayShareOne) {
  Write("_base/root.yaml", "a: 0\n");
  Write("_base/one.yaml", "base: root.yaml\n");
  Write("_base/two.yaml", "base: root.yaml\n");
  Write("x.yaml", "base: [_base/one.yaml, _base/two.yaml]\n");
  EXPECT_EQ(Yaml("x.yaml"), "a: 0\n");
}

TEST_F(LoadConfigTest, ACycleIsShownWhole) {
  Write("a.yaml", "base: b.yaml\n");
  Write("b.yaml", "x: 1\nbase: _base/../a.yaml\n");
  EXPECT_EQ(Error("a.yaml"), "b.yaml:2: base: is based on itself: a.yaml -> b.yaml -> a.yaml");
  Write("c.yaml", "base: c.yaml\n");
  EXPECT_EQ(Error("c.yaml"), "c.yaml:1: base: is based on itself: c.yaml -> c.yaml");
}

TEST_F(LoadConfigTest, AMissingBaseNamesTheFileThatAskedForIt) {
  Write("a.yaml", "name: a\nbase:\n  - _base/none.yaml\n  - _base\n  - [1]\n  - ''\n");
  EXPECT_EQ(Error("a.yaml"),
            "a.yaml:5: base[2]: must be the path of a config, or a list of them\n"
            "a.yaml:6: base[3]: must be the path of a config, or a list of them\n"
            "a.yaml:3: base[0]: cannot read '_base/none.yaml': No such file or directory\n"
            "a.yaml:4: base[1]: cannot read '_base': Is a directory");
}

TEST_F(LoadConfigTest, ABrokenBaseIsReportedAtItsOwnLine) {
  Write("_base/b.yaml", "a: 1\na: 2\nb: 1\nb: 2\n");
  Write("a.yaml", "base: _base/b.yaml\n");
  EXPECT_EQ(Error("a.yaml"),
            "_base/b.yaml:2: a: given twice, first at _base/b.yaml:1\n"
            "_base/b.yaml:4: b: given twice, first at _base/b.yaml:3");
}

TEST_F(LoadConfigTest, BasesMayStandInTheHomeFolderAndBehindVariables) {
  setenv("HOME", folder_.c_str(), 1);
  Write("_base/b.yaml", "x: 1\n");
  Write("a.yaml", "base: ~/_base/b.yaml\n");
  EXPECT_EQ(Yaml("a.yaml"), "x: 1\n");
  Write("c.yaml", "base: ${HOME}/_base/b.yaml\n");
  EXPECT_EQ(Yaml("c.yaml"), "x: 1\n");
  Write("d.yaml", "base: ${QWT_TEST_UNSET}/b.yaml\n");
  EXPECT_EQ(Error("d.yaml"),
            "d.yaml:1: base: variable QWT_TEST_UNSET is not set in the environment (export QWT_TEST_UNSET=...)");
}

TEST_F(LoadConfigTest, AMissingFileIsNotFoundAndOtherwiseUnreadableOnesAreInvalid) {
  EXPECT_EQ(LoadConfig("configs/none.yaml", {}).status(),
            absl::NotFoundError("cannot read 'configs/none.yaml': No such file or directory"));
  Write("_base/deit.yaml", "");
  EXPECT_EQ(LoadConfig("_base/diet.yaml", {}).status(),
            absl::NotFoundError(
                "cannot read '_base/diet.yaml': No such file or directory (did you mean '_base/deit.yaml'?)"));
  EXPECT_EQ(LoadConfig("_base/quick.yaml", {}).status(),
            absl::NotFoundError("cannot read '_base/quick.yaml': No such file or directory"));
  EXPECT_EQ(Error("_base"), "cannot read '_base': Is a directory");
}

TEST_F(LoadConfigTest, OverridesReplaceCreateAndMerge) {
  Write("a.yaml", "quantize: {weight_bits: 4, method: repq_vit}\nfit:\nstages: [load]\n");
  EXPECT_EQ(Yaml("a.yaml", {"quantize.weight_bits=3", "fit.gate.kind=held_out", "stages=[load, fit]", "seed=7",
                            "quantize={method: minmax, bits: {a: 8}}", "name='a=b'", "x="}),
            "quantize:\n  weight_bits: 3\n  method: minmax\n  bits:\n    a: 8\n"
            "fit:\n  gate:\n    kind: held_out\nstages: [load, fit]\nseed: 7\nname: a=b\nx: null\n");
  EXPECT_EQ(Yaml("a.yaml", {"fit.x=1", "fit.x=2", "quantize=3"}), "quantize: 3\nfit:\n  x: 2\nstages: [load]\n");
}

TEST_F(LoadConfigTest, BadOverridesAreReportedTogether) {
  Write("a.yaml", "seed: 0\nstages: [load]\n");
  EXPECT_EQ(Error("a.yaml", {"seed", "=3", "a..b=3", ".a=1", "seed.x=1", "stages.0=fit", "q.w={", "base=b.yaml",
                             "m={a: 1, a: 2}", "w=${QWT_TEST_UNSET}"}),
            "command line: 'seed' must be of the form key.path=value, as in quantize.weight_bits=4\n"
            "command line: '=3' must be of the form key.path=value, as in quantize.weight_bits=4\n"
            "command line: 'a..b=3' must be of the form key.path=value, as in quantize.weight_bits=4\n"
            "command line: '.a=1' must be of the form key.path=value, as in quantize.weight_bits=4\n"
            "command line: seed.x: 'seed' (a.yaml:1) is a single value, give it whole: seed=...\n"
            "command line: stages.0: 'stages' (a.yaml:2) is a list, give it whole: stages=...\n"
            "command line: q.w: not valid YAML: end of map flow not found\n"
            "command line: base: can only stand in a file\n"
            "command line: m.a: given twice, first at command line\n"
            "command line: w: variable QWT_TEST_UNSET is not set in the environment (export QWT_TEST_UNSET=...)");
}

TEST_F(LoadConfigTest, VariablesOfCoveredValuesNeedNotBeSet) {
  Write("_base/b.yaml", "root: ${QWT_TEST_UNSET}\nweights: ${QWT_TEST_UNSET}\n");
  Write("a.yaml", "base: _base/b.yaml\nroot: /data\n");
  EXPECT_EQ(Yaml("a.yaml", {"weights=x.pth"}), "root: /data\nweights: x.pth\n");
}

TEST_F(LoadConfigTest, WithProblemsTheRestCanStillBeChecked) {
  Write("a.yaml", "root: ${QWT_TEST_UNSET}\nseed: 1\n");
  Problems problems;
  auto root = LoadConfig("a.yaml", {"x"}, {}, &problems);
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(problems.lines().size(), 2);
  EXPECT_TRUE(root->Find("root")->broken());
  EXPECT_FALSE(root->Find("seed")->broken());
  Write("b.yaml", "a: [1\n");
  EXPECT_FALSE(LoadConfig("b.yaml", {}, {}, &problems).ok());
  Write("c.yaml", "base: none.yaml\n");  // without it all it holds would seem to be missing
  EXPECT_FALSE(LoadConfig("c.yaml", {}, {}, &problems).ok());
}

}  // namespace
}  // namespace qwt
