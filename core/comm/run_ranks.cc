#include "core/comm/run_ranks.h"

#include <thread>
#include <vector>

#include "core/base/log.h"
#include "core/comm/gloo.h"

namespace qwt {

void RunRanks(int ranks, const std::function<void(Communicator&)>& function, int timeout_seconds) {
  const absl::StatusOr<int> port = FreePort();
  QWT_CHECK(port.ok());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([=, &function] {
      absl::StatusOr<std::unique_ptr<Communicator>> comm = MakeLocalCommunicator();
      if (ranks > 1) comm = MakeGlooCommunicator({rank, ranks, "127.0.0.1", *port, timeout_seconds});
      if (!comm.ok()) QWT_LOG(ERROR) << comm.status().ToString();
      QWT_CHECK(comm.ok());
      function(**comm);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace qwt
