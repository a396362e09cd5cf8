// The connections of a lifeline: TCP sockets, and what ranks say over them. -1 is no socket, as in POSIX.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qwt {

// How a rank ends. A paused or dead reader never blocks the sender: what does not fit is not sent.
struct LastWord {
  int rank = 0;
  absl::Status status;
};
void SendLastWord(int handle, const LastWord& word);
// nullopt where the connection ended before a whole one came.
std::optional<LastWord> ReceiveLastWord(int handle);

struct Listener {
  int handle = -1;
  int port = 0;
};
// On every address of this machine, at a free port.
absl::StatusOr<Listener> Listen();

// A connection to `address` with these first words. Unavailable, naming address and port.
absl::StatusOr<int> ConnectTo(const std::string& address, int port, int rank, const std::string& secret);

// The connections of ranks 1 to `ranks` - 1, by rank - 1; strangers, who do not know the secret, are turned away.
// Unavailable, naming the ranks that are missing at the deadline.
absl::StatusOr<std::vector<int>> AcceptRanks(int listener, int ranks, const std::string& secret,
                                             std::chrono::steady_clock::time_point deadline);

}  // namespace qwt
