#include "quant/methods/common/overrides.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/strings.h"
#include "core/config/node.h"
#include "quant/sites.h"

namespace qwt {
namespace {

bool Matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

bool IsIndex(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) { return absl::ascii_isdigit(c); });
}

// "blocks.3.mlp.fc2" -> "blocks.*.mlp.fc2".
std::string AsPattern(const std::string& name) {
  std::vector<std::string> words = absl::StrSplit(name, '.');
  for (std::string& word : words) {
    if (IsIndex(word)) word = "*";
  }
  return absl::StrJoin(words, ".");
}

// Names that were perhaps meant, written as the pattern is: with * for indices where it has one.
std::string Nearest(const std::string& pattern, const std::vector<Site>& sites) {
  constexpr size_t kShown = 3;
  std::set<std::string> names;
  for (const Site& site : sites) {
    for (const std::string& name : {site.node->name, site.name}) {
      names.insert(absl::StrContains(pattern, '*') ? AsPattern(name) : name);
    }
  }
  return absl::StrJoin(NearestNames(pattern, {names.begin(), names.end()}, kShown), ", ");
}

// Sets the bits of the override's weights or activations and adds to *problems where it has none.
void Apply(const BitOverride& override, const std::vector<const Site*>& matching, bool weights, QuantSpecs* specs,
           Problems* problems) {
  const std::optional<int>& bits = weights ? override.weight_bits : override.activation_bits;
  if (!bits.has_value()) return;
  bool found = false;
  for (const Site* site : matching) {
    if ((site->role == SiteRole::kWeight) != weights) continue;
    specs->at(site->name).bits = *bits;
    found = true;
  }
  if (found) return;
  problems->Add(weights ? override.where_weight_bits : override.where_activation_bits,
                absl::StrCat("'", override.pattern, "' matches only ", weights ? "activations" : "weights", ", no ",
                             weights ? "weight; weights' sites end in .weight"
                                     : "activation; activations' sites end in .input, .left or .right"));
}

}  // namespace

Option OverridesOption() {
  return Option::Maps(
      "overrides",
      "Other bits for single sites, in order, a later one over an earlier. An override that matches nothing is an "
      "error.",
      {Option::String("match",
                      "Name of a node (all of its sites) or of a site, \"blocks.0.mlp.fc2\" or "
                      "\"blocks.0.mlp.fc2.input\", or a pattern: * any characters, ? one, [0-3] one of these."),
       Option::Int("weight_bits", "Bits of the weights that match; without it they stay.").Range(2, 8).Optional(),
       Option::Int("activation_bits", "Bits of the activations that match; without it they stay.")
           .Range(2, 8)
           .Optional()});
}

std::vector<BitOverride> ReadOverrides(const Options& options) {
  std::vector<BitOverride> overrides;
  for (const Options& map : options.Maps("overrides")) {
    BitOverride& override = overrides.emplace_back();
    override.pattern = map.String("match");
    if (map.Has("weight_bits")) override.weight_bits = static_cast<int>(map.Int("weight_bits"));
    if (map.Has("activation_bits")) override.activation_bits = static_cast<int>(map.Int("activation_bits"));
    override.where_pattern = map.Where("match");
    override.where_weight_bits = map.Where("weight_bits");
    override.where_activation_bits = map.Where("activation_bits");
  }
  return overrides;
}

absl::Status ApplyOverrides(const Graph& graph, const std::vector<BitOverride>& overrides, QuantSpecs* specs) {
  const std::vector<Site> sites = QuantSites(graph);
  Problems problems;
  for (const BitOverride& override : overrides) {
    std::vector<const Site*> matching;
    for (const Site& site : sites) {
      if (Matches(override.pattern, site.node->name) || Matches(override.pattern, site.name)) matching.push_back(&site);
    }
    if (matching.empty()) {
      problems.Add(override.where_pattern,
                   absl::StrCat("'", override.pattern, "' matches no node and no site of ", graph.name,
                                "; the nearest names: ", Nearest(override.pattern, sites)));
    } else if (!override.weight_bits.has_value() && !override.activation_bits.has_value()) {
      problems.Add(override.where_pattern,
                   absl::StrCat("'", override.pattern, "' stands without weight_bits and activation_bits; give one"));
    }
    if (matching.empty()) continue;
    Apply(override, matching, /*weights=*/true, specs, &problems);
    Apply(override, matching, /*weights=*/false, specs, &problems);
  }
  return problems.ToStatus();
}

}  // namespace qwt
