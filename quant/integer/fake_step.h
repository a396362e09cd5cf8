// What cannot run as integers.
#pragma once

#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"
#include "quant/integer/steps.h"
#include "quant/plan.h"

namespace qwt {

// A node in the fake quantiser's numerics: of its inputs, floats, to its output.
absl::StatusOr<StepFunction> FakeStep(const Node& node, const TensorMap& parameters, const QuantPlan& plan,
                                      at::Device device);

}  // namespace qwt
