#include "core/comm/communicator.h"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/gloo.h"
#include "core/comm/lifeline.h"
#include "core/comm/nccl.h"
#include "core/comm/rank_store.h"

namespace qwt {
namespace {

// Machines of a cluster have names of their own.
std::string HostName() {
  char name[128] = {};
  gethostname(name, sizeof(name) - 1);
  return name;
}

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

// The groups below hear only that a connection is lost; the lifeline knows whose, and why. It may hear a little later.
constexpr std::chrono::seconds kPatience(2);

class WatchedCommunicator : public Communicator {
 public:
  WatchedCommunicator(std::unique_ptr<Communicator> ranks, std::unique_ptr<Lifeline> lifeline)
      : lifeline_(std::move(lifeline)), ranks_(std::move(ranks)) {}
  int rank() const override { return ranks_->rank(); }
  int size() const override { return ranks_->size(); }
  absl::Status AllReduceSum(at::Tensor& tensor) override { return Explain(ranks_->AllReduceSum(tensor)); }
  absl::Status Broadcast(at::Tensor& tensor, int root) override { return Explain(ranks_->Broadcast(tensor, root)); }
  absl::Status Barrier() override { return Explain(ranks_->Barrier()); }
  void Leave(const absl::Status& status) override { lifeline_->Leave(status); }

 private:
  absl::Status Explain(const absl::Status& status) {
    if (status.ok()) return status;
    const absl::Status news = lifeline_->News(kPatience);
    return news.ok() ? status : news;
  }

  std::unique_ptr<Lifeline> lifeline_;  // the last to go
  std::unique_ptr<Communicator> ranks_;
};

// Whether every rank has a GPU that no other has: what NCCL needs.
absl::StatusOr<bool> EachHasItsGpu(at::Device device, Communicator& comm) {
  std::string gpu = device.is_cuda() ? absl::StrCat(HostName(), " ", GpuAddress(device)) : "";
  gpu.resize(256);
  at::Tensor name = at::empty({static_cast<int64_t>(gpu.size())}, at::kByte);
  std::memcpy(name.mutable_data_ptr(), gpu.data(), gpu.size());
  QWT_ASSIGN_OR_RETURN(const at::Tensor names, AllGather(name, comm));
  std::set<std::string> different;
  const auto* bytes = static_cast<const char*>(names.const_data_ptr());
  for (int rank = 0; rank < comm.size(); ++rank) {
    const std::string other(bytes + rank * gpu.size(), gpu.size());
    if (other[0] == '\0' || !different.insert(other).second) return false;
  }
  return true;
}

absl::StatusOr<std::unique_ptr<Communicator>> JoinGroups(c10::intrusive_ptr<c10d::Store> store,
                                                         const RankSettings& settings, at::Device device) {
  std::unique_ptr<Communicator> gloo = MakeGlooCommunicator(store, settings);
  QWT_ASSIGN_OR_RETURN(const bool nccl, EachHasItsGpu(device, *gloo));
  if (!nccl) return gloo;
  return MakeNcclCommunicator(std::move(store), settings, device, std::move(gloo));
}

absl::StatusOr<std::unique_ptr<Communicator>> Join(const RankSettings& settings, at::Device device) {
  c10::intrusive_ptr<c10d::Store> store = ConnectRankStore(settings);
  // First, so that a rank that ends while the groups connect is seen, too.
  QWT_ASSIGN_OR_RETURN(std::unique_ptr<Lifeline> lifeline, Lifeline::Connect(*store, settings));
  std::unique_ptr<Communicator> ranks;
  const absl::Status joined = CatchExceptions("c10d", [&]() -> absl::Status {
    QWT_ASSIGN_OR_RETURN(ranks, JoinGroups(store, settings, device));
    return absl::OkStatus();
  });
  if (!joined.ok()) {
    const absl::Status news = lifeline->News(kPatience);
    lifeline->Leave(joined);
    return news.ok() ? joined : news;
  }
  return std::make_unique<WatchedCommunicator>(std::move(ranks), std::move(lifeline));
}

}  // namespace

std::unique_ptr<Communicator> MakeLocalCommunicator() { return std::make_unique<LocalCommunicator>(); }

absl::StatusOr<std::unique_ptr<Communicator>> JoinRanks(const RankSettings& settings, at::Device device) {
  if (settings.size == 1) return MakeLocalCommunicator();
  std::unique_ptr<Communicator> ranks;
  const absl::Status status = CatchExceptions("c10d", [&]() -> absl::Status {
    QWT_ASSIGN_OR_RETURN(ranks, Join(settings, device));
    return absl::OkStatus();
  });
  if (status.ok()) return ranks;
  return absl::UnavailableError(absl::StrCat(
      "rank ", settings.rank, " of ", settings.size, ": could not join the others at ", settings.master_address, ":",
      settings.master_port, " within ", settings.timeout_seconds, " s (QWT_COMM_TIMEOUT_SECONDS): ", status.message()));
}

absl::StatusOr<at::Tensor> AllGather(const at::Tensor& tensor, Communicator& comm) {
  std::vector<int64_t> sizes = tensor.sizes().vec();
  sizes.insert(sizes.begin(), comm.size());
  if (comm.size() == 1 || tensor.numel() == 0) return tensor.clone().reshape(sizes);
  // One collective: each rank's bytes, as whole numbers, are added to the other ranks' zeros.
  constexpr int64_t kWord = sizeof(int64_t);
  const auto bytes = static_cast<int64_t>(tensor.nbytes());
  at::Tensor words = at::zeros({comm.size(), (bytes + kWord - 1) / kWord}, tensor.options().dtype(at::kLong));
  const at::Tensor own = tensor.contiguous().flatten().view(at::kByte);
  words.view(at::kByte).select(0, comm.rank()).narrow(0, 0, bytes).copy_(own);
  QWT_RETURN_IF_ERROR(comm.AllReduceSum(words));
  return words.view(at::kByte).narrow(1, 0, bytes).contiguous().view(tensor.scalar_type()).reshape(sizes);
}

}  // namespace qwt
