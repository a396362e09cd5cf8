// The quantised network in the reference's numerics: quantise-dequantise at every site of the plan, products in
// float32.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "models/executor.h"
#include "quant/plan.h"

namespace qwt {

// Weights are quantised once, here. `plan` and `parameters` are copied (tensors shared). Runs where the parameters lie.
absl::StatusOr<std::unique_ptr<Executor>> MakeFakeQuantExecutor(const Graph& graph, const TensorMap& parameters,
                                                                const QuantPlan& plan);

}  // namespace qwt
