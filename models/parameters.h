// A network's parameters: name -> tensor, names as published, float32 in memory.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"

namespace qwt {

// Reads a .safetensors file for this graph and converts to float32. One error lists every missing, unexpected and
// wrongly shaped tensor with both shapes, and every tensor that holds NaN or infinity.
absl::StatusOr<TensorMap> LoadParameters(const std::string& path, const Graph& graph);
absl::Status CheckParameters(const TensorMap& parameters, const Graph& graph);

}  // namespace qwt
