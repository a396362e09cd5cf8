// The quantised network as integers: the codes and sums that the fake quantiser's numerics stand for, on matrix units.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "models/executor.h"
#include "quant/integer/added_product.h"
#include "quant/plan.h"

namespace qwt {

// As MakeFakeQuantExecutor, whose outputs it gives to within float32's roundings as long as no code differs; a code
// differs where the value before it is rounded lies on the edge of two. Re-parameterised sites with a fractional zero
// point hold clamped values to within a small part of a step (quant/integer/carrier.h). What cannot run as integers
// runs as there. On a CPU threads share a batch's images; products are fast where HasInt8Products(), plain loops
// elsewhere. added: where the parameters lie; on GPUs alone.
absl::StatusOr<std::unique_ptr<Executor>> MakeIntegerExecutor(const Graph& graph, const TensorMap& parameters,
                                                              const QuantPlan& plan, const AddedProducts& added = {});

}  // namespace qwt
