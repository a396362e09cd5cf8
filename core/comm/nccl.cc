#include "core/comm/nccl.h"

#define USE_C10D_NCCL  // the headers of c10d hide NCCL without it
#include <chrono>
#include <cstdlib>
#include <thread>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <utility>
#include <vector>

#include "ATen/cuda/CUDAContext.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/collective.h"

namespace qwt {
namespace {

constexpr std::chrono::microseconds kMoment(20);

// c10d's own watchdogs end a process by abort(), without a word of ours: the wait below has a timeout, and a rank that
// has gone is seen by the lifeline. Not where the user has set them.
void TurnOffWatchdogs() {
  setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", 0);
  setenv("TORCH_NCCL_ENABLE_MONITORING", "0", 0);
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(c10::intrusive_ptr<c10d::Store> store, const RankSettings& settings, at::Device device,
                   std::unique_ptr<Communicator> on_cpu)
      : settings_(settings), device_(device), on_cpu_(std::move(on_cpu)) {
    TurnOffWatchdogs();
    auto options = c10d::ProcessGroupNCCL::Options::create();
    // Later than the wait below, which says what it waited for.
    options->timeout = std::chrono::seconds(2 * settings.timeout_seconds + 60);
    group_ =
        c10::make_intrusive<c10d::ProcessGroupNCCL>(std::move(store), settings.rank, settings.size, std::move(options));
    group_->eagerConnectSingleDevice(device);
    // The first collective of a kind finds its way between the GPUs: now, not in the middle of the work.
    std::vector<at::Tensor> tensors = {at::zeros({1}, at::TensorOptions(at::kLong).device(device))};
    group_->allreduce(tensors)->wait(std::chrono::seconds(settings.timeout_seconds));
    group_->broadcast(tensors)->wait(std::chrono::seconds(settings.timeout_seconds));
  }

  ~NcclCommunicator() override {
    // After a failure the group may still have a kernel that waits for a rank that is gone; the end of the process,
    // which follows, removes both. Taking it down in order would wait for it.
    if (failed_) {
      group_->abort();
      group_.release();
      return;
    }
    group_->shutdown();
  }

  int rank() const override { return settings_.rank; }
  int size() const override { return settings_.size; }

  absl::Status AllReduceSum(at::Tensor& tensor) override {
    if (tensor.device().is_cpu()) return on_cpu_->AllReduceSum(tensor);
    QWT_CHECK(CanBeSummed(tensor) && tensor.device() == device_);
    if (tensor.numel() == 0) return absl::OkStatus();
    // NCCL leaves identical copies of the sum on all ranks.
    std::vector<at::Tensor> tensors = {tensor};
    return Wait(NameCollective("all-reduce", tensor), [&] { return group_->allreduce(tensors); });
  }

  absl::Status Broadcast(at::Tensor& tensor, int root) override {
    if (tensor.device().is_cpu()) return on_cpu_->Broadcast(tensor, root);
    QWT_CHECK(tensor.is_contiguous() && tensor.device() == device_);
    QWT_CHECK(root >= 0 && root < size());
    if (tensor.numel() == 0) return absl::OkStatus();
    // As bytes: NCCL does not know every dtype. A view of the same memory.
    std::vector<at::Tensor> tensors = {tensor.view({-1}).view(at::kByte)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    return Wait(NameCollective(absl::StrCat("broadcast from rank ", root), tensor),
                [&] { return group_->broadcast(tensors, options); });
  }

  absl::Status Barrier() override { return on_cpu_->Barrier(); }

 private:
  template <typename Start>
  absl::Status Wait(const std::string& collective, Start&& start) {
    const absl::Status status = CatchExceptions("NCCL", [&] {
      const c10::intrusive_ptr<c10d::Work> work = start();
      // c10d's wait with a timeout looks once a millisecond; most collectives of a fit take less, and there are many.
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(settings_.timeout_seconds);
      while (!work->isCompleted() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(kMoment);
      work->wait(std::chrono::milliseconds(1));  // at once where it is done; throws where it failed or is late
      return absl::OkStatus();
    });
    if (status.ok()) return status;
    failed_ = true;
    return CollectiveFailed(settings_, collective, status.message());
  }

  RankSettings settings_;
  at::Device device_;
  std::unique_ptr<Communicator> on_cpu_;
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
  bool failed_ = false;
};

}  // namespace

std::string GpuAddress(at::Device device) {
  const cudaDeviceProp& gpu = *at::cuda::getDeviceProperties(device.index());
  // Its parts, where one GPU is divided, have the same address and names of their own.
  return absl::StrFormat("%04x:%02x:%02x/%s", gpu.pciDomainID, gpu.pciBusID, gpu.pciDeviceID,
                         absl::BytesToHexString(absl::string_view(gpu.uuid.bytes, sizeof(gpu.uuid.bytes))));
}

std::unique_ptr<Communicator> MakeNcclCommunicator(c10::intrusive_ptr<c10d::Store> store, const RankSettings& settings,
                                                   at::Device device, std::unique_ptr<Communicator> on_cpu) {
  return std::make_unique<NcclCommunicator>(std::move(store), settings, device, std::move(on_cpu));
}

}  // namespace qwt
