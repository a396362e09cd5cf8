#include "core/comm/rank_settings.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/comm/slurm.h"

namespace qwt {
namespace {

// What the environment says, then what SLURM does.
class Variables {
 public:
  explicit Variables(std::map<std::string, std::string> slurm) : slurm_(std::move(slurm)) {}

  std::optional<std::string> Find(const std::string& name) const {
    if (const char* text = std::getenv(name.c_str())) return text;
    const auto found = slurm_.find(name);
    if (found == slurm_.end()) return std::nullopt;
    return found->second;
  }
  absl::StatusOr<int> Int(const std::string& name, int smallest, int largest) const {
    const std::optional<std::string> text = Find(name);
    const std::string allowed = absl::StrCat(", must be a number from ", smallest, " to ", largest);
    if (!text) return absl::InvalidArgumentError(absl::StrCat(name, " is not set", allowed));
    int value = 0;
    if (!absl::SimpleAtoi(*text, &value) || value < smallest || value > largest) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is '", *text, "'", allowed));
    }
    return value;
  }
  // The variable where it is set, otherwise `otherwise`.
  absl::StatusOr<int> IntOr(const std::string& name, int smallest, int largest, int otherwise) const {
    if (!Find(name)) return otherwise;
    return Int(name, smallest, largest);
  }

 private:
  std::map<std::string, std::string> slurm_;
};

bool IsLoopback(const std::string& address) {
  return address == "localhost" || address == "::1" || absl::StartsWith(address, "127.");
}

}  // namespace

absl::StatusOr<RankSettings> RankSettingsFromEnvironment() {
  RankSettings settings;
  std::map<std::string, std::string> slurm;
  // A launcher inside a step (torchrun, --nproc) has said which ranks there are: SLURM's tasks are others.
  if (std::getenv("RANK") == nullptr && std::getenv("WORLD_SIZE") == nullptr) {
    QWT_ASSIGN_OR_RETURN(slurm, SlurmVariables());
  }
  const Variables variables(std::move(slurm));
  if (!variables.Find("WORLD_SIZE")) return settings;
  QWT_ASSIGN_OR_RETURN(settings.size, variables.Int("WORLD_SIZE", 1, 1'000'000));
  if (settings.size == 1) return settings;
  QWT_ASSIGN_OR_RETURN(settings.rank, variables.Int("RANK", 0, settings.size - 1));
  QWT_ASSIGN_OR_RETURN(settings.master_port, variables.Int("MASTER_PORT", 1, 65535));
  QWT_ASSIGN_OR_RETURN(settings.timeout_seconds,
                       variables.IntOr("QWT_COMM_TIMEOUT_SECONDS", 1, 1'000'000, settings.timeout_seconds));
  settings.master_address = variables.Find("MASTER_ADDR").value_or("");
  if (settings.master_address.empty()) {
    return absl::InvalidArgumentError("MASTER_ADDR is not set, must be the host name or address of rank 0");
  }
  const bool one_machine = IsLoopback(settings.master_address);
  QWT_ASSIGN_OR_RETURN(settings.local_size, variables.IntOr("LOCAL_WORLD_SIZE", 1, settings.size, 0));
  const int most = settings.local_size > 0 ? settings.local_size : settings.size;
  QWT_ASSIGN_OR_RETURN(settings.local_rank,
                       variables.IntOr("LOCAL_RANK", 0, most - 1, one_machine ? settings.rank % most : 0));
  if (settings.local_size == 0) settings.local_size = one_machine ? settings.size : settings.local_rank + 1;
  return settings;
}

bool HasLauncher() {
  if (std::getenv("RANK") != nullptr || std::getenv("WORLD_SIZE") != nullptr) return true;
  const auto slurm = SlurmVariables();
  return !slurm.ok() || !slurm->empty();
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
