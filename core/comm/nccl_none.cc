#include "core/base/log.h"
#include "core/comm/nccl.h"

namespace qwt {

// There are no GPUs in this build: JoinRanks asks for none.

std::string GpuAddress(at::Device device) {
  QWT_CHECK(false);
  return "";
}

std::unique_ptr<Communicator> MakeNcclCommunicator(c10::intrusive_ptr<c10d::Store> store, const RankSettings& settings,
                                                   at::Device device, std::unique_ptr<Communicator> on_cpu) {
  QWT_CHECK(false);
  return nullptr;
}

}  // namespace qwt
