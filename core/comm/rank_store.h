// The store of keys at MASTER_ADDR:MASTER_PORT through which ranks find each other.
#pragma once

#include "core/comm/rank_settings.h"
#include "torch/csrc/distributed/c10d/Store.hpp"

namespace qwt {

// Served by rank 0, or by torchrun's agent where that says so. Throws what c10d does if it cannot be reached.
c10::intrusive_ptr<c10d::Store> ConnectRankStore(const RankSettings& settings);

}  // namespace qwt
