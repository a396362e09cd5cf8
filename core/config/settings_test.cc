#include "core/config/settings.h"

#include <cstdlib>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

using ::testing::ElementsAre;

std::string MakeFile(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

class SettingsTest : public testing::Test {
 protected:
  const ConfigNode& Value(int line) { return manifest_.Find("values")->list()[line]; }
  absl::StatusOr<ConfigNode> Load(const std::vector<Setting>& settings,
                                  const std::vector<std::string>& overrides = {}) {
    return LoadConfig(config_, settings, overrides, {}, &problems_);
  }

  Problems problems_;
  const std::string config_ = MakeFile("config.yaml", "a: {b: 1, c: 2}\nname: x\n");
  const std::string file_ = MakeFile("manifest.yaml", "base: config.yaml\nvalues:\n- 7\n- {b: [1, 2]}\n- ${DIR}/x\n");
  const ConfigNode manifest_ = *ReadYaml(file_, {{"DIR", "/d"}}, &problems_);
};

TEST_F(SettingsTest, AFileThatIsNoConfigIsReadAsItStands) {
  EXPECT_EQ(manifest_.Find("base")->scalar(), "config.yaml");
  EXPECT_EQ(Value(2).scalar(), "/d/x");
  EXPECT_EQ(Value(0).Where(), file_ + ":3: values[0]");
  EXPECT_EQ(ReadYaml(testing::TempDir() + "manifesto.yaml", {}, &problems_).status(),
            absl::NotFoundError("cannot read '" + testing::TempDir() +
                                "manifesto.yaml': No such file or directory (did you mean '" + testing::TempDir() +
                                "manifest.yaml'?)"));
}

TEST_F(SettingsTest, AreMergedOverTheFileAndUnderTheOverrides) {
  const auto config = Load({{"a.b", Value(0)}, {"d.e", Value(2)}, {"name", Value(0)}}, {"name=other"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ToYaml(), "a:\n  b: 7\n  c: 2\nname: other\nd:\n  e: /d/x\n");
}

TEST_F(SettingsTest, AMapIsMergedKeyByKeyAndAListReplaced) {
  const auto config = Load({{"a", Value(1)}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ToYaml(), "a:\n  b: [1, 2]\n  c: 2\nname: x\n");
}

TEST_F(SettingsTest, AValueIsNamedByItsKeyAndWhereItWasGiven) {
  const auto config = Load({{"a", Value(1)}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->Find("a")->Find("b")->list()[1].Where(), file_ + ":4: a.b[1]");
}

TEST_F(SettingsTest, AKeyUnderASingleValueIsAProblem) {
  Load({{"name.first", Value(0)}}).IgnoreError();
  EXPECT_THAT(problems_.lines(), ElementsAre(file_ + ":3: name.first: 'name' (" + config_ +
                                             ":2) is a single value, give it whole: name=..."));
}

}  // namespace
}  // namespace qwt
