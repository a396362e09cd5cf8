// A network's parameters: name -> tensor, names as published, float32 in memory.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"

namespace qwt {

struct Weights {
  std::vector<std::string> files;  // in any format of models/checkpoints/checkpoint.h; shards of one network
  std::string class_map = "";      // models/checkpoints/class_map.h; "": the checkpoint's classes as they are
};

// Reads the files for this graph, whatever layout of models/checkpoints/layout.h they have, and converts to float32. A
// position embedding of another image size is interpolated. One InvalidArgument lists every missing, unexpected and
// wrongly shaped tensor with both shapes, every tensor that holds NaN or infinity, and says which network's names the
// file has if they are known. NotFound, DataLoss: of a file that cannot be read.
absl::StatusOr<TensorMap> LoadParameters(const Weights& weights, const Graph& graph);

// The same check of parameters that are in memory.
absl::Status CheckParameters(const TensorMap& parameters, const Graph& graph);

}  // namespace qwt
