// One text: its YAML, its variables, and how it is written again.
#include <cstdlib>

#include "core/config/node.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

using Kind = ConfigNode::Kind;

ConfigNode Parse(const std::string& text, const std::map<std::string, std::string>& variables = {}) {
  auto root = ParseConfig(text, "a.yaml", {}, variables);
  EXPECT_TRUE(root.ok()) << root.status();
  return root.ok() ? *root : ConfigNode();
}

std::string Error(const std::string& text, const std::map<std::string, std::string>& variables = {}) {
  const absl::Status status = ParseConfig(text, "a.yaml", {}, variables).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(ParseConfigTest, KindsPathsAndLocations) {
  const ConfigNode root = Parse("# first\nb: 4\na:\n  list:\n    - x\n    -\n      y: \"4\"\n  empty:\n");
  EXPECT_EQ(root.kind(), Kind::kMap);
  EXPECT_EQ(root.path(), "");
  ASSERT_EQ(root.map().size(), 2);
  EXPECT_EQ(root.map()[0].first, "b");  // in the file's order
  const ConfigNode* list = root.Find("a")->Find("list");
  EXPECT_EQ(root.Find("a")->location(), "a.yaml:3");
  EXPECT_EQ(list->kind(), Kind::kList);
  EXPECT_EQ(list->list()[0].Where(), "a.yaml:5: a.list[0]");
  EXPECT_EQ(list->list()[1].Find("y")->Where(), "a.yaml:7: a.list[1].y");
  EXPECT_TRUE(list->list()[1].Find("y")->quoted());
  EXPECT_FALSE(root.Find("b")->quoted());
  EXPECT_EQ(root.Find("a")->Find("empty")->kind(), Kind::kNull);
  EXPECT_EQ(root.Find("c"), nullptr);
}

TEST(ParseConfigTest, AnEmptyTextIsAnEmptyMap) {
  EXPECT_EQ(Parse("").kind(), Kind::kMap);
  EXPECT_EQ(Parse("# nothing\n").kind(), Kind::kMap);
  EXPECT_EQ(Error("- a\n"), "a.yaml:1: must be a map of options ('key: value' lines)");
  EXPECT_EQ(Error("text\n"), "a.yaml:1: must be a map of options ('key: value' lines)");
}

TEST(ParseConfigTest, SyntaxErrorsHaveTheirLine) {
  EXPECT_EQ(Error("a: 1\nb: [1, 2\n"), "a.yaml:3: not valid YAML: end of sequence flow not found");
  EXPECT_EQ(Error("a: 1\nb: c: 2\n"), "a.yaml:2: not valid YAML: illegal map value");
  EXPECT_EQ(Error("a: 1\nb: *c\n"), "a.yaml:2: not valid YAML: the referenced anchor is not defined");
  EXPECT_EQ(Error("a: 1\n---\nb: 2\n"), "a.yaml:1: holds several YAML documents ('---'), must be one");
}

TEST(ParseConfigTest, WhatYamlCppAcceptsSilentlyIsReportedAllAtOnce) {
  EXPECT_EQ(Error("a: {x: 1, x: 2}\nb: 1\n<<: 3\n? [k]\n: 4\n: 5\nb: !!int 6\nc:\n  ? {}\n  : 1\n"),
            "a.yaml:1: a.x: given twice, first at a.yaml:1\n"
            "a.yaml:3: <<: YAML merge keys are not supported; share options with 'base:'\n"
            "a.yaml:4: has a key that is not a name\n"
            "a.yaml:6: has a key that is not a name\n"
            "a.yaml:7: b: has the YAML tag 'tag:yaml.org,2002:int'; tags are not supported\n"
            "a.yaml:7: b: given twice, first at a.yaml:2\n"
            "a.yaml:9: c: has a key that is not a name");
  EXPECT_TRUE(Parse("a: !!str 4\n").Find("a")->quoted());
}

TEST(ParseConfigTest, AliasesStandForTheirAnchorsButNotWithoutEnd) {
  EXPECT_EQ(Parse("a: &x {k: 1}\nb: *x\n").ToYaml(), "a:\n  k: 1\nb:\n  k: 1\n");
  std::string bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  for (int i = 1; i < 9; ++i) {
    const std::string alias = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + alias;
    for (int j = 1; j < 10; ++j) bomb += ", " + alias;
    bomb += "]\n";
  }
  EXPECT_EQ(ParseConfig(bomb, "a.yaml").status().code(), absl::StatusCode::kInvalidArgument);
  const std::string limits = "nested deeper than 32 levels or more than 100000 values";
  EXPECT_NE(Error(bomb).find(limits), std::string::npos);
  EXPECT_EQ(Error(bomb).find('\n'), std::string::npos);  // said once
  EXPECT_NE(Error("a: &a [*a]\n").find(limits), std::string::npos);
}

TEST(VariablesTest, TheGivenOnesGoBeforeTheEnvironment) {
  setenv("QWT_TEST_SET", "env", 1);
  setenv("QWT_TEST_BOTH", "env", 1);
  const ConfigNode root =
      Parse("a: ${QWT_TEST_SET}/${QWT_TEST_BOTH}\nb: ['${QWT_TEST_BOTH}']\n${x}: 1\n", {{"QWT_TEST_BOTH", "given"}});
  EXPECT_EQ(root.Find("a")->scalar(), "env/given");
  EXPECT_EQ(root.Find("b")->list()[0].scalar(), "given");
  EXPECT_NE(root.Find("${x}"), nullptr);  // keys are left alone
}

TEST(VariablesTest, TheirValuesAreTypedWhereTheTextIsNotQuoted) {
  const ConfigNode root =
      Parse("a: ${N}\nb: \"${N}\"\nc: ${E}\nd: \"${E}\"\ne: ${V}\n", {{"N", "4"}, {"E", ""}, {"V", "${N}"}});
  EXPECT_FALSE(root.Find("a")->quoted());
  EXPECT_EQ(root.Find("a")->scalar(), "4");
  EXPECT_TRUE(root.Find("b")->quoted());
  EXPECT_EQ(root.Find("c")->kind(), Kind::kNull);
  EXPECT_EQ(root.Find("d")->kind(), Kind::kScalar);
  EXPECT_EQ(root.Find("e")->scalar(), "${N}");  // not expanded again
}

TEST(VariablesTest, TwoDollarsStandForOne) {
  EXPECT_EQ(Parse("a: x$${N}y${N}$5$$\n", {{"N", "4"}}).Find("a")->scalar(), "x${N}y4$5$$");
}

TEST(VariablesTest, UnsetAndMalformedOnesAreReportedAllAtOnce) {
  EXPECT_EQ(
      Error("a: ${QWT_X}\nb: [1, '${QWT_X}/${QWT_Y}']\nc: ${1}\nd: x${Q\ne: ${}\n"),
      "a.yaml:1: a: variable QWT_X is not set in the environment (export QWT_X=...)\n"
      "a.yaml:2: b[1]: variables QWT_X, QWT_Y are not set in the environment (export QWT_X=...)\n"
      "a.yaml:3: c: '${1}' must begin with a variable's name in braces, as in ${IMAGENET}; '${' itself is written "
      "'$${'\n"
      "a.yaml:4: d: '${Q' must begin with a variable's name in braces, as in ${IMAGENET}; '${' itself is written "
      "'$${'\n"
      "a.yaml:5: e: '${}' must begin with a variable's name in braces, as in ${IMAGENET}; '${' itself is written "
      "'$${'");
}

TEST(ToYamlTest, KeepsWhatLooksLikeAnotherTypeAString) {
  const std::string yaml =
      "int: 4\nnumber: 1e-3\ntruth: true\nnone: null\n"
      "strings: [\"4\", \"-4\", \"1e-3\", \"true\", \"no\", \"null\", \"~\", \"\", \"0x1f\", \"2024-01-01\", "
      "\"1_000\", "
      "\".inf\", \"12:30\"]\n"
      "plain: [a, vit_small_patch16, /data/x.pth, ~/x, ./x, a+b, deadbeef]\n"
      "marks: [\"a b\", \"a: b\", \"#x\", \"- x\", \"-x\", \"*x\", \"a,b\", \"[x]\", \"...\", \"it's\"]\n"
      "escapes: \"a\\\"b\\\\c\\nd\\te\\x01\"\n"
      "variable: \"$${X}\"\n"
      "empty_list: []\nempty_map: {}\nnested: [[1, 2], []]\n"
      "maps:\n  -\n    a: 1\n    b: [x]\n  - 2\n"
      "\"odd key\":\n  \"true\": 1\n";
  EXPECT_EQ(Parse(yaml).ToYaml(), yaml);
}

TEST(ToYamlTest, WhatWasReadIsReadAgain) {
  const ConfigNode root = Parse("a: 'x: ${V}'\nb: yes\nc: ${V}\n", {{"V", "\"q\" é\r\n${W}"}});
  const ConfigNode again = Parse(root.ToYaml());
  for (const char* key : {"a", "b", "c"}) EXPECT_EQ(again.Find(key)->scalar(), root.Find(key)->scalar());
  EXPECT_EQ(root.Find("c")->scalar(), "\"q\" é\r\n${W}");
  EXPECT_EQ(again.ToYaml(), root.ToYaml());
  EXPECT_EQ(ConfigNode::EmptyMap().ToYaml(), "{}\n");
}

TEST(ProblemsTest, OneLineEachInTheOrderFound) {
  Problems problems;
  EXPECT_TRUE(problems.ToStatus().ok());
  problems.Add("a.yaml:1: seed", "is odd");
  problems.Add("", "and more");
  EXPECT_EQ(problems.ToStatus(), absl::InvalidArgumentError("a.yaml:1: seed: is odd\nand more"));
}

}  // namespace
}  // namespace qwt
