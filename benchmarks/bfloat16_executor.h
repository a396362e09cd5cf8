// What LibTorch itself makes of a network in bfloat16: the graph's operators one by one, each attention as
// scaled_dot_product_attention.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "models/executor.h"

namespace qwt {

// parameters: float32, where it shall run. Batches are bfloat16. Images keep the order [N, C, height, width].
absl::StatusOr<std::unique_ptr<Executor>> MakeBfloat16Executor(const Graph& graph, const TensorMap& parameters);

}  // namespace qwt
