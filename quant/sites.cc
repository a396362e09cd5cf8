#include "quant/sites.h"

#include "models/readers.h"
#include "quant/plan.h"

namespace qwt {
namespace {

bool HasWeightSite(const Node& node) { return node.op == Op::kLinear || node.op == Op::kConv2d; }

// What makes the node's first input; null for the segment's input.
const Node* Producer(const Segment& segment, const Node& node) {
  return node.inputs[0] == 0 ? nullptr : &segment.nodes[node.inputs[0] - 1];
}

// Moves whole tokens, so that channels stay what they are.
bool IsTokenReshuffle(const Node& node) { return node.op == Op::kSplitWindows || node.op == Op::kMergeWindows; }

// The LayerNorm whose tokens the node reads, where nothing else does; null if there is none.
const Node* SoleLayerNorm(const Segment& segment, const Node& node) {
  const std::vector<std::vector<int>> readers = ReadersOf(segment);
  const Node* reader = &node;
  while (true) {
    const Node* producer = Producer(segment, *reader);
    if (producer == nullptr || readers[reader->inputs[0]].size() != 1) return nullptr;
    if (producer->op == Op::kLayerNorm) return producer;
    if (!IsTokenReshuffle(*producer)) return nullptr;
    reader = producer;
  }
}

SiteRole OperandRole(const Segment& segment, const Node& node, bool left) {
  const Node* producer = Producer(segment, node);
  return left && producer != nullptr && producer->op == Op::kSoftmax ? SiteRole::kSoftmaxOperand
                                                                     : SiteRole::kMatmulOperand;
}

void AddSites(const Segment& segment, const Graph& graph, std::vector<Site>* sites) {
  const bool in_stem = &segment == &graph.stem, in_head = &segment == &graph.head;
  for (const Node& node : segment.nodes) {
    const bool at_border = (in_stem && node.op == Op::kConv2d) || (in_head && node.op == Op::kLinear);
    const std::vector<std::string> inputs = InputSites(node);
    for (size_t i = 0; i < inputs.size(); ++i) {
      Site site{inputs[i], SiteRole::kInput, at_border, &node};
      if (node.op == Op::kMatmul) site.role = OperandRole(segment, node, i == 0);
      if (node.op == Op::kLinear && !in_stem && !in_head) site.layer_norm = SoleLayerNorm(segment, node);
      if (site.layer_norm != nullptr) site.role = SiteRole::kNormalizedInput;
      sites->push_back(site);
    }
    if (HasWeightSite(node)) sites->push_back({WeightSite(node), SiteRole::kWeight, at_border, &node});
  }
}

}  // namespace

std::vector<std::string> InputSites(const Node& node) {
  if (HasWeightSite(node)) return {SiteName(node, "input")};
  if (node.op == Op::kMatmul) return {SiteName(node, "left"), SiteName(node, "right")};
  return {};
}

std::string WeightSite(const Node& node) { return HasWeightSite(node) ? SiteName(node, "weight") : ""; }

std::vector<Site> QuantSites(const Graph& graph) {
  std::vector<Site> sites;
  for (const Segment* segment : graph.Segments()) AddSites(*segment, graph, &sites);
  return sites;
}

}  // namespace qwt
