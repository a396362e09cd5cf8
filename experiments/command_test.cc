#include "experiments/command.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(CommandTest, TakesAllThatIsPrintedAndTheExitCode) {
  // More than a pipe holds, on both.
  const auto output = RunToEnd({"sh", "-c", "head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; exit 3"}, 60);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->exit_code, 3);
  EXPECT_EQ(output->out, std::string(300000, '\0'));
  EXPECT_EQ(output->err, std::string(200000, '\0'));
  EXPECT_EQ(RunToEnd({"sh", "-c", "kill -9 $$"}, 60)->exit_code, -1);
}

TEST(CommandTest, ArgumentsAreNoShellText) {
  EXPECT_EQ(RunToEnd({"printf", "%s", "a b; $HOME \"'\n"}, 60)->out, "a b; $HOME \"'\n");
}

TEST(CommandTest, HidesVariables) {
  setenv("QWT_TEST_HIDDEN", "1", 1);
  setenv("QWT_SHOWN", "2", 1);
  EXPECT_EQ(RunToEnd({"sh", "-c", "echo $QWT_TEST_HIDDEN,$QWT_SHOWN"}, 60, {"QWT_TEST_"})->out, ",2\n");
}

TEST(CommandTest, SaysWhatDidNotComeToAnEnd) {
  EXPECT_EQ(RunToEnd({"qwt_no_such_program"}, 60).status(),
            absl::NotFoundError("there is no program 'qwt_no_such_program' on PATH"));
  EXPECT_EQ(RunToEnd({"sleep", "1000"}, 1).status(), absl::DeadlineExceededError("sleep did not answer within 1 s"));
}

}  // namespace
}  // namespace qwt
