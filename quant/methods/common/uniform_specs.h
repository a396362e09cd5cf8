// What the methods share: options, and uniform quantisers everywhere (algorithms section 1).
#pragma once

#include <vector>

#include "core/config/schema.h"
#include "models/graph.h"
#include "quant/plan.h"

namespace qwt {

struct UniformOptions {
  int weight_bits = 4;
  int activation_bits = 4;
  std::vector<double> percentiles;
};

Option WeightBitsOption();
Option ActivationBitsOption();
Option PercentilesOption();  // by default the reference's three
UniformOptions ReadUniformOptions(const Options& options, std::vector<double> percentiles);

// Weights per output channel, activations per tensor; 8 bits for both at the first convolution and the classifiers.
QuantSpecs UniformSpecs(const Graph& graph, const UniformOptions& options);

}  // namespace qwt
