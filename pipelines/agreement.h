// Whether all ranks are about to do the same.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "pipelines/planner.h"

namespace qwt {

// The same status on every rank: OK where all have a plan, and plans of the same images and store keys. Otherwise rank
// 0's own fault, or the first rank's that has one, or InvalidArgument naming the stage and the rank that sees other
// images or inputs than rank 0.
absl::Status AgreeOnPlan(const absl::StatusOr<Plan>& plan, Communicator& comm);

}  // namespace qwt
