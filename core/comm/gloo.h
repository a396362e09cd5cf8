// The ranks of a run over LibTorch's c10d with Gloo (TCP).
#pragma once

#include <memory>

#include "core/comm/communicator.h"
#include "core/comm/rank_settings.h"
#include "torch/csrc/distributed/c10d/Store.hpp"

namespace qwt {

// Returns when all ranks have joined; a GPU's tensors are staged through the CPU. Throws what c10d does if they do not
// join within the timeout.
std::unique_ptr<Communicator> MakeGlooCommunicator(c10::intrusive_ptr<c10d::Store> store, const RankSettings& settings);

}  // namespace qwt
