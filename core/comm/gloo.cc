#include "core/comm/gloo.h"

#define USE_C10D_GLOO  // the headers of c10d hide Gloo without it
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>

#include "ATen/ops/from_blob.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"

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
  explicit GlooCommunicator(const RankSettings& settings) : settings_(settings) {
    const std::chrono::seconds timeout(settings.timeout_seconds);
    c10d::TCPStoreOptions store_options;
    store_options.port = settings.master_port;
    // torchrun's agent serves this port itself and says so.
    const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
    store_options.isServer = settings.rank == 0 && (agent == nullptr || std::string(agent) != "True");
    store_options.waitWorkers = false;  // Gloo waits for them when it connects
    store_options.timeout = timeout;
    auto tcp_store = c10::make_intrusive<c10d::TCPStore>(settings.master_address, store_options);
    const char* restarts = std::getenv("TORCHELASTIC_RESTART_COUNT");
    store_ =
        c10::make_intrusive<c10d::PrefixStore>(absl::StrCat("qwt/", restarts == nullptr ? "0" : restarts), tcp_store);
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(MakeDevice(settings.master_address));
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store_, settings.rank, settings.size, options);
  }

  int rank() const override { return settings_.rank; }
  int size() const override { return settings_.size; }

  absl::Status AllReduceSum(at::Tensor& tensor) override {
    QWT_CHECK(tensor.is_contiguous() && tensor.device().is_cpu());
    QWT_CHECK(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble ||
              tensor.scalar_type() == at::kLong);
    if (tensor.numel() == 0) return absl::OkStatus();
    std::vector<at::Tensor> tensors = {tensor};
    return Wait("all-reduce", [&] { return group_->allreduce(tensors); });
  }

  absl::Status Broadcast(at::Tensor& tensor, int root) override {
    QWT_CHECK(tensor.is_contiguous() && tensor.device().is_cpu());
    QWT_CHECK(root >= 0 && root < size());
    if (tensor.numel() == 0) return absl::OkStatus();
    // As bytes: Gloo does not know every dtype.
    const auto bytes = static_cast<int64_t>(tensor.nbytes());
    std::vector<at::Tensor> tensors = {at::from_blob(tensor.mutable_data_ptr(), {bytes}, at::kByte)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    return Wait(absl::StrCat("broadcast from rank ", root), [&] { return group_->broadcast(tensors, options); });
  }

  absl::Status Barrier() override {
    return Wait("barrier", [&] { return group_->barrier(); });
  }

 private:
  template <typename Start>
  absl::Status Wait(const std::string& operation, Start&& start) {
    const absl::Status status = CatchExceptions("Gloo", [&] {
      start()->wait();
      return absl::OkStatus();
    });
    if (status.ok()) return status;
    return absl::UnavailableError(absl::StrCat(
        "rank ", rank(), " of ", size(), ": ", operation, " failed: another rank has ended or is more than ",
        settings_.timeout_seconds, " s late (QWT_COMM_TIMEOUT_SECONDS): ", status.message()));
  }

  RankSettings settings_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeGlooCommunicator(const RankSettings& settings) {
  std::unique_ptr<Communicator> communicator;
  absl::Status status = CatchExceptions("Gloo", [&] {
    communicator = std::make_unique<GlooCommunicator>(settings);
    // Rank 0 serves the addresses: it may not leave before everybody has read them.
    return communicator->Barrier();
  });
  if (status.ok()) return communicator;
  return absl::UnavailableError(absl::StrCat(
      "rank ", settings.rank, " of ", settings.size, ": could not join the others at ", settings.master_address, ":",
      settings.master_port, " within ", settings.timeout_seconds, " s (QWT_COMM_TIMEOUT_SECONDS): ", status.message()));
}

}  // namespace qwt
