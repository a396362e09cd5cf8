// The sites of a network and what each is for, found from ops and positions, not names: one walk for every quant
// method.
#pragma once

#include <string>
#include <vector>

#include "models/graph.h"

namespace qwt {

enum class SiteRole {
  kWeight,           // of a linear or a convolution
  kInput,            // of a linear or a convolution
  kNormalizedInput,  // of a linear outside stem and head that alone reads a LayerNorm, if need be window by window
  kMatmulOperand,    // of a product of two values
  kSoftmaxOperand,   // the left one, where it is a softmax
};

// What every published method gives the sites at the border.
inline constexpr int kBorderBits = 8;

struct Site {
  std::string name;  // SiteName
  SiteRole role;
  bool at_border;  // first convolution (in the stem) or a classifier (in the head)
  const Node* node;
  const Node* layer_norm = nullptr;  // kNormalizedInput: what it reads
};

// Of the node's inputs, in their order; none for an op that is not quantised.
std::vector<std::string> InputSites(const Node& node);
// The node's weight; "" for an op that is not quantised or has none.
std::string WeightSite(const Node& node);

// In the network's order; a node's inputs come before its weight. The graph must outlive the result.
std::vector<Site> QuantSites(const Graph& graph);

}  // namespace qwt
