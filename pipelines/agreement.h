// Whether all ranks are about to do the same.
#pragma once

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "pipelines/planner.h"

namespace qwt {

// The same status on every rank: OK where it is OK on all. Otherwise rank 0's, or "on rank 2 alone:\n…" of the first
// rank that has another.
absl::Status AgreeOnStatus(const absl::Status& status, Communicator& comm);

// The same status on every rank: OK where all compute on the same kind of device, otherwise InvalidArgument: CPUs and
// GPUs do not round alike.
absl::Status AgreeOnDevice(at::Device device, Communicator& comm);

// Every rank's batch sizes become the smallest that any rank has chosen: how images are cut must not depend on who has
// more free memory.
absl::Status AgreeOnBatchSizes(Plan* plan, Communicator& comm);

// The same status on every rank: OK where all have a plan, and plans of the same images and store keys. Otherwise rank
// 0's own fault, or the first rank's that has one, or InvalidArgument naming the stage and the rank that sees other
// images or inputs than rank 0.
absl::Status AgreeOnPlan(const absl::StatusOr<Plan>& plan, Communicator& comm);

}  // namespace qwt
