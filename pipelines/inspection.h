// A network as figures: what //models:inspect prints (docs/inspect.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/weight_statistics.h"

namespace qwt {

// MB (1e6 bytes) of parameters as the reference counts them (quant/size.h): quantised weights at 4 or 8 bits, those
// that every published method keeps at 8 at 8, all else as float32.
struct ParameterSizes {
  double w4 = 0, w8 = 0, w32 = 0;
};

struct SegmentInspection {
  std::string name;
  std::vector<int64_t> output;        // of one image: [197, 384]
  int64_t parameters = 0;             // values
  int64_t macs = 0;                   // multiply-accumulates of the whole batch
  int64_t peak_activation_bytes = 0;  // of the whole batch (models/cost.h)
  int weight_sites = 0, activation_sites = 0;
  ParameterSizes size_mb;
};

struct ParameterInspection {
  std::string name;
  std::vector<int64_t> shape;
  std::string segment;
  std::string site;  // "" for what stays float32
  // Smallest and largest value; none before InspectWeights.
  std::optional<std::pair<double, double>> range = std::nullopt;
};

struct WeightInspection {
  std::string name;  // the parameter's
  std::vector<int64_t> shape;
  bool at_border;  // 8 bits in every published method
  WeightStatistics statistics;
};

struct NetworkInspection {
  std::string model;
  std::vector<int64_t> input;                   // of one image: [channels, height, width]
  int64_t batch = 1;                            // images
  std::vector<SegmentInspection> segments;      // in running order
  SegmentInspection totals;                     // peak_activation_bytes: the largest
  std::vector<ParameterInspection> parameters;  // in the graph's order
  std::vector<WeightInspection> weights;        // those with a site, in the network's order; empty without parameters
};

// The graph must be valid. InvalidArgument, naming the node, where shapes do not fit.
absl::StatusOr<NetworkInspection> InspectNetwork(const Graph& graph, int64_t batch);

// Adds what the parameters' values tell. They must fit the graph (CheckParameters).
absl::Status InspectWeights(const Graph& graph, const TensorMap& parameters, int threads, NetworkInspection* network);

// The weights with the lowest signal over noise at four bits, the lowest first, at most `count`; what is at the border
// or has no error is not among them.
inline constexpr size_t kHardestListed = 5;
std::vector<const WeightInspection*> HardestWeights(const NetworkInspection& network, size_t count);

// For a terminal of 120 columns; a line for each parameter where asked for.
std::string InspectionToText(const NetworkInspection& network, bool parameters);
// Everything, as docs/inspect.md describes it.
std::string InspectionToJson(const NetworkInspection& network);

}  // namespace qwt
