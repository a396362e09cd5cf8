// What lifeline_test starts: one rank, which joins the others and then does what the arguments say.
//   PROGRAM ODD_RANK WHAT HOW: rank ODD_RANK does WHAT, the others wait for their end as HOW says.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "ATen/ops/zeros.h"
#include "core/base/interrupt.h"
#include "core/comm/communicator.h"
#include "core/comm/rank_settings.h"

namespace qwt {
namespace {

int End(const absl::Status& status, Communicator& comm) {
  if (!status.ok()) std::printf("rank %d: %s\n", comm.rank(), std::string(status.message()).c_str());
  std::fflush(stdout);
  comm.Leave(status);
  return status.ok() ? 0 : absl::IsCancelled(status) ? 130 : 1;
}

absl::Status Sum(Communicator& comm) {
  at::Tensor tensor = at::zeros({2, 3}, at::kDouble);
  return comm.AllReduceSum(tensor);
}

// Work that never ends by itself, nor meets the others in a collective.
absl::Status Compute() {
  while (CheckInterrupt().ok()) usleep(1000);
  return CheckInterrupt();
}

int BeOdd(const std::string& what, Communicator& comm) {
  if (what == "killed") raise(SIGKILL);
  if (what == "fails") return End(absl::InternalError("fit: block 3\nis not there"), comm);
  if (what == "interrupted") return End(absl::CancelledError("interrupted"), comm);
  if (what == "exits") return 3;
  if (what == "leaves") return End(absl::OkStatus(), comm);
  raise(SIGSTOP);  // what == "stops": until the test continues it
  return End(Sum(comm), comm);
}

int Run(int odd_rank, const std::string& what, const std::string& how) {
  const auto settings = RankSettingsFromEnvironment();
  auto joined = settings.ok() ? JoinRanks(*settings, at::kCPU) : settings.status();
  if (!joined.ok()) return std::printf("%s\n", std::string(joined.status().message()).c_str()), 9;
  Communicator& comm = **joined;
  if (!comm.Barrier().ok()) return 9;
  if (comm.rank() == odd_rank) return BeOdd(what, comm);
  std::printf("ready\n");
  std::fflush(stdout);
  if (how == "collective") return End(Sum(comm), comm);
  if (how == "deaf") {
    while (true) pause();
  }
  if (how == "briefly") {
    sleep(1);
    return End(CheckInterrupt(), comm);
  }
  return End(Compute(), comm);
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) { return argc == 4 ? qwt::Run(std::atoi(argv[1]), argv[2], argv[3]) : 9; }
