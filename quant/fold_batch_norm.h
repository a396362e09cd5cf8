// BatchNorm by running statistics is a factor and a shift for each channel, which a convolution can take over.
#pragma once

#include "absl/status/status.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"

namespace qwt {

// Folds every BatchNorm that alone reads a convolution into it: W <- W·γ/√(σ²+ε) for each output channel, bias <- β +
// (bias - μ)·γ/√(σ²+ε), computed in float64. The BatchNorm's node and parameters are gone after; the convolution keeps
// its name and has a bias, NAME.bias where it had none. FailedPrecondition where a parameter is missing.
absl::Status FoldBatchNorms(Graph* graph, TensorMap* parameters);

}  // namespace qwt
