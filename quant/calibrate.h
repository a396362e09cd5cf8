// Calibration: scales for every site, found in the network's order, each on inputs that the sites before it have
// already quantised (as the reference does). A value is held for all calibration images at once, node by node.
#pragma once

#include <functional>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "quant/plan.h"

namespace qwt {

// batches: this rank's micro-batches of images, float32 [n, 3, height, width], where the parameters lie too: there
// everything is computed. The plan lies on the CPU. `progress` (may be empty) hears the
// number of nodes done and in all. Ranks get equal plans to the last bit whatever their shares. InvalidArgument naming
// the site for NaN or infinity.
absl::StatusOr<QuantPlan> Calibrate(const Graph& graph, const TensorMap& parameters, const QuantSpecs& specs,
                                    const std::vector<at::Tensor>& batches, Communicator& comm, int threads,
                                    const std::function<void(int64_t done, int64_t total)>& progress);

// Searches the weight sites of `specs` that the plan lacks, from the parameters alone.
absl::Status SolveWeights(const Graph& graph, const TensorMap& parameters, const QuantSpecs& specs, int threads,
                          QuantPlan* plan);

}  // namespace qwt
