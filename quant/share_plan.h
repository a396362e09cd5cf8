// A plan that one rank has found, on all ranks.
#pragma once

#include "absl/status/status.h"
#include "core/comm/communicator.h"
#include "quant/plan.h"

namespace qwt {

// Replaces every rank's plan by rank 0's, bit for bit. Its sites are those of `specs`, which are the same on all ranks.
absl::Status SharePlan(const QuantSpecs& specs, QuantPlan* plan, Communicator& comm);

}  // namespace qwt
