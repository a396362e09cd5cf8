// What launcher_test starts: a program that launches itself as ranks, which then do what the first argument says.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/comm/launcher.h"

namespace {

void SayAskedToEnd(int) {
  constexpr char kText[] = "asked to end\n";
  _exit(write(STDOUT_FILENO, kText, sizeof(kText) - 1) < 0);
}

// Rank 1 waits until the others have their handlers, so that its end finds them ready; then it fails.
int EndPolitely(const std::string& rank, const std::string& folder) {
  if (rank != "1") {
    signal(SIGTERM, SayAskedToEnd);
    std::fclose(std::fopen((folder + "/" + rank).c_str(), "w"));
    while (true) pause();
  }
  while (access((folder + "/0").c_str(), F_OK) != 0 || access((folder + "/2").c_str(), F_OK) != 0) usleep(5000);
  return 7;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argv[1];
  const char* rank = std::getenv("RANK");
  if (argc > 2 && what == "code") signal(SIGCHLD, SIG_IGN);  // as some programs start others
  if (rank == nullptr) return qwt::LaunchLocalRanks(3, argv);
  std::printf("rank %s of %s, local %s of %s, at %s:%s\n", rank, std::getenv("WORLD_SIZE"), std::getenv("LOCAL_RANK"),
              std::getenv("LOCAL_WORLD_SIZE"), std::getenv("MASTER_ADDR"),
              *std::getenv("MASTER_PORT") == '0' ? "0" : "port");
  std::fflush(stdout);
  if (what == "ok") return 0;
  if (what == "polite") return EndPolitely(rank, argv[2]);
  if (std::string(rank) == "1") {
    if (what == "code") return 7;
    if (what == "signal") raise(SIGKILL);
  }
  pause();  // until the launcher ends it
  return 0;
}
