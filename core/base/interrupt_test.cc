#include "core/base/interrupt.h"

#include <csignal>
#include <cstdlib>

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(InterruptTest, EitherSignalIsAStatusUntilCleared) {
  InstallInterruptHandler();
  EXPECT_EQ(CheckInterrupt(), absl::OkStatus());
  for (int signal : {SIGINT, SIGTERM}) {
    std::raise(signal);
    EXPECT_EQ(CheckInterrupt(), absl::CancelledError("interrupted"));
    EXPECT_EQ(CheckInterrupt(), absl::CancelledError("interrupted"));
    ClearInterrupt();
    EXPECT_EQ(CheckInterrupt(), absl::OkStatus());
  }
}

TEST(InterruptTest, TheFirstReasonToStopCountsAndStandsBeforeASignal) {
  InstallInterruptHandler();
  std::raise(SIGTERM);
  StopWork(absl::UnavailableError("rank 1 has ended"));
  StopWork(absl::UnavailableError("rank 2 has ended"));
  EXPECT_EQ(CheckInterrupt(), absl::UnavailableError("rank 1 has ended"));
  ClearInterrupt();
  EXPECT_EQ(CheckInterrupt(), absl::OkStatus());
}

TEST(InterruptDeathTest, TheSecondSignalEndsTheProgram) {
  EXPECT_EXIT(
      {
        InstallInterruptHandler();
        std::raise(SIGINT);
        std::raise(SIGTERM);
        std::exit(0);
      },
      ::testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace qwt
