#include "tests/helpers/contained.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <fstream>

#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr char kDataField[] = "VmData:";  // what RLIMIT_DATA bounds: private memory that can be written to

uint64_t DataBytes() {
  std::ifstream status("/proc/self/status");
  std::string field;
  uint64_t kibibytes = 0;
  while (status >> field) {
    if (field == kDataField && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

void Limit(int resource, uint64_t value) {
  const rlimit limit = {value, value};
  if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) _exit(1);
}

[[noreturn]] void RunChild(const std::function<std::string()>& function, uint64_t bytes, uint64_t seconds, int out) {
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_CPU, seconds);  // a new process has used none
  Limit(RLIMIT_DATA, DataBytes() + bytes);
  std::string said;
  try {
    said = function();
  } catch (const std::exception& error) {
    said = std::string("exception: ").append(error.what());
  }
  for (size_t written = 0; written < said.size();) {
    const ssize_t count = write(out, said.data() + written, said.size() - written);
    if (count < 0 && errno != EINTR) _exit(1);
    if (count > 0) written += count;
  }
  _exit(0);
}

}  // namespace

ContainedResult RunContained(const std::function<std::string()>& function, uint64_t bytes, uint64_t seconds) {
  EXPECT_GT(DataBytes(), 0) << "/proc/self/status has no " << kDataField;
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  EXPECT_GE(child, 0);
  if (child == 0) RunChild(function, bytes, seconds, ends[1]);
  close(ends[1]);
  ContainedResult result;
  char buffer[4096];
  for (ssize_t count; (count = read(ends[0], buffer, sizeof(buffer))) > 0 || (count < 0 && errno == EINTR);) {
    if (count > 0) result.said.append(buffer, count);
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) result.ended = "signal " + std::to_string(WTERMSIG(status));
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) result.ended = "exit code " + std::to_string(WEXITSTATUS(status));
  return result;
}

}  // namespace qwt
