// A quant method: which quantiser at which site, and rewrites such as re-parameterisation. One folder in quant/methods/
// each.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "core/registry/registry.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/plan.h"

namespace qwt {

class QuantMethod {
 public:
  virtual ~QuantMethod() = default;
  // What each site gets while calibrating. InvalidArgument for a network the method cannot quantise, saying why.
  virtual absl::StatusOr<QuantSpecs> Specs(const Graph& graph) const = 0;
  // After calibration: may change parameters and sites, and give a layer a bias that it lacks. A weight site whose
  // weight it changed is erased from the plan; SolveWeights fills it again.
  virtual absl::Status Rewrite(Graph* graph, TensorMap* parameters, QuantPlan* plan) const { return absl::OkStatus(); }
};

// Every method's schema holds weight_bits and activation_bits (2 to 8).
inline constexpr char kQuantMethodKind[] = "quant method";
using QuantMethodRegistry = Registry<std::unique_ptr<QuantMethod>, kQuantMethodKind>;

}  // namespace qwt
