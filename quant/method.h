// A quant method: which quantiser at which site, and rewrites such as re-parameterisation. One folder in quant/methods/
// each. The way of a network: Prepare, Specs, Calibrate (quant/calibrate.h), Rewrite, SolveWeights.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/registry/registry.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/plan.h"

namespace qwt {

class QuantMethod {
 public:
  virtual ~QuantMethod() = default;
  // Before calibration: may change the network into one that computes the same and has the same sites.
  virtual absl::Status Prepare(Graph* graph, TensorMap* parameters) const { return absl::OkStatus(); }
  // What each site gets while calibrating, the same before and after Prepare. InvalidArgument for a network that the
  // method cannot quantise and for options that do not fit it, saying where they stand.
  virtual absl::StatusOr<QuantSpecs> Specs(const Graph& graph) const = 0;
  // After calibration: may change parameters and sites, and give a layer a bias that it lacks. A weight site whose
  // weight it changed is erased from the plan; SolveWeights fills it again.
  virtual absl::Status Rewrite(Graph* graph, TensorMap* parameters, QuantPlan* plan) const { return absl::OkStatus(); }
};

// Every method's schema holds what UniformMethodSchema does (quant/methods/common): weight_bits and activation_bits (2
// to 8) and the rest.
inline constexpr char kQuantMethodKind[] = "quant method";
using QuantMethodRegistry = Registry<std::unique_ptr<QuantMethod>, kQuantMethodKind>;

// options: of a config's `quantize` section. NotFound for an unknown name, naming those there are.
absl::StatusOr<std::unique_ptr<QuantMethod>> MakeQuantMethod(const std::string& name, const Options& options);

}  // namespace qwt
