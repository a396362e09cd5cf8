#include "core/comm/rank_store.h"

#include <chrono>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "torch/csrc/distributed/c10d/PrefixStore.hpp"
#include "torch/csrc/distributed/c10d/TCPStore.hpp"

namespace qwt {

c10::intrusive_ptr<c10d::Store> ConnectRankStore(const RankSettings& settings) {
  c10d::TCPStoreOptions options;
  options.port = settings.master_port;
  // torchrun's agent serves this port itself and says so.
  const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
  options.isServer = settings.rank == 0 && (agent == nullptr || std::string(agent) != "True");
  options.waitWorkers = false;  // the lifeline waits for them
  options.timeout = std::chrono::seconds(settings.timeout_seconds);
  // The agent's store outlives a restart of the ranks; what the ranks before wrote must not be read.
  const char* restarts = std::getenv("TORCHELASTIC_RESTART_COUNT");
  return c10::make_intrusive<c10d::PrefixStore>(absl::StrCat("qwt/", restarts == nullptr ? "0" : restarts),
                                                c10::make_intrusive<c10d::TCPStore>(settings.master_address, options));
}

}  // namespace qwt
