// Runs as forks of a process that was forked off early.
#include "experiments/processes.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

using testing::HasSubstr;

constexpr timespec kMoment = {0, 10'000'000};

// Says what it was given; its last argument is what it does then.
int SomeRun(int argc, char** argv) {
  for (int i = 0; i < argc; ++i) std::cout << "[" << argv[i] << "]";
  const char* gpu = std::getenv("CUDA_VISIBLE_DEVICES");
  std::cout << " parent " << getppid() << ", group " << (getpgrp() == getpid() ? "own" : "another") << ", mark "
            << IsRunOfSweep() << ", GPU " << (gpu == nullptr ? "none" : gpu) << std::endl;
  const std::string last = argv[argc - 1];
  if (last == "die") raise(SIGTERM);
  while (last == "stay") nanosleep(&kMoment, nullptr);
  return last == "fail" ? 3 : 0;
}

class ProcessesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_EQ(PrepareRuns(SomeRun), absl::OkStatus()); }

  static Exit ExitOf(pid_t pid) {
    while (true) {
      const auto exit = PollExit();
      if (exit.has_value() && exit->pid == pid) return *exit;
      nanosleep(&kMoment, nullptr);
    }
  }

  const std::string folder_ = TestFolder("processes");
  const std::string log_ = folder_ + "/output.log";
};

TEST_F(ProcessesTest, RunsAreChildrenWithArgumentsVariablesAndALog) {
  for (const std::string gpu : {"0,2", "1"}) {
    const auto run = StartRun({"a b", "c=d", "done"}, {{"CUDA_VISIBLE_DEVICES", gpu}, {"EMPTY", ""}}, log_);
    ASSERT_EQ(run.status(), absl::OkStatus());
    const Exit exit = ExitOf(*run);
    EXPECT_EQ(exit.code, 0);
    EXPECT_EQ(exit.signal, 0);
  }
  const std::string start = "[run][a b][c=d][done] parent " + std::to_string(getpid()) + ", group own, mark 1, GPU ";
  EXPECT_EQ(Contents(log_), start + "0,2\n" + start + "1\n");
  EXPECT_FALSE(IsRunOfSweep());
}

TEST_F(ProcessesTest, HowTheyEndIsTold) {
  const auto failing = StartRun({"fail"}, {}, log_), dying = StartRun({"die"}, {}, log_);
  ASSERT_EQ(failing.status(), absl::OkStatus());
  ASSERT_EQ(dying.status(), absl::OkStatus());
  EXPECT_NE(*failing, *dying);
  int status = 0;
  ASSERT_EQ(waitpid(*failing, &status, 0), *failing);
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_EQ(ExitOf(*dying).signal, SIGTERM);
  EXPECT_FALSE(PollExit().has_value());
}

TEST_F(ProcessesTest, ALogThatCannotBeWrittenIsSaid) {
  EXPECT_EQ(StartRun({"done"}, {}, folder_ + "/no/log").status().message(),
            "open '" + folder_ + "/no/log': No such file or directory");
}

TEST_F(ProcessesTest, ARequestLongerThanTheLineTakesIsSaid) {
  EXPECT_EQ(StartRun({std::string(1 << 20, 'x')}, {}, log_).status().message(),
            "a run's arguments take " + std::to_string((1 << 20) + log_.size() + 3) + " bytes, the most are 131072");
}

// By SIGKILL, of which the process itself hears nothing.
TEST_F(ProcessesTest, RunsEndWithTheSweep) {
  const pid_t sweep = fork();
  if (sweep == 0) {
    if (!PrepareRuns(SomeRun).ok() || !StartRun({"stay"}, {}, log_).ok()) _exit(1);
    while (true) pause();
  }
  // What it has said of its parent tells that it runs; its id is the sweep's only other child.
  while (Contents(log_).find('\n') == std::string::npos) nanosleep(&kMoment, nullptr);
  EXPECT_THAT(Contents(log_), HasSubstr("parent " + std::to_string(sweep)));
  std::ifstream children("/proc/" + std::to_string(sweep) + "/task/" + std::to_string(sweep) + "/children");
  std::vector<pid_t> pids;
  for (pid_t pid; children >> pid;) pids.push_back(pid);
  EXPECT_EQ(pids.size(), 2) << "the one that forks, and the run";
  kill(sweep, SIGKILL);
  ASSERT_EQ(waitpid(sweep, nullptr, 0), sweep);
  for (pid_t pid : pids) {
    while (kill(pid, 0) == 0) {  // this process has become their parent, and hears of their end
      PollExit();
      nanosleep(&kMoment, nullptr);
    }
    EXPECT_EQ(errno, ESRCH);
  }
}

}  // namespace
}  // namespace qwt
