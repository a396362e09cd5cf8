#include "experiments/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"

extern char** environ;

namespace qwt {
namespace {

using Clock = std::chrono::steady_clock;

// A pipe whose reading end stays here.
struct Pipe {
  int read = -1, write = -1;
  absl::Status Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "open a pipe");
    read = ends[0], write = ends[1];
    return absl::OkStatus();
  }
  void CloseWrite() {
    if (write >= 0) close(write);
    write = -1;
  }
  ~Pipe() {
    CloseWrite();
    if (read >= 0) close(read);
  }
};

absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, const std::vector<std::string>& hidden,
                            const Pipe& out, const Pipe& err) {
  std::vector<char*> argv, envp;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const bool hide = std::any_of(hidden.begin(), hidden.end(),
                                  [&](const std::string& prefix) { return absl::StartsWith(*variable, prefix); });
    if (!hide) envp.push_back(*variable);
  }
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, out.write, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, err.write, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A process group of its own: a Ctrl-C between a job's submission and its number would lose the number.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0], &files, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error == ENOENT) return absl::NotFoundError(absl::StrCat("there is no program '", arguments[0], "' on PATH"));
  if (error != 0) return ErrnoStatus(error, absl::StrCat("start '", arguments[0], "'"));
  return pid;
}

// Appends what comes on the pipes until both have ended; false where that takes too long.
bool ReadBoth(const Pipe& out, const Pipe& err, Clock::time_point deadline, CommandOutput* output) {
  std::array<pollfd, 2> waits = {pollfd{out.read, POLLIN, 0}, pollfd{err.read, POLLIN, 0}};
  std::array<std::string*, 2> texts = {&output->out, &output->err};
  while (waits[0].fd >= 0 || waits[1].fd >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    if (poll(waits.data(), waits.size(), static_cast<int>(left)) < 0 && errno != EINTR) return false;
    for (size_t i = 0; i < waits.size(); ++i) {
      if (waits[i].fd < 0 || waits[i].revents == 0) continue;
      char buffer[4096];
      const ssize_t count = read(waits[i].fd, buffer, sizeof(buffer));
      if (count > 0) texts[i]->append(buffer, count);
      if (count == 0) waits[i].fd = -1;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<CommandOutput> RunToEnd(const std::vector<std::string>& arguments, int seconds,
                                       const std::vector<std::string>& hidden) {
  Pipe out, err;
  QWT_RETURN_IF_ERROR(out.Open());
  QWT_RETURN_IF_ERROR(err.Open());
  QWT_ASSIGN_OR_RETURN(const pid_t pid, Spawn(arguments, hidden, out, err));
  out.CloseWrite();
  err.CloseWrite();
  CommandOutput output;
  const bool ended = ReadBoth(out, err, Clock::now() + std::chrono::seconds(seconds), &output);
  if (!ended) kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    return absl::DeadlineExceededError(absl::StrCat(arguments[0], " did not answer within ", seconds, " s"));
  }
  if (WIFEXITED(status)) output.exit_code = WEXITSTATUS(status);
  return output;
}

}  // namespace qwt
