#include "core/comm/lifeline_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"

namespace qwt {
namespace {

// All ranks run the same program on the same kind of machine: fields go as they lie in memory.
struct Header {
  int32_t rank, code, length;
};
constexpr size_t kLongestText = 4000;  // with its header it fits every socket's buffer at once
constexpr int kSecondsForWords = 5;    // between a connection and its words, or the parts of one

struct Hello {
  int32_t rank;
  char secret[16];
};
Hello MakeHello(int rank, const std::string& secret) {
  Hello hello = {rank, {}};
  std::memcpy(hello.secret, secret.data(), std::min(secret.size(), sizeof(hello.secret)));
  return hello;
}

template <typename T>
void SetOption(int handle, int level, int option, T value) {
  setsockopt(handle, level, option, &value, sizeof(value));
}

// A peer's kernel answers probes also while the process is paused; after half a minute without an answer the machine
// is gone.
void Prepare(int handle) {
  SetOption(handle, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(handle, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  SetOption(handle, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  SetOption(handle, IPPROTO_TCP, TCP_KEEPCNT, 4);
  SetOption(handle, SOL_SOCKET, SO_RCVTIMEO, timeval{kSecondsForWords, 0});
}

bool ReceiveAll(int handle, void* data, size_t size) {
  auto* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t received = recv(handle, bytes, size, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) return false;
    bytes += received;
    size -= received;
  }
  return true;
}

// The rank that speaks on a new connection; 0 for a stranger.
int RankOf(int handle, int ranks, const std::string& secret) {
  Hello hello = {};
  if (!ReceiveAll(handle, &hello, sizeof(hello)) || hello.rank < 1 || hello.rank >= ranks) return 0;
  const Hello expected = MakeHello(hello.rank, secret);
  return std::memcmp(&hello, &expected, sizeof(hello)) == 0 ? hello.rank : 0;
}

absl::Status NotThere(const std::vector<int>& connections) {
  std::vector<int> missing;
  for (size_t i = 0; i < connections.size(); ++i) {
    if (connections[i] < 0) missing.push_back(static_cast<int>(i) + 1);
  }
  return absl::UnavailableError(
      absl::StrCat(missing.size() == 1 ? "rank " : "ranks ", absl::StrJoin(missing, ", "), " did not come"));
}

}  // namespace

void SendLastWord(int handle, const LastWord& word) {
  const std::string text(word.status.message().substr(0, kLongestText));
  const Header header = {word.rank, static_cast<int32_t>(word.status.code()), static_cast<int32_t>(text.size())};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes += text;
  // The end of a connection is as good a word as one that cannot be sent.
  [[maybe_unused]] const ssize_t sent = send(handle, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

std::optional<LastWord> ReceiveLastWord(int handle) {
  Header header = {};
  if (!ReceiveAll(handle, &header, sizeof(header)) || header.length < 0 || header.length > kLongestText) {
    return std::nullopt;
  }
  std::string text(header.length, '\0');
  if (!ReceiveAll(handle, text.data(), text.size())) return std::nullopt;
  return LastWord{header.rank, absl::Status(static_cast<absl::StatusCode>(header.code), text)};
}

absl::StatusOr<Listener> Listen() {
  Listener listener;
  // One of IPv6 takes IPv4's connections, too, where the machine has IPv6 at all.
  for (int family : {AF_INET6, AF_INET}) {
    listener.handle = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener.handle < 0) continue;
    if (family == AF_INET6) SetOption(listener.handle, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    sockaddr_storage address = {};
    address.ss_family = static_cast<sa_family_t>(family);
    socklen_t length = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener.handle, generic, length) == 0 && listen(listener.handle, SOMAXCONN) == 0 &&
        getsockname(listener.handle, generic, &length) == 0) {
      listener.port = ntohs(family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                               : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
      return listener;
    }
    const int error = errno;
    close(listener.handle);
    errno = error;
  }
  return ErrnoStatus(errno, "listening for the other ranks");
}

absl::StatusOr<int> ConnectTo(const std::string& address, int port, int rank, const std::string& secret) {
  const std::string where = absl::StrCat("connecting to ", address, ":", port);
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int error = getaddrinfo(address.c_str(), absl::StrCat(port).c_str(), &hints, &found); error != 0) {
    return absl::UnavailableError(absl::StrCat(where, ": ", gai_strerror(error)));
  }
  int handle = -1, error = 0;
  for (const addrinfo* info = found; info != nullptr && handle < 0; info = info->ai_next) {
    handle = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (handle >= 0 && connect(handle, info->ai_addr, info->ai_addrlen) == 0) break;
    error = errno;
    if (handle >= 0) close(handle);
    handle = -1;
  }
  freeaddrinfo(found);
  if (handle < 0) return absl::UnavailableError(absl::StrCat(where, ": ", std::strerror(error)));
  Prepare(handle);
  const Hello hello = MakeHello(rank, secret);
  [[maybe_unused]] const ssize_t sent = send(handle, &hello, sizeof(hello), MSG_NOSIGNAL);
  return handle;
}

absl::StatusOr<std::vector<int>> AcceptRanks(int listener, int ranks, const std::string& secret,
                                             std::chrono::steady_clock::time_point deadline) {
  std::vector<int> connections(ranks - 1, -1);
  while (std::count(connections.begin(), connections.end(), -1) > 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting = {listener, POLLIN, 0};
    if (left.count() <= 0 || (poll(&waiting, 1, static_cast<int>(left.count())) < 0 && errno != EINTR)) {
      for (int handle : connections) close(handle);
      return NotThere(connections);
    }
    const int handle = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (handle < 0) continue;
    Prepare(handle);
    const int rank = RankOf(handle, ranks, secret);
    if (rank > 0 && connections[rank - 1] < 0) {
      connections[rank - 1] = handle;
    } else {
      close(handle);
    }
  }
  return connections;
}

}  // namespace qwt
