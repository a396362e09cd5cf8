// Ranks as processes that nobody but the lifeline ends.
#include <csignal>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/ranks.h"

namespace qwt {
namespace {

using testing::HasSubstr;

constexpr char kProgram[] = "core/comm/lifeline_test_program";
constexpr char kWithoutAWord[] = " has ended: without a word: it was killed or crashed, or its machine is gone\n";

// Which rank does what (lifeline_test_program.cc); what the others, one of them rank 0 or all of them not, then say.
struct Case {
  const char *odd, *what, *how;
  std::string heard;
  int code = 1;
};

class LifelineTest : public testing::TestWithParam<Case> {};

TEST_P(LifelineTest, TheOthersHearWhoHasEndedAndWhy) {
  const Case& expected = GetParam();
  const int odd = std::stoi(expected.odd);
  Ranks ranks = StartRanks(3, {kProgram, expected.odd, expected.what, expected.how});
  const std::vector<ProgramResult> results = WaitForRanks(ranks);
  for (int rank = 0; rank < 3; ++rank) {
    if (rank == odd) continue;
    EXPECT_EQ(results[rank].exit_code, expected.code);
    EXPECT_EQ(results[rank].out, "ready\nrank " + std::to_string(rank) + ": " + expected.heard);
  }
}

INSTANTIATE_TEST_SUITE_P(
    WhileTheyCompute, LifelineTest,
    testing::Values(Case{"1", "killed", "compute", std::string("rank 1") + kWithoutAWord},
                    Case{"0", "killed", "compute", std::string("rank 0") + kWithoutAWord},
                    Case{"2", "exits", "compute", std::string("rank 2") + kWithoutAWord},
                    Case{"2", "fails", "compute", "rank 2 has ended: fit: block 3\nis not there\n"},
                    Case{"0", "fails", "compute", "rank 0 has ended: fit: block 3\nis not there\n"},
                    Case{"1", "interrupted", "compute", "interrupted\n", 130}));

INSTANTIATE_TEST_SUITE_P(InACollective, LifelineTest,
                         testing::Values(Case{"1", "killed", "collective", std::string("rank 1") + kWithoutAWord},
                                         Case{"0", "fails", "collective",
                                              "rank 0 has ended: fit: block 3\nis not there\n"}));

TEST(LifelineEndTest, WhoDoesNotListenIsEnded) {
  Ranks ranks = StartRanks(3, {kProgram, "1", "fails", "deaf"});
  const std::vector<ProgramResult> results = WaitForRanks(ranks);
  for (int rank : {0, 2}) {
    EXPECT_EQ(results[rank].exit_code, 1);
    EXPECT_EQ(results[rank].err,
              "error (rank " + std::to_string(rank) + "): rank 1 has ended: fit: block 3\nis not there\n");
  }
}

TEST(LifelineEndTest, WhoLeavesInOrderEndsNobody) {
  for (const char* odd : {"0", "2"}) {
    Ranks ranks = StartRanks(3, {kProgram, odd, "leaves", "briefly"});
    for (const ProgramResult& result : WaitForRanks(ranks)) {
      EXPECT_EQ(result.exit_code, 0) << result.out;
    }
  }
}

// Longer than an end takes to be heard of.
TEST(LifelineEndTest, APausedRankIsNotTakenForDead) {
  Ranks ranks = StartRanks(2, {kProgram, "1", "stops", "collective"});
  while (ranks[0]->Output().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::seconds(3));
  EXPECT_TRUE(ranks[0]->running());
  kill(ranks[1]->pid(), SIGCONT);
  for (const ProgramResult& result : WaitForRanks(ranks)) EXPECT_EQ(result.exit_code, 0) << result.out;
}

TEST(LifelineEndTest, AHungRankEndsTheOthersByTimeoutWithTheCollectivesName) {
  Ranks ranks = StartRanks(2, {kProgram, "1", "stops", "collective"}, {{"QWT_COMM_TIMEOUT_SECONDS", "3"}});
  const ProgramResult result = WaitForRanks(ranks, 1)[0];
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out,
              HasSubstr("rank 0: rank 0 of 2: all-reduce of double [2, 3] failed: another rank has ended or "
                        "is more than 3 s late (QWT_COMM_TIMEOUT_SECONDS): Gloo: "));
  kill(ranks[1]->pid(), SIGKILL);
  ranks[1]->Wait();
}

}  // namespace
}  // namespace qwt
