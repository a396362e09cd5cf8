#include "core/comm/run_ranks.h"

#include <thread>
#include <vector>

#include "core/base/log.h"
#include "core/comm/gloo.h"
#include "core/comm/rank_store.h"

namespace qwt {

void RunRanks(int ranks, const std::function<void(Communicator&)>& function, int timeout_seconds) {
  const absl::StatusOr<int> port = FreePort();
  QWT_CHECK(port.ok());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([=, &function] {
      std::unique_ptr<Communicator> comm = MakeLocalCommunicator();
      if (ranks > 1) {
        const RankSettings settings = {rank, ranks, rank, ranks, "127.0.0.1", *port, timeout_seconds};
        comm = MakeGlooCommunicator(ConnectRankStore(settings), settings);
      }
      function(*comm);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace qwt
