// What launcher_test starts: a program that launches itself as ranks, which then do what the first argument says.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/comm/launcher.h"

int main(int argc, char** argv) {
  const std::string what = argv[1];
  const char* rank = std::getenv("RANK");
  if (argc > 2) signal(SIGCHLD, SIG_IGN);  // as some programs start others
  if (rank == nullptr) return qwt::LaunchLocalRanks(3, argv);
  std::printf("rank %s of %s, local %s of %s, at %s:%s\n", rank, std::getenv("WORLD_SIZE"), std::getenv("LOCAL_RANK"),
              std::getenv("LOCAL_WORLD_SIZE"), std::getenv("MASTER_ADDR"),
              *std::getenv("MASTER_PORT") == '0' ? "0" : "port");
  std::fflush(stdout);
  if (what == "ok") return 0;
  if (std::string(rank) == "1") {
    if (what == "code") return 7;
    if (what == "signal") raise(SIGKILL);
  }
  pause();  // until the launcher ends it
  return 0;
}
