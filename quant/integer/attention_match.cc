#include "quant/integer/attention_match.h"

#include <cmath>

#include "ATen/ops/item.h"
#include "models/readers.h"
#include "quant/integer/kernels/kernels.h"
#include "quant/sites.h"

namespace qwt {
namespace {

bool HasOneScale(const QuantPlan& plan, const std::string& site, const std::string& quantizer) {
  const auto found = plan.find(site);
  if (found == plan.end() || found->second.spec.quantizer != quantizer || found->second.scale.numel() != 1)
    return false;
  if (quantizer != "uniform") return true;
  const float zero = found->second.zero_point.item<float>();
  return zero == std::nearbyint(zero) && std::abs(zero) <= 255;
}

// Walks from the softmax both ways.
class Matcher {
 public:
  Matcher(const Segment& segment, const QuantPlan& plan)
      : segment_(segment), plan_(plan), readers_(ReadersOf(segment)) {}

  bool Match(int softmax, AttentionMatch* match) {
    match->softmax = softmax;
    return MatchScores(match) && MatchOutput(match);
  }

 private:
  const Node& At(int index) const { return segment_.nodes[index]; }
  bool Is(int index, Op op) const { return index >= 0 && At(index).op == op; }
  int Producer(int index, int input = 0) const { return At(index).inputs[input] - 1; }
  // The only reader of what a node makes, if it is of this op; -1 otherwise.
  int Reader(int index, Op op) const {
    const std::vector<int>& readers = readers_[index + 1];
    return readers.size() == 1 && At(readers[0]).op == op ? readers[0] : -1;
  }
  bool ReadOnce(int index) const { return readers_[index + 1].size() == 1; }

  // From the softmax up: [mask], [bias], [scale], q·kᵀ.
  bool MatchScores(AttentionMatch* match) {
    int at = Producer(match->softmax);
    match->between.push_back(match->softmax);
    const auto take = [&](Op op) {
      if (!Is(at, op) || !ReadOnce(at)) return -1;
      match->between.push_back(at);
      const int taken = at;
      at = Producer(at);
      return taken;
    };
    match->mask = take(Op::kAddWindowMask);
    match->bias = take(Op::kAddRelativePositionBias);
    if (match->mask >= 0 && match->bias < 0) return false;
    const int scale = take(Op::kScale);
    if (scale >= 0) match->score_factor = At(scale).Attribute("factor");
    match->matmul1 = take(Op::kMatmul);
    return match->matmul1 >= 0 && MatchQuery(match) && MatchKey(match);
  }

  bool MatchQuery(AttentionMatch* match) {
    int query = Producer(match->matmul1, 0);
    if (Is(query, Op::kScale) && ReadOnce(query)) {
      match->query_factor = At(query).Attribute("factor");
      match->between.push_back(query);
      query = Producer(query);
    }
    return TakePart(query, 0, match) && HasOneScale(plan_, InputSites(At(match->matmul1))[0], "uniform");
  }

  bool MatchKey(AttentionMatch* match) {
    const int transposed = Producer(match->matmul1, 1);
    if (!Is(transposed, Op::kTranspose) || !ReadOnce(transposed)) return false;
    match->between.push_back(transposed);
    return TakePart(Producer(transposed), 1, match) && HasOneScale(plan_, InputSites(At(match->matmul1))[1], "uniform");
  }

  // A split of the one linear's output that all three come from.
  bool TakePart(int split, int part, AttentionMatch* match) {
    if (!Is(split, Op::kSplitHeads) || !ReadOnce(split) || At(split).Attribute("part") != part) return false;
    const int linear = Producer(split);
    if (!Is(linear, Op::kLinear) || (match->qkv >= 0 && match->qkv != linear)) return false;
    match->qkv = linear;
    match->between.push_back(split);
    return true;
  }

  // From the softmax down: p·v, heads side by side.
  bool MatchOutput(AttentionMatch* match) {
    match->matmul2 = Reader(match->softmax, Op::kMatmul);
    if (match->matmul2 < 0 || Producer(match->matmul2, 0) != match->softmax) return false;
    match->between.push_back(match->matmul2);
    match->merge = Reader(match->matmul2, Op::kMergeHeads);
    const std::vector<std::string> sites = InputSites(At(match->matmul2));
    return match->merge >= 0 && TakePart(Producer(match->matmul2, 1), 2, match) &&
           readers_[match->qkv + 1].size() == 3 &&
           (HasOneScale(plan_, sites[0], "log_sqrt2") || HasOneScale(plan_, sites[0], "uniform")) &&
           HasOneScale(plan_, sites[1], "uniform");
  }

  const Segment& segment_;
  const QuantPlan& plan_;
  std::vector<std::vector<int>> readers_;  // by value
};

}  // namespace

std::vector<AttentionMatch> MatchAttention(const Segment& segment, const std::vector<std::vector<int64_t>>& shapes,
                                           const QuantPlan& plan) {
  std::vector<AttentionMatch> matches;
  for (size_t i = 0; i < segment.nodes.size(); ++i) {
    if (segment.nodes[i].op != Op::kSoftmax) continue;
    AttentionMatch match;
    if (!Matcher(segment, plan).Match(static_cast<int>(i), &match)) continue;
    const std::vector<int64_t>& value = shapes[segment.nodes[match.matmul2].inputs[1]];  // [N, H, T, D]
    const bool fits = value[2] <= kMostAttentionTokens && value[3] <= kMostHeadWidth && value[3] % 4 == 0;
    if (fits) matches.push_back(match);
  }
  return matches;
}

}  // namespace qwt
