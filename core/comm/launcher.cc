#include "core/comm/launcher.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "core/comm/rank_settings.h"

namespace qwt {
namespace {

constexpr int kFailed = 1, kInterrupted = 130;
// After one rank's failure the others hear of it themselves (the lifeline) and say why they end; who has not after the
// first of these is sent SIGTERM, after the second SIGKILL.
constexpr time_t kSecondsToAsk = 2, kSecondsToKill = 8;
constexpr time_t kSecondsAfterInterrupt = 10;

volatile sig_atomic_t interrupted = 0;
void OnSignal(int) { interrupted = 1; }

pid_t StartRank(int rank, int ranks, int port, char** argv) {
  const pid_t parent = getpid();
  // A signal to the new process must not meet the launcher's handler, which would swallow it.
  sigset_t signals, old;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, &old);
  const pid_t pid = fork();
  if (pid == 0) {
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, &old, nullptr);
  if (pid != 0) return pid;
  // A group of its own: a terminal's Ctrl-C reaches the parent alone, which passes it on once. And no rank outlives the
  // parent.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kFailed);
  const auto set = [](const char* name, int value) { setenv(name, std::to_string(value).c_str(), 1); };
  set("RANK", rank);
  set("LOCAL_RANK", rank);
  set("WORLD_SIZE", ranks);
  set("LOCAL_WORLD_SIZE", ranks);
  set("MASTER_PORT", port);
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  execv("/proc/self/exe", argv);
  std::perror("starting a rank");
  _exit(kFailed);
}

void SignalAll(const std::vector<pid_t>& pids, int signal) {
  for (pid_t pid : pids) {
    if (pid > 0) kill(pid, signal);
  }
}

// What one rank's end means for all: 0 where it is well. `asked`: whether we had a part in it.
int CodeOf(int rank, int status, bool asked) {
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  if (!asked) std::fprintf(stderr, "error: rank %d was ended by signal %d\n", rank, WTERMSIG(status));
  return kFailed;
}

// When the ranks still running are to be signalled; 0: not yet.
struct Schedule {
  time_t ask = 0, kill = 0;
  bool asked = false;
};

void SignalWhenDue(const std::vector<pid_t>& pids, Schedule* schedule) {
  const time_t now = time(nullptr);
  if (schedule->ask != 0 && now >= schedule->ask && !schedule->asked) {
    schedule->asked = true;
    SignalAll(pids, interrupted ? SIGINT : SIGTERM);
  }
  if (schedule->kill != 0 && now >= schedule->kill) SignalAll(pids, SIGKILL);
}

// Waits for all ranks; the first code that is not 0 ends the others.
int WaitForAll(std::vector<pid_t> pids) {
  int code = 0;
  size_t running = pids.size();
  Schedule schedule;
  bool passed_on = false;
  const timespec pause = {0, 20'000'000};
  while (running > 0) {
    if (interrupted && !passed_on) {
      passed_on = true;
      schedule = {time(nullptr), time(nullptr) + kSecondsAfterInterrupt};
    }
    SignalWhenDue(pids, &schedule);
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended <= 0) {
      nanosleep(&pause, nullptr);
      continue;
    }
    const auto rank = std::find(pids.begin(), pids.end(), ended) - pids.begin();
    if (rank == static_cast<ptrdiff_t>(pids.size())) continue;  // not one of ours
    pids[rank] = 0;
    --running;
    const int ended_with = CodeOf(static_cast<int>(rank), status, schedule.asked);
    if (code == 0) code = ended_with;
    if (ended_with != 0 && schedule.kill == 0) {
      schedule = {time(nullptr) + kSecondsToAsk, time(nullptr) + kSecondsToKill};
    }
  }
  return passed_on ? kInterrupted : code;
}

}  // namespace

int LaunchLocalRanks(int ranks, char** argv) {
  const absl::StatusOr<int> port = FreePort();
  if (!port.ok()) {
    std::fprintf(stderr, "error: the ranks have no port to meet at: %s\n",
                 std::string(port.status().message()).c_str());
    return kFailed;
  }
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // Who starts us may ignore it: the kernel would then keep no exit codes, and the wait would never end.
  signal(SIGCHLD, SIG_DFL);
  std::vector<pid_t> pids;
  for (int rank = 0; rank < ranks; ++rank) {
    const pid_t pid = StartRank(rank, ranks, *port, argv);
    if (pid < 0) {
      std::perror("error: cannot start a rank");
      SignalAll(pids, SIGKILL);
      return kFailed;
    }
    pids.push_back(pid);
  }
  return WaitForAll(std::move(pids));
}

}  // namespace qwt
