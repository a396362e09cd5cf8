#include "experiments/processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr int kNotStarted = 1;
constexpr size_t kLargestRequest = 128 << 10;  // bytes; a system's buffers hold more

int line_to_forker = -1;

// A request: the log, variables as NAME=value, an empty string and the arguments, each ended by a zero byte. The
// answer: the run's id, or the errno of a fork that failed as a negative number.
std::string RequestOf(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& variables,
                      const std::string& log) {
  const auto end = std::string(1, '\0');
  std::string request = log + end;
  for (const auto& [name, value] : variables) absl::StrAppend(&request, name, "=", value, end);
  request += end;
  for (const std::string& argument : arguments) absl::StrAppend(&request, argument, end);
  return request;
}

// Ends this process with its parent, which is to be that one.
void EndWith(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kNotStarted);
}

// In a fork of the forker: becomes the run, once `between`, which forked it, has ended and left it to the sweep.
[[noreturn]] void Become(const std::string& request, RunMain run, pid_t between, pid_t sweep) {
  constexpr useconds_t kMoment = 100;
  while (getppid() == between) usleep(kMoment);
  EndWith(sweep);
  setpgid(0, 0);
  prctl(PR_SET_NAME, "sweep-run");
  std::vector<std::string> words = absl::StrSplit(request, '\0');
  auto word = words.begin();
  const int log = open(word->c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (log < 0) _exit(kNotStarted);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  setenv(kMarkOfSweep, "1", 1);
  for (++word; !word->empty(); ++word) {
    const std::pair<std::string, std::string> variable = absl::StrSplit(*word, absl::MaxSplits('=', 1));
    setenv(variable.first.c_str(), variable.second.c_str(), 1);
  }
  *word = "run";
  std::vector<char*> argv;
  for (; !word->empty(); ++word) argv.push_back(word->data());
  argv.push_back(nullptr);
  const int code = run(argv.size() - 1, argv.data());
  // Not by exit(): what LibTorch takes apart there, a tenth of a second long, the system takes back at once.
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  _exit(code);
}

// The forker, until the sweep's process is gone.
[[noreturn]] void ForkRuns(int line, RunMain run, pid_t sweep) {
  EndWith(sweep);
  setpgid(0, 0);
  prctl(PR_SET_NAME, "sweep-forker");
  const int none = open("/dev/null", O_RDONLY);
  if (none >= 0) dup2(none, STDIN_FILENO);
  std::string request;
  while (true) {
    request.resize(kLargestRequest);
    const ssize_t size = recv(line, request.data(), request.size(), 0);
    if (size <= 0) _exit(0);
    request.resize(size);
    const pid_t between = fork();
    if (between == 0) {
      const pid_t self = getpid(), child = fork();
      if (child == 0) Become(request, run, self, sweep);
      const pid_t answer = child < 0 ? -errno : child;
      send(line, &answer, sizeof(answer), MSG_NOSIGNAL);
      _exit(0);
    }
    const pid_t answer = -errno;
    if (between < 0) send(line, &answer, sizeof(answer), MSG_NOSIGNAL);
    if (between > 0) waitpid(between, nullptr, 0);
  }
}

}  // namespace

bool IsRunOfSweep() { return std::getenv(kMarkOfSweep) != nullptr; }

absl::Status PrepareRuns(RunMain run) {
  int line[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) < 0) return ErrnoStatus(errno, "make a socket");
  // Whose parent has ended is from now on this process's child.
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return ErrnoStatus(errno, "become the parent of runs");
  const pid_t sweep = getpid(), forker = fork();
  if (forker < 0) return ErrnoStatus(errno, "start a process");
  if (forker == 0) {
    close(line[0]);
    ForkRuns(line[1], run, sweep);
  }
  close(line[1]);
  line_to_forker = line[0];
  // A run's end cuts a sleep short.
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  sigaction(SIGCHLD, &action, nullptr);
  return absl::OkStatus();
}

absl::StatusOr<pid_t> StartRun(const std::vector<std::string>& arguments,
                               const std::map<std::string, std::string>& variables, const std::string& log) {
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) return ErrnoStatus(errno, absl::StrCat("open '", log, "'"));
  close(file);
  const std::string request = RequestOf(arguments, variables, log);
  if (request.size() > kLargestRequest) {
    return absl::InvalidArgumentError(
        absl::StrCat("a run's arguments take ", request.size(), " bytes, the most are ", kLargestRequest));
  }
  pid_t answer = 0;
  if (send(line_to_forker, request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return ErrnoStatus(errno, "reach the process that starts runs");
  }
  const ssize_t size = recv(line_to_forker, &answer, sizeof(answer), 0);
  if (size != sizeof(answer)) return absl::InternalError("the process that starts runs has ended");
  if (answer < 0) return ErrnoStatus(-answer, "start a process");
  return answer;
}

std::optional<Exit> PollExit() {
  int status = 0;
  const pid_t pid = waitpid(-1, &status, WNOHANG);
  if (pid <= 0) return std::nullopt;
  if (WIFEXITED(status)) return Exit{pid, WEXITSTATUS(status), 0};
  return Exit{pid, -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0};
}

}  // namespace qwt
