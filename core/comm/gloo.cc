#include "core/comm/gloo.h"

#define USE_C10D_GLOO  // the headers of c10d hide Gloo without it
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <utility>
#include <vector>

#include "ATen/ops/from_blob.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/collective.h"

namespace qwt {
namespace {

// The address of this machine on the way to `host`, as other ranks can reach it; "" where the name does not resolve. A
// machine's own name, which Gloo would take by default, often resolves to a loopback address.
std::string AddressTowards(const std::string& host) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;  // connecting a datagram socket sends nothing, but chooses the route
  if (getaddrinfo(host.c_str(), "9", &hints, &found) != 0) return "";
  std::string address;
  for (addrinfo* info = found; info != nullptr && address.empty(); info = info->ai_next) {
    const int handle = socket(info->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0) continue;
    sockaddr_storage own;
    socklen_t length = sizeof(own);
    auto* generic = reinterpret_cast<sockaddr*>(&own);
    char text[NI_MAXHOST];
    if (connect(handle, info->ai_addr, info->ai_addrlen) == 0 && getsockname(handle, generic, &length) == 0 &&
        getnameinfo(generic, length, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0) {
      address = text;
    }
    close(handle);
  }
  freeaddrinfo(found);
  return address;
}

std::shared_ptr<gloo::transport::Device> MakeDevice(const std::string& master_address) {
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (interface != nullptr && *interface != '\0') return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  const std::string own = AddressTowards(master_address);
  return own.empty() ? c10d::ProcessGroupGloo::createDefaultDevice()
                     : c10d::ProcessGroupGloo::createDeviceForHostname(own);
}

class GlooCommunicator : public Communicator {
 public:
  GlooCommunicator(c10::intrusive_ptr<c10d::Store> store, const RankSettings& settings) : settings_(settings) {
    auto options = c10d::ProcessGroupGloo::Options::create(std::chrono::seconds(settings.timeout_seconds));
    options->devices.push_back(MakeDevice(settings.master_address));
    group_ =
        c10::make_intrusive<c10d::ProcessGroupGloo>(std::move(store), settings.rank, settings.size, std::move(options));
    // Rank 0 serves the addresses: it may not leave before everybody has read them.
    group_->barrier()->wait();
  }

  int rank() const override { return settings_.rank; }
  int size() const override { return settings_.size; }

  absl::Status AllReduceSum(at::Tensor& tensor) override {
    QWT_CHECK(CanBeSummed(tensor));
    if (tensor.numel() == 0) return absl::OkStatus();
    return OnCpu(tensor, [&](at::Tensor& on_cpu) {
      std::vector<at::Tensor> tensors = {on_cpu};
      return Wait(NameCollective("all-reduce", tensor), [&] { return group_->allreduce(tensors); });
    });
  }

  absl::Status Broadcast(at::Tensor& tensor, int root) override {
    QWT_CHECK(tensor.is_contiguous());
    QWT_CHECK(root >= 0 && root < size());
    if (tensor.numel() == 0) return absl::OkStatus();
    return OnCpu(tensor, [&](at::Tensor& on_cpu) {
      // As bytes: Gloo does not know every dtype.
      const auto bytes = static_cast<int64_t>(on_cpu.nbytes());
      std::vector<at::Tensor> tensors = {at::from_blob(on_cpu.mutable_data_ptr(), {bytes}, at::kByte)};
      c10d::BroadcastOptions options;
      options.rootRank = root;
      return Wait(NameCollective(absl::StrCat("broadcast from rank ", root), tensor),
                  [&] { return group_->broadcast(tensors, options); });
    });
  }

  absl::Status Barrier() override {
    return Wait("barrier", [&] { return group_->barrier(); });
  }

 private:
  // operation(tensor), or on a copy on the CPU that is copied back.
  template <typename Operation>
  static absl::Status OnCpu(at::Tensor& tensor, Operation&& operation) {
    if (tensor.device().is_cpu()) return operation(tensor);
    at::Tensor copy = tensor.to(at::kCPU);
    QWT_RETURN_IF_ERROR(operation(copy));
    tensor.copy_(copy);
    return absl::OkStatus();
  }

  template <typename Start>
  absl::Status Wait(const std::string& collective, Start&& start) {
    const absl::Status status = CatchExceptions("Gloo", [&] {
      start()->wait();
      return absl::OkStatus();
    });
    if (status.ok()) return status;
    return CollectiveFailed(settings_, collective, status.message());
  }

  RankSettings settings_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

std::unique_ptr<Communicator> MakeGlooCommunicator(c10::intrusive_ptr<c10d::Store> store,
                                                   const RankSettings& settings) {
  return std::make_unique<GlooCommunicator>(std::move(store), settings);
}

}  // namespace qwt
