// Where a segment holds an attention that one kernel computes.
#pragma once

#include <vector>

#include "models/graph.h"
#include "quant/plan.h"

namespace qwt {

// Indices into the segment's nodes; -1: there is none. Every node between qkv and merge, those two apart, is read by
// another of them alone.
struct AttentionMatch {
  int qkv = -1;                            // makes query, key and value side by side
  int matmul1 = -1, bias = -1, mask = -1;  // q·kᵀ, what is added to it
  int softmax = -1, matmul2 = -1;
  int merge = -1;                             // its output, heads side by side
  double query_factor = 1, score_factor = 1;  // of the query before it is quantised; of q·kᵀ
  std::vector<int> between;                   // all nodes but qkv and merge
};

// shapes: of the segment's values (models/cost.h). Matches where both products are quantised as the kernel can: uniform
// sites with one scale and a whole zero point, the softmax's uniform or log_sqrt2, and tokens and heads that fit.
std::vector<AttentionMatch> MatchAttention(const Segment& segment, const std::vector<std::vector<int64_t>>& shapes,
                                           const QuantPlan& plan);

}  // namespace qwt
