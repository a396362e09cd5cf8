// For tests: several Gloo ranks as threads of one process, over 127.0.0.1.
#pragma once

#include <functional>

#include "core/comm/communicator.h"

namespace qwt {

// Calls function(communicator) on `ranks` threads and returns when all have ended. A rank's communicator goes away when
// its function returns. There is no lifeline: threads do not end alone. Throws if the ranks cannot join each other.
void RunRanks(int ranks, const std::function<void(Communicator&)>& function, int timeout_seconds = 60);

}  // namespace qwt
