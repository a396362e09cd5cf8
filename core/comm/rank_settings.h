// How a rank finds the others.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace qwt {

struct RankSettings {
  int rank = 0;
  int size = 1;
  std::string master_address;  // host name or address of rank 0
  int master_port = 0;
  int timeout_seconds = 300;
};

// From RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and QWT_COMM_TIMEOUT_SECONDS. size = 1 where WORLD_SIZE is unset or
// 1; the others are not read then. InvalidArgument: "RANK is '5', must be a number from 0 to 3".
absl::StatusOr<RankSettings> RankSettingsFromEnvironment();

// A TCP port of 127.0.0.1 that nobody uses at the moment.
absl::StatusOr<int> FreePort();

}  // namespace qwt
