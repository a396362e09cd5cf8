// What a network costs to run, from its graph alone: shapes, parameters, multiply-accumulates, memory.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph.h"

namespace qwt {

// The shape of each value of one segment: 0 its input, i + 1 what nodes[i] makes. The first dimension is the batch.
using SegmentShapes = std::vector<std::vector<int64_t>>;

// Of every segment, in the order of Graph::Segments(), for a batch of `batch` images. InvalidArgument naming the node
// whose inputs, parameters and attributes do not fit each other, and where the head does not make [batch, classes]. The
// graph must be valid.
absl::StatusOr<std::vector<SegmentShapes>> InferShapes(const Graph& graph, int64_t batch);

// Names of the parameters that the segment's nodes read.
std::set<std::string> ParameterNames(const Segment& segment);

struct SegmentCost {
  std::string segment;
  int64_t parameters = 0;  // values of the trained ones, each parameter once
  int64_t macs = 0;        // of the convolutions, linear layers and matmuls, for the whole batch
  int64_t peak_activation_bytes =
      0;  // most float32 values alive at once in RunNodes, the segment's input included; no scratch memory of operators
};

// Of every segment, in the order of Graph::Segments().
absl::StatusOr<std::vector<SegmentCost>> EstimateCost(const Graph& graph, int64_t batch);

// The largest of all segments, for plans; 0 for a graph whose shapes do not fit.
int64_t PeakActivationBytes(const Graph& graph, int64_t batch);

// What walking images through the network block by block holds, for plans: every image before and after a block, and
// the batches in flight; 0 for a graph whose shapes do not fit.
int64_t BlockwiseBytes(const Graph& graph, int64_t images, int64_t images_in_flight);

}  // namespace qwt
