// Other bits for some sites, chosen by their names: the option `overrides` of every method.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/config/schema.h"
#include "models/graph.h"
#include "quant/plan.h"

namespace qwt {

struct BitOverride {
  // As of file names, over the whole name of a node or of a site: * any characters (dots too), ? one, [0-3] one of
  // these.
  std::string pattern;
  std::optional<int> weight_bits, activation_bits;
  // Where each stands in the config, for messages.
  std::string where_pattern, where_weight_bits, where_activation_bits;
};

Option OverridesOption();
std::vector<BitOverride> ReadOverrides(const Options& options);

// In their order, so that a later one wins. A node's name stands for all of its sites. InvalidArgument with a line for
// each override that changes nothing: no site matches, no weight or no activation for the bits it gives, no bits given.
absl::Status ApplyOverrides(const Graph& graph, const std::vector<BitOverride>& overrides, QuantSpecs* specs);

}  // namespace qwt
