#include "experiments/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr int kNotStarted = 1;

// In the child: becomes the run. `parent`: its process.
[[noreturn]] void Become(char** argv, const std::map<std::string, std::string>& variables, int log, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kNotStarted);
  const int none = open("/dev/null", O_RDONLY);
  if (none >= 0) dup2(none, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  setenv(kMarkOfSweep, "1", 1);
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
  execv("/proc/self/exe", argv);
  std::perror("error: starting a run");
  _exit(kNotStarted);
}

}  // namespace

bool IsRunOfSweep() { return std::getenv(kMarkOfSweep) != nullptr; }

absl::StatusOr<pid_t> StartRun(const std::vector<std::string>& arguments,
                               const std::map<std::string, std::string>& variables, const std::string& log) {
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) return ErrnoStatus(errno, absl::StrCat("open '", log, "'"));
  std::vector<char*> argv = {const_cast<char*>("run")};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // A signal to the child must not meet this process's handler before it is the run.
  sigset_t signals, old;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, &old);
  const pid_t parent = getpid(), child = fork();
  if (child == 0) {
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, nullptr);
    Become(argv.data(), variables, file, parent);
  }
  const int error = errno;
  sigprocmask(SIG_SETMASK, &old, nullptr);
  close(file);
  if (child < 0) return ErrnoStatus(error, "start a process");
  return child;
}

std::optional<Exit> PollExit() {
  int status = 0;
  const pid_t pid = waitpid(-1, &status, WNOHANG);
  if (pid <= 0) return std::nullopt;
  if (WIFEXITED(status)) return Exit{pid, WEXITSTATUS(status), 0};
  return Exit{pid, -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0};
}

}  // namespace qwt
