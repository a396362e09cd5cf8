// The codes that the integer executor makes against the fake quantiser's, site by site from the same input.
//
// The fake quantiser is computed in float64 here: its float32 sums of a layer, which follow its device's order, stray
// from these by more than the integers do. A value on the edge of two codes may take either: on an edge is what lies
// within 1e-4 of a step of half way between two codes; of more than 6 bits, whose steps are finer than float32 knows a
// layer's values to, within that of a step of 6 bits. Such a code is counted, then set to the fake quantiser's before
// anything reads it: what follows is compared as if no code differed, and a difference at one site never shows at
// another. An attention's probabilities have codes that no one sees; queries with one on an edge are left out of its
// output, and set likewise.
#pragma once

#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "models/graph.h"
#include "quant/plan.h"

namespace qwt {

struct SiteComparison {
  std::string site;
  int64_t elements = 0;     // compared
  int64_t left_out = 0;     // not compared
  int64_t differing = 0;    // codes that are not the fake quantiser's
  int64_t unexplained = 0;  // of these: off the edges, or further than the next code
};

struct SegmentComparison {
  std::string segment;
  std::vector<SiteComparison> sites;  // in the order in which their codes are made
  double output_error = 0;            // largest, in standard deviations of the fake quantiser's output
};

// Every segment whose name is in `only`, all where that is empty, each on what the fake quantiser makes of the images
// before it. Runs where the parameters lie; images: float32 [N, C, height, width] there. The test fails where a
// segment does.
std::vector<SegmentComparison> CompareCodes(const Graph& graph, const TensorMap& parameters, const QuantPlan& plan,
                                            const at::Tensor& images, const std::vector<std::string>& only = {});

// No code differs off an edge, fewer than 0.1 % differ on one, at least half of each site is compared, and outputs are
// within 1e-4 of their standard deviation. Failures say where and give the counts.
void ExpectSameCodes(const std::vector<SegmentComparison>& segments);

}  // namespace qwt
