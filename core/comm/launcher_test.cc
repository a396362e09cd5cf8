#include "core/comm/launcher.h"

#include <chrono>
#include <csignal>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

constexpr char kProgram[] = "core/comm/launcher_test_program";

TEST(LauncherTest, EachRankLearnsItsPlace) {
  const ProgramResult run = RunProgram({kProgram, "ok"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  for (const char* rank : {"0", "1", "2"}) {
    EXPECT_THAT(run.out, testing::HasSubstr(std::string("rank ") + rank + " of 3, local " + rank +
                                            " of 3, at 127.0.0.1:port\n"));
  }
}

TEST(LauncherTest, ARankThatFailsEndsTheOthersAndGivesItsCode) {
  const ProgramResult run = RunProgram({kProgram, "code"});
  EXPECT_EQ(run.exit_code, 7);
  EXPECT_EQ(run.err, "");
}

TEST(LauncherTest, TheOthersAreAskedToEndBeforeTheyAreKilled) {
  const ProgramResult run = RunProgram({kProgram, "polite", TestFolder("polite")});
  EXPECT_EQ(run.exit_code, 7) << run.err;
  const std::string asked = "asked to end\n";
  const size_t first = run.out.find(asked);
  ASSERT_NE(first, std::string::npos) << run.out;
  EXPECT_NE(run.out.find(asked, first + 1), std::string::npos) << run.out;
}

TEST(LauncherTest, ExitCodesArriveWhereTheEndOfChildrenWasIgnored) {
  EXPECT_EQ(RunProgram({kProgram, "code", "ignored"}).exit_code, 7);
}

TEST(LauncherTest, ARankThatIsKilledIsNamed) {
  const ProgramResult run = RunProgram({kProgram, "signal"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.err, "error: rank 1 was ended by signal 9\n");
}

TEST(LauncherTest, AnInterruptIsPassedOnAndGives130) {
  Program program({kProgram, "wait"});
  while (program.running() && program.Output().find("rank 2") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(program.pid(), SIGINT);
  const ProgramResult run = program.Wait();
  EXPECT_EQ(run.exit_code, 130) << run.err;
}

}  // namespace
}  // namespace qwt
