// How a rank finds the others.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace qwt {

struct RankSettings {
  int rank = 0;
  int size = 1;
  int local_rank = 0;          // among the ranks of this machine
  int local_size = 1;          // ranks of this machine
  std::string master_address;  // host name or address of rank 0
  int master_port = 0;
  int timeout_seconds = 300;
};

// From RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT and QWT_COMM_TIMEOUT_SECONDS, as
// torchrun and --nproc set them; each that is not set from SLURM's (SlurmVariables) in a step of several tasks. size =
// 1 where neither says how many ranks there are, or both say one; the others are not read then. Without LOCAL_RANK and
// LOCAL_WORLD_SIZE all ranks are on this machine where MASTER_ADDR is a loopback address, otherwise this one alone.
// InvalidArgument, naming the variable: "RANK is '5', must be a number from 0 to 3".
absl::StatusOr<RankSettings> RankSettingsFromEnvironment();

// Whether a launcher has made this process a rank of several, or the only one.
bool HasLauncher();

// A TCP port of 127.0.0.1 that nobody uses at the moment.
absl::StatusOr<int> FreePort();

}  // namespace qwt
