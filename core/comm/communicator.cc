#include "core/comm/communicator.h"

#include <vector>

#include "ATen/ops/empty.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/gloo.h"
#include "core/comm/rank_settings.h"

namespace qwt {
namespace {

class LocalCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  absl::Status AllReduceSum(at::Tensor& tensor) override { return absl::OkStatus(); }
  absl::Status Broadcast(at::Tensor& tensor, int root) override {
    QWT_CHECK(root == 0);
    return absl::OkStatus();
  }
  absl::Status Barrier() override { return absl::OkStatus(); }
};

}  // namespace

std::unique_ptr<Communicator> MakeLocalCommunicator() { return std::make_unique<LocalCommunicator>(); }

absl::StatusOr<std::unique_ptr<Communicator>> JoinRanks() {
  QWT_ASSIGN_OR_RETURN(const RankSettings settings, RankSettingsFromEnvironment());
  if (settings.size == 1) return MakeLocalCommunicator();
  return MakeGlooCommunicator(settings);
}

absl::StatusOr<at::Tensor> AllGather(const at::Tensor& tensor, Communicator& comm) {
  std::vector<int64_t> sizes = tensor.sizes().vec();
  sizes.insert(sizes.begin(), comm.size());
  at::Tensor gathered = at::empty(sizes, tensor.scalar_type());
  gathered.select(0, comm.rank()).copy_(tensor);
  for (int rank = 0; rank < comm.size(); ++rank) {
    at::Tensor slot = gathered.select(0, rank);
    QWT_RETURN_IF_ERROR(comm.Broadcast(slot, rank));
  }
  return gathered;
}

}  // namespace qwt
