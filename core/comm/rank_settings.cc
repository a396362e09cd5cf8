#include "core/comm/rank_settings.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {
namespace {

absl::StatusOr<int> IntVariable(const char* name, int smallest, int largest) {
  const char* text = std::getenv(name);
  const std::string allowed = absl::StrCat(", must be a number from ", smallest, " to ", largest);
  if (text == nullptr) return absl::InvalidArgumentError(absl::StrCat(name, " is not set", allowed));
  int value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < smallest || value > largest) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is '", text, "'", allowed));
  }
  return value;
}

}  // namespace

absl::StatusOr<RankSettings> RankSettingsFromEnvironment() {
  RankSettings settings;
  if (std::getenv("WORLD_SIZE") == nullptr) return settings;
  QWT_ASSIGN_OR_RETURN(settings.size, IntVariable("WORLD_SIZE", 1, 1'000'000));
  if (settings.size == 1) return settings;
  QWT_ASSIGN_OR_RETURN(settings.rank, IntVariable("RANK", 0, settings.size - 1));
  QWT_ASSIGN_OR_RETURN(settings.master_port, IntVariable("MASTER_PORT", 1, 65535));
  if (std::getenv("QWT_COMM_TIMEOUT_SECONDS") != nullptr) {
    QWT_ASSIGN_OR_RETURN(settings.timeout_seconds, IntVariable("QWT_COMM_TIMEOUT_SECONDS", 1, 1'000'000));
  }
  const char* address = std::getenv("MASTER_ADDR");
  if (address == nullptr || *address == '\0') {
    return absl::InvalidArgumentError("MASTER_ADDR is not set, must be the host name or address of rank 0");
  }
  settings.master_address = address;
  return settings;
}

absl::StatusOr<int> FreePort() {
  const int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (handle < 0) return ErrnoStatus(errno, "looking for a free port");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool found = bind(handle, generic, length) == 0 && getsockname(handle, generic, &length) == 0;
  const int error = errno;
  close(handle);
  if (!found) return ErrnoStatus(error, "looking for a free port");
  return ntohs(address.sin_port);
}

}  // namespace qwt
