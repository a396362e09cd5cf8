#include "core/config/schema.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

Schema Quantize() {
  return {{Option::String("method", "Which.").OneOf({"minmax", "repq_vit"}).Default("repq_vit"),
           Option::Int("weight_bits", "Bits of a weight.").Range(2, 8),
           Option::Doubles("percentiles", "Tried.").Range(0, 1).Default("[0.999, 0.9999]"),
           Option::Bool("round_zero_point", "Whole zero points.").Default("false"),
           Option::Path("weights", "File.").Default("").NoEffectOnResult()}};
}

ConfigNode Parse(const std::string& text) {
  auto root = ParseConfig(text, "a.yaml");
  EXPECT_TRUE(root.ok()) << root.status();
  return root.ok() ? *root : ConfigNode();
}

TEST(CheckOptionsTest, SayAllProblems) {
  Problems problems;
  ConfigNode root =
      Parse("quantize:\n  method: repqvit\n  weight_bit: 4\n  percentiles: [0.5, 2]\n  round_zero_point: yes\n");
  CheckOptions(*root.Find("quantize"), Quantize(), &problems);
  EXPECT_EQ(
      problems.lines(),
      (std::vector<std::string>{
          "a.yaml:3: quantize.weight_bit: unknown key (did you mean 'weight_bits'?); allowed: method, weight_bits, "
          "percentiles, round_zero_point, weights",
          "a.yaml:2: quantize.method: must be one of minmax, repq_vit, is 'repqvit' (did you mean 'repq_vit'?)",
          "a.yaml:1: quantize.weight_bits: is missing, must be an integer from 2 to 8",
          "a.yaml:4: quantize.percentiles[1]: must be a number from 0 to 1, is 2",
          "a.yaml:5: quantize.round_zero_point: must be true or false, is 'yes'",
      }));
}

}  // namespace
}  // namespace qwt
