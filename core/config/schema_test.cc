#include "core/config/schema.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "gtest/gtest.h"

namespace qwt {
namespace {

using Lines = std::vector<std::string>;

ConfigNode Parse(const std::string& text, const Lines& overrides = {}) {
  auto root = ParseConfig(text, "a.yaml", overrides);
  EXPECT_TRUE(root.ok()) << root.status();
  return root.ok() ? *root : ConfigNode();
}

Lines Wrong(const std::string& text, const Schema& schema, const Lines& overrides = {}) {
  Problems problems;
  CheckOptions(Parse(text, overrides), schema, &problems);
  return problems.lines();
}

Options Checked(const std::string& text, const Schema& schema) {
  Problems problems;
  Options options = CheckOptions(Parse(text), schema, &problems);
  EXPECT_EQ(problems.lines(), Lines{});
  return options;
}

Schema Quantize() {
  return {{Option::String("method", "Which.").OneOf({"minmax", "repq_vit"}).Default("repq_vit"),
           Option::Int("weight_bits", "Bits of a weight.").Range(2, 8),
           Option::Doubles("percentiles", "Tried.").Range(0, 1).Default("[0.999, 0.9999]"),
           Option::Bool("round_zero_point", "Whole zero points.").Default("false"),
           Option::Path("weights", "File.").Default("").NoEffectOnResult()}};
}

TEST(CheckOptionsTest, SaysAllThatIsWrongAtOnce) {
  const ConfigNode root =
      Parse("quantize:\n  method: repqvit\n  weight_bit: 4\n  percentiles: [0.5, 2]\n  round_zero_point: yes\n",
            {"quantize.weights=[a]"});
  Problems problems;
  CheckOptions(*root.Find("quantize"), Quantize(), &problems);
  EXPECT_EQ(
      problems.lines(),
      (Lines{
          "a.yaml:3: quantize.weight_bit: unknown key (did you mean 'weight_bits'?); allowed: method, weight_bits, "
          "percentiles, round_zero_point, weights",
          "a.yaml:2: quantize.method: must be one of minmax, repq_vit, is 'repqvit' (did you mean 'repq_vit'?)",
          "a.yaml:1: quantize.weight_bits: is missing, must be an integer from 2 to 8",
          "a.yaml:4: quantize.percentiles[1]: must be a number from 0 to 1, is 2",
          "a.yaml:5: quantize.round_zero_point: must be true or false, is 'yes'",
          "command line: quantize.weights: must be a path, is a list",
      }));
}

TEST(CheckOptionsTest, PathsMayBeOneOrMany) {
  const Schema schema = {{Option::Paths("weights", "Files.")}};
  EXPECT_EQ(Checked("weights: /a\n", schema).Paths("weights"), Lines{"/a"});
  EXPECT_EQ(Checked("weights: /a\n", schema).ToYaml(0), "weights: /a\n");
  const Options two = Checked("weights: [/a, /b/../c]\n", schema);
  EXPECT_EQ(two.Paths("weights"), (Lines{"/a", "/c"}));
  EXPECT_EQ(two.ToYaml(0), "weights: [/a, /c]\n");
  EXPECT_EQ(Wrong("weights: []\n", schema),
            Lines{"a.yaml:1: weights: must be a path or a list of paths, is an empty list"});
  EXPECT_EQ(Wrong("weights: {a: b}\n", schema), Lines{"a.yaml:1: weights: must be a path, is a map"});
  EXPECT_EQ(Wrong("weights: [/a, {b: c}]\n", schema), Lines{"a.yaml:1: weights[1]: must be a path, is a map"});
  EXPECT_EQ(Wrong("weights: ''\n", schema), Lines{"a.yaml:1: weights: must be a path, is ''"});
  EXPECT_EQ(Wrong("{}\n", schema), Lines{"a.yaml:1: weights: is missing, must be a path or a list of paths"});
}

TEST(CheckOptionsTest, NoPathsWhereThatIsTheDefault) {
  const Schema schema = {{Option::Paths("weights", "Files.").Default("[]")}};
  for (const char* text : {"{}\n", "weights:\n", "weights: []\n"}) {
    EXPECT_EQ(Checked(text, schema).Paths("weights"), Lines{}) << text;
    EXPECT_EQ(Checked(text, schema).ToYaml(0), "weights: []\n") << text;
  }
  EXPECT_EQ(Checked("weights: /a\n", schema).Paths("weights"), Lines{"/a"});
  EXPECT_EQ(Wrong("weights: ''\n", schema), Lines{"a.yaml:1: weights: must be a path, is ''"});
}

TEST(CheckOptionsTest, UnknownKeysWhereNothingIsNear) {
  EXPECT_EQ(Wrong("zzz: 1\n", {{Option::Int("a", "").Default("1")}}), Lines{"a.yaml:1: zzz: unknown key; allowed: a"});
  EXPECT_EQ(Wrong("zzz: 1\n", {}), Lines{"a.yaml:1: zzz: unknown key; allowed: none"});
}

TEST(CheckOptionsTest, MergedSchemasTakeTheOptionsAndSectionsOfBoth) {
  const Schema merged = Merge({{Option::Int("a", "").Default("1")}, {"first"}}, {{Option::Int("b", "")}, {"second"}});
  EXPECT_EQ(Wrong("a: 2\nfirst: {x: 1}\nsecond: {y: 1}\nthird: {}\n", merged),
            (Lines{"a.yaml:4: third: unknown key; allowed: a, b, first, second",
                   "a.yaml:1: b: is missing, must be an integer"}));
}

TEST(CheckOptionsTest, WhatIsNoMap) {
  const ConfigNode root = Parse("a: 3\nb: [1]\nc:\n");
  const Schema schema = {{Option::Int("x", "").Default("1")}};
  Problems problems;
  CheckOptions(*root.Find("a"), schema, &problems);
  CheckOptions(*root.Find("b"), schema, &problems);
  EXPECT_EQ(problems.lines(), (Lines{"a.yaml:1: a: must be a map of options ('key: value' lines), is 3",
                                     "a.yaml:2: b: must be a map of options ('key: value' lines), is a list"}));
  Problems none;
  EXPECT_EQ(CheckOptions(*root.Find("c"), schema, &none).Int("x"), 1);
  EXPECT_EQ(CheckOptions(ConfigNode(), schema, &none).Int("x"), 1);
  EXPECT_EQ(CheckOptions(ConfigNode::EmptyMap("quantize", "a.yaml:1"), schema, &none).Where("x"),
            "a.yaml:1: quantize.x");
  EXPECT_TRUE(none.empty());
}

TEST(CheckOptionsTest, Integers) {
  const Schema schema = {{Option::Int("x", "").Range(2, 8)}};
  for (const char* good : {"2", "8", "+4", "04"}) EXPECT_EQ(Wrong(std::string("x: ") + good, schema), Lines{}) << good;
  const std::string must = "a.yaml:1: x: must be an integer from 2 to 8, is ";
  const std::vector<std::pair<std::string, std::string>> bad = {{"9", "9"},
                                                                {"1", "1"},
                                                                {"4.0", "4.0"},
                                                                {"\"4\"", "the string '4'"},
                                                                {"four", "'four'"},
                                                                {"[4]", "a list"},
                                                                {"{a: 4}", "a map"},
                                                                {"0x4", "'0x4'"},
                                                                {"true", "true"},
                                                                {"4 4", "'4 4'"},
                                                                {"99999999999999999999", "99999999999999999999"}};
  for (const auto& [text, is] : bad) EXPECT_EQ(Wrong("x: " + text, schema), Lines{must + is}) << text;
  EXPECT_EQ(Checked("x: -9223372036854775808", {{Option::Int("x", "")}}).Int("x"), INT64_MIN);
}

TEST(CheckOptionsTest, Numbers) {
  const Schema schema = {{Option::Double("x", "").Range(0, 1e300)}};
  EXPECT_EQ(Checked("x: 1e-3", schema).Double("x"), 1e-3);
  EXPECT_EQ(Checked("x: 3", schema).Double("x"), 3.0);
  EXPECT_EQ(Checked("x: -.inf", {{Option::Double("x", "")}}).Double("x"), -std::numeric_limits<double>::infinity());
  for (const char* bad : {".nan", "nan", "inf", ".inf", "1e999", "-1", "0x10", "1,5", "'1'", "true"}) {
    EXPECT_EQ(Wrong(std::string("x: ") + bad, schema).size(), 1) << bad;
  }
}

TEST(CheckOptionsTest, BoolsAreTrueAndFalseOnly) {
  const Schema schema = {{Option::Bool("x", "")}};
  EXPECT_TRUE(Checked("x: true", schema).Bool("x"));
  EXPECT_TRUE(Checked("x: True", schema).Bool("x"));
  EXPECT_FALSE(Checked("x: FALSE", schema).Bool("x"));
  EXPECT_EQ(Wrong("x: 1", schema), Lines{"a.yaml:1: x: must be true or false, is 1"});
  EXPECT_EQ(Wrong("x: 'true'", schema), Lines{"a.yaml:1: x: must be true or false, is the string 'true'"});
  EXPECT_EQ(Wrong("x: on", schema), Lines{"a.yaml:1: x: must be true or false, is 'on'"});
}

TEST(CheckOptionsTest, StringsMayLookLikeAnythingButAreNotEmpty) {
  const Schema schema = {{Option::String("x", "")}};
  EXPECT_EQ(Checked("x: 4", schema).String("x"), "4");
  EXPECT_EQ(Checked("x: 'true'", schema).String("x"), "true");
  EXPECT_EQ(Wrong("x: ''", schema), Lines{"a.yaml:1: x: must be a string, is ''"});
  EXPECT_EQ(Wrong("x: ''", {{Option::String("x", "").Default("auto")}}).size(), 1);
  EXPECT_EQ(Checked("x: ''", {{Option::String("x", "").OneOf({"a"}).Default("")}}).String("x"), "");
  EXPECT_EQ(Checked("", {{Option::String("x", "").OneOf({"a"}).Default("")}}).String("x"), "");
}

TEST(CheckOptionsTest, PathsAreAbsoluteFromWhereTheUserStands) {
  setenv("BUILD_WORKING_DIRECTORY", "/home/ada", 1);
  setenv("HOME", "/home/eve", 1);
  const Schema schema = {{Option::Path("a", ""), Option::Path("b", ""), Option::Path("c", "").Default("~/.cache/qwt"),
                          Option::Path("d", "").Default("")}};
  const Options options = Checked("a: w/../x.pth\nb: /data\n", schema);
  EXPECT_EQ(options.String("a"), "/home/ada/x.pth");
  EXPECT_EQ(options.String("b"), "/data");
  EXPECT_EQ(options.String("c"), "/home/eve/.cache/qwt");
  EXPECT_EQ(options.String("d"), "");
  unsetenv("BUILD_WORKING_DIRECTORY");
}

TEST(CheckOptionsTest, Lists) {
  const Schema schema = {{Option::Ints("i", "").Range(1, 9), Option::Doubles("d", ""),
                          Option::Strings("s", "").OneOf({"float", "quantized"})}};
  const Options options = Checked("i: [3, 1]\nd: []\ns: [quantized]\n", schema);
  EXPECT_EQ(options.Ints("i"), (std::vector<int64_t>{3, 1}));
  EXPECT_EQ(options.Doubles("d"), std::vector<double>{});
  EXPECT_EQ(options.Strings("s"), Lines{"quantized"});
  EXPECT_EQ(
      Wrong("i: [0, 1, x]\nd: 1\ns: [flaot, '', [a], ~]\n", schema),
      (Lines{"a.yaml:1: i[0]: must be an integer from 1 to 9, is 0",
             "a.yaml:1: i[2]: must be an integer from 1 to 9, is 'x'", "a.yaml:2: d: must be a list of numbers, is 1",
             "a.yaml:3: s[0]: must be one of float, quantized, is 'flaot' (did you mean 'float'?)",
             "a.yaml:3: s[1]: must be one of float, quantized, is ''",
             "a.yaml:3: s[2]: must be one of float, quantized, is a list",
             "a.yaml:3: s[3]: must be one of float, quantized, is null"}));
}

Schema Overrides() {
  return {{Option::Maps("overrides", "Of sites.",
                        {Option::String("match", "Pattern."), Option::Int("bits", "Few.").Range(2, 8).Optional(),
                         Option::Doubles("tried", "Many.").Default("[1]")}),
           Option::Int("last", "").Default("1")}};
}

TEST(CheckOptionsTest, ListsOfMaps) {
  const Options options = Checked("overrides:\n- {match: a.*, bits: 8}\n- match: b\n  tried: [0.5, 1]\n", Overrides());
  const std::vector<Options>& maps = options.Maps("overrides");
  ASSERT_EQ(maps.size(), 2);
  EXPECT_EQ(maps[0].String("match"), "a.*");
  EXPECT_TRUE(maps[0].Has("bits"));
  EXPECT_EQ(maps[0].Int("bits"), 8);
  EXPECT_EQ(maps[0].Where("match"), "a.yaml:2: overrides[0].match");
  EXPECT_FALSE(maps[1].Has("bits"));
  EXPECT_EQ(maps[1].Doubles("tried"), (std::vector<double>{0.5, 1}));
  EXPECT_EQ(maps[1].Where("bits"), "a.yaml:3: overrides[1].bits");
  EXPECT_EQ(options.ToYaml(2),
            "  overrides: [{match: \"a.*\", bits: 8, tried: [1]}, {match: b, tried: [0.5, 1]}]\n  last: 1\n");
  EXPECT_EQ(Checked(options.ToYaml(0), Overrides()).ToYaml(2), options.ToYaml(2));
  EXPECT_EQ(options.ResultText(), options.ToYaml(0));
  for (const char* text : {"{}\n", "overrides:\n", "overrides: []\n"}) {
    EXPECT_EQ(Checked(text, Overrides()).Maps("overrides").size(), 0) << text;
    EXPECT_EQ(Checked(text, Overrides()).ToYaml(0), "overrides: []\nlast: 1\n") << text;
  }
}

TEST(CheckOptionsTest, WhatIsWrongInAListOfMaps) {
  EXPECT_EQ(Wrong("overrides:\n- {match: a, bits: 9}\n- {mach: a}\n- 3\n- ~\n", Overrides()),
            (Lines{"a.yaml:2: overrides[0].bits: must be an integer from 2 to 8, is 9",
                   "a.yaml:3: overrides[1].mach: unknown key (did you mean 'match'?); allowed: match, bits, tried",
                   "a.yaml:3: overrides[1].match: is missing, must be a string",
                   "a.yaml:4: overrides[2]: must be a map of options ('key: value' lines), is 3",
                   "a.yaml:4: overrides[2].match: is missing, must be a string",
                   "a.yaml:5: overrides[3].match: is missing, must be a string"}));
  EXPECT_EQ(Wrong("overrides: {match: a}\n", Overrides()),
            Lines{"a.yaml:1: overrides: must be a list of maps of match, bits, tried, is a map"});
  EXPECT_EQ(Wrong("{}\n", Overrides(), {"overrides=[{match: a, bits: 1}]"}),
            Lines{"command line: overrides[0].bits: must be an integer from 2 to 8, is 1"});
}

TEST(CheckOptionsTest, AnOptionalOneMayBeLeftOut) {
  const Schema schema = {{Option::Int("x", "").Range(2, 8).Optional(), Option::String("y", "").Default("")}};
  EXPECT_FALSE(Checked("x:\n", schema).Has("x"));
  EXPECT_EQ(Checked("{}\n", schema).ToYaml(0), "y: \"\"\n");
  EXPECT_EQ(Checked("x: 3\n", schema).ResultText(), "x: 3\ny: \"\"\n");
  EXPECT_EQ(Wrong("x: 9\n", schema), Lines{"a.yaml:1: x: must be an integer from 2 to 8, is 9"});
}

TEST(CheckOptionsTest, NullStandsForNotGiven) {
  const Schema schema = {{Option::Int("x", "").Default("4"), Option::Int("y", "")}};
  EXPECT_EQ(Wrong("x:\ny:\n", schema), Lines{"a.yaml:2: y: is missing, must be an integer"});
  EXPECT_EQ(Checked("x: ~\ny: 1\n", schema).Int("x"), 4);
}

TEST(CheckOptionsTest, WhatIsReportedAlreadyIsPassedOver) {
  const auto loaded = [](Problems* problems) {
    const std::string path = testing::TempDir() + "/unset.yaml";
    std::FILE* file = std::fopen(path.c_str(), "w");
    std::fputs("x: ${QWT_TEST_UNSET}\ny: [1, '${QWT_TEST_UNSET}']\nz: 1\n", file);
    std::fclose(file);
    return *LoadConfig(path, {}, {}, problems);
  };
  Problems problems;
  const ConfigNode root = loaded(&problems);
  ASSERT_EQ(problems.lines().size(), 2);
  CheckOptions(root, {{Option::Int("x", ""), Option::Ints("y", "")}}, &problems);
  ASSERT_EQ(problems.lines().size(), 3);  // z
}

TEST(CheckOptionsDeathTest, BrokenSchemas) {
  Problems problems;
  EXPECT_DEATH(CheckOptions(ConfigNode(), {{Option::Int("x", "").Range(2, 8).Default("9")}}, &problems),
               "default of x: must be an integer from 2 to 8, is 9");
  EXPECT_DEATH(CheckOptions(ConfigNode(), {{Option::Int("x", "").Default("")}}, &problems),
               "default of x: must be an integer, is null");
  EXPECT_DEATH(CheckOptions(ConfigNode(), {{Option::Int("x", ""), Option::Bool("x", "")}}, &problems),
               "option 'x' is twice in a schema");
  EXPECT_DEATH(Merge({{Option::Int("x", "")}}, {{Option::Bool("x", "")}}), "option 'x' is in both schemas");
}

TEST(OptionsTest, WhereNamesTheValueOrTheMapThatLacksIt) {
  const ConfigNode root = Parse("a:\n  x: 1\n");
  const Schema schema = {{Option::Int("x", ""), Option::Int("y", "").Default("2")}};
  Problems problems;
  const Options options = CheckOptions(*root.Find("a"), schema, &problems);
  EXPECT_EQ(options.Where("x"), "a.yaml:2: a.x");
  EXPECT_EQ(options.Where("y"), "a.yaml:1: a.y");
  EXPECT_EQ(CheckOptions(Parse("x: 1"), schema, &problems).Where("y"), "a.yaml:1: y");
}

TEST(OptionsTest, ResultTextIsOneForOneMeaning) {
  const std::string text =
      Checked("weight_bits: 04\npercentiles: [1.0, 1e-10, 0.50]\nround_zero_point: True\n", Quantize()).ResultText();
  EXPECT_EQ(text, "method: repq_vit\nweight_bits: 4\npercentiles: [1, 1e-10, 0.5]\nround_zero_point: true\n");
  EXPECT_EQ(Checked("weights: x.pth\nround_zero_point: true\nweight_bits: +4\npercentiles: [1, 0.0000000001, .5]\n",
                    Quantize())
                .ResultText(),
            text);
}

TEST(OptionsTest, ToYamlFillsInDefaultsAndIsReadAgain) {
  setenv("BUILD_WORKING_DIRECTORY", "/home/ada", 1);
  Schema schema = Merge({{Option::String("name", ""), Option::Strings("tags", "").Default("[]"),
                          Option::Ints("sizes", "").Default("[1, 2]")}},
                        Quantize());
  const Options options = Checked("name: '4 $${HOME}'\nweight_bits: 4\ntags: ['4', a]\nweights: x\n", schema);
  unsetenv("BUILD_WORKING_DIRECTORY");
  const std::string yaml = options.ToYaml(2);
  EXPECT_EQ(yaml,
            "  name: \"4 $${HOME}\"\n  tags: [\"4\", a]\n  sizes: [1, 2]\n  method: repq_vit\n  weight_bits: 4\n"
            "  percentiles: [0.999, 0.9999]\n  round_zero_point: false\n  weights: /home/ada/x\n");
  Problems problems;
  const ConfigNode root = Parse("section:\n" + yaml);
  EXPECT_EQ(CheckOptions(*root.Find("section"), schema, &problems).ToYaml(2), yaml);
  EXPECT_TRUE(problems.empty());
}

TEST(OptionsDeathTest, ReadingWhatTheSchemaDoesNotHave) {
  const Options options = Checked("weight_bits: 4\n", Quantize());
  EXPECT_DEATH(options.Int("bits"), "the schema has no option 'bits'");
  EXPECT_DEATH(options.Double("weight_bits"),
               "option 'weight_bits' is read with a type that its schema does not give it");
  Problems problems;
  EXPECT_DEATH(CheckOptions(ConfigNode(), Quantize(), &problems).Int("weight_bits"),
               "option 'weight_bits' is read though its check failed or it was left out");
}

TEST(AllowedValuesTest, TellsTypeRangeAndNames) {
  EXPECT_EQ(AllowedValues(Option::Bool("x", "")), "true or false");
  EXPECT_EQ(AllowedValues(Option::Int("x", "").Range(1, 1000000)), "an integer from 1 to 1000000");
  EXPECT_EQ(AllowedValues(Option::Double("x", "").Range(0.5, INFINITY)), "a number of at least 0.5");
  EXPECT_EQ(AllowedValues(Option::Doubles("x", "").Range(-INFINITY, 1e-7)), "a list of numbers of at most 1e-07");
  EXPECT_EQ(AllowedValues(Option::Strings("x", "").OneOf({"a", "b"})), "a list of any of a, b");
  EXPECT_EQ(AllowedValues(Option::Int("x", "").OneOf({"4", "8"})), "one of 4, 8");
}

}  // namespace
}  // namespace qwt
