// The ranks of a run over LibTorch's c10d with Gloo (TCP, CPU tensors).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "core/comm/rank_settings.h"

namespace qwt {

// Returns when all ranks have joined. Unavailable, naming rank and address, if they have not within the timeout.
absl::StatusOr<std::unique_ptr<Communicator>> MakeGlooCommunicator(const RankSettings& settings);

}  // namespace qwt
