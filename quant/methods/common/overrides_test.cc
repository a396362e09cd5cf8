#include "quant/methods/common/overrides.h"

#include "core/config/node.h"
#include "gtest/gtest.h"
#include "models/vit/vit.h"
#include "quant/sites.h"

namespace qwt {
namespace {

Graph SmallVit() {
  VitConfig config;
  config.depth = 11;
  return BuildVit("vit", config);
}

// The options' value as it stands in a config, from its third line on.
std::vector<BitOverride> Read(const std::string& yaml) {
  const auto node = ParseConfig("\n\n" + yaml, "a.yaml");
  EXPECT_TRUE(node.ok()) << node.status();
  Problems problems;
  const Options options = CheckOptions(*node, {{OverridesOption()}}, &problems);
  EXPECT_EQ(problems.ToStatus(), absl::OkStatus());
  return ReadOverrides(options);
}

// Bits of each site that has others than 4 after the overrides.
std::map<std::string, int> Changed(const std::string& yaml) {
  const Graph graph = SmallVit();
  QuantSpecs specs;
  for (const Site& site : QuantSites(graph)) specs[site.name].bits = 4;
  EXPECT_EQ(ApplyOverrides(graph, Read(yaml), &specs), absl::OkStatus());
  std::map<std::string, int> changed;
  for (const auto& [site, spec] : specs) {
    if (spec.bits != 4) changed[site] = spec.bits;
  }
  return changed;
}

std::string Refused(const std::string& yaml) {
  const Graph graph = SmallVit();
  QuantSpecs specs;
  for (const Site& site : QuantSites(graph)) specs[site.name].bits = 4;
  const absl::Status status = ApplyOverrides(graph, Read(yaml), &specs);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

using Bits = std::map<std::string, int>;

TEST(OverridesTest, ANodesNameStandsForItsSitesAndASitesForItself) {
  EXPECT_EQ(Changed("overrides: []"), Bits{});
  EXPECT_EQ(Changed("overrides: [{match: blocks.3.mlp.fc2, activation_bits: 8}]"),
            (Bits{{"blocks.3.mlp.fc2.input", 8}}));
  EXPECT_EQ(Changed("overrides: [{match: blocks.3.mlp.fc2, activation_bits: 8, weight_bits: 6}]"),
            (Bits{{"blocks.3.mlp.fc2.input", 8}, {"blocks.3.mlp.fc2.weight", 6}}));
  EXPECT_EQ(Changed("overrides: [{match: blocks.1.attn.matmul2.left, activation_bits: 7}]"),
            (Bits{{"blocks.1.attn.matmul2.left", 7}}));
  EXPECT_EQ(Changed("overrides: [{match: head, activation_bits: 2, weight_bits: 3}]"),  // the border's 8 bits too
            (Bits{{"head.input", 2}, {"head.weight", 3}}));
}

TEST(OverridesTest, Patterns) {
  EXPECT_EQ(Changed("overrides: [{match: 'blocks.*.mlp.fc2', activation_bits: 8}]").size(), 11);
  EXPECT_EQ(Changed("overrides: [{match: 'blocks.?.mlp.fc2', activation_bits: 8}]").size(), 10);  // not blocks.10
  EXPECT_EQ(Changed("overrides: [{match: 'blocks.[23].*', weight_bits: 8}]").size(), 2 * 4);
  EXPECT_EQ(Changed("overrides: [{match: '*.left', activation_bits: 8}]").size(), 2 * 11);
  EXPECT_EQ(Changed("overrides: [{match: '*', activation_bits: 8, weight_bits: 8}]").size(), 11 * 12 + 4);
}

TEST(OverridesTest, ALaterOneWins) {
  EXPECT_EQ(Changed("overrides: [{match: 'blocks.*.mlp.fc2', weight_bits: 8}, {match: 'blocks.[!3].*', weight_bits: 4},"
                    " {match: blocks.10.mlp.fc2, weight_bits: 5}]"),
            (Bits{{"blocks.3.mlp.fc2.weight", 8}, {"blocks.10.mlp.fc2.weight", 5}}));
}

TEST(OverridesTest, EachThatChangesNothingIsNamedWithItsPlace) {
  EXPECT_EQ(Refused("overrides:\n- match: blocks.*.mlp.fc3\n  activation_bits: 8\n- {match: block.0.mlp.fc2}\n"
                    "- {match: head}\n- match: '*.weight'\n  weight_bits: 8\n  activation_bits: 8\n"
                    "- match: blocks.*.attn.matmul1\n  weight_bits: 8\n"),
            "a.yaml:4: overrides[0].match: 'blocks.*.mlp.fc3' matches no node and no site of vit; the nearest names: "
            "blocks.*.mlp.fc1, blocks.*.mlp.fc2, blocks.*.attn.qkv\n"
            "a.yaml:6: overrides[1].match: 'block.0.mlp.fc2' matches no node and no site of vit; the nearest names: "
            "blocks.0.mlp.fc2, blocks.0.mlp.fc1, blocks.1.mlp.fc2\n"
            "a.yaml:7: overrides[2].match: 'head' stands without weight_bits and activation_bits; give one\n"
            "a.yaml:10: overrides[3].activation_bits: '*.weight' matches only weights, no activation; activations' "
            "sites end in .input, .left or .right\n"
            "a.yaml:12: overrides[4].weight_bits: 'blocks.*.attn.matmul1' matches only activations, no weight; "
            "weights' sites end in .weight");
}

}  // namespace
}  // namespace qwt
