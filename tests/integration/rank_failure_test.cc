// A rank that is killed, hangs or fails in the middle of a run, under a launcher that ends nobody: the others end with
// its message, and the same command goes on from the store.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/ranks.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using testing::ContainsRegex;
using testing::HasSubstr;

// Enough images that a fit is still going on when its first block is stored; they do not divide by the ranks.
std::vector<std::string> LongFit(const std::string& folder) { return ShortQuickstart(folder, {"fit.images=500"}); }

int StoredBlocks(const std::string& store) {
  int blocks = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(store, error), end; !error && entry != end; entry.increment(error)) {
    const std::string path = entry->path();
    if (entry->path().filename() != "record.json" || path.find("/v1/tmp/") != std::string::npos) continue;
    blocks += Contents(entry->path().parent_path() / "key.txt").find("fit.block") != std::string::npos;
  }
  return blocks;
}

// Starts a run of these ranks and sends one of them the signal once a block is stored.
Ranks SignalInFit(const std::string& folder, int ranks, int rank, int signal,
                  const std::map<std::string, std::string>& environment = {}) {
  Ranks started = StartRanks(ranks, LongFit(folder), environment);
  while (started[rank]->running() && StoredBlocks(folder + "/store") == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(started[rank]->running());
  kill(started[rank]->pid(), signal);
  return started;
}

TEST(RankFailureTest, AKilledRankEndsTheOthersAndTheRunGoesOn) {
  const std::string folder = TestFolder("killed");
  Ranks ranks = SignalInFit(folder, 3, 1, SIGKILL);
  const std::vector<ProgramResult> results = WaitForRanks(ranks);
  const std::string message = "fit: rank 1 has ended: without a word: it was killed or crashed, or its machine is gone";
  EXPECT_EQ(results[1].signal, SIGKILL);
  for (int rank : {0, 2}) {
    EXPECT_EQ(results[rank].exit_code, 1);
    EXPECT_EQ(results[rank].err, "error (rank " + std::to_string(rank) + "): " + message + "\n");
  }
  EXPECT_EQ(ResultIn(folder + "/out")["status"], "failed");
  EXPECT_EQ(ResultIn(folder + "/out")["error"], message);
  const int stored = StoredBlocks(folder + "/store");
  EXPECT_GE(stored, 1);
  EXPECT_LT(stored, 6) << "the run was over before the rank was killed";

  Ranks again = StartRanks(3, LongFit(folder));
  for (const ProgramResult& result : WaitForRanks(again)) ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string whole = TestFolder("whole");
  ASSERT_EQ(RunProgram(LongFit(whole)).exit_code, 0);
  EXPECT_EQ(ResultIn(whole + "/out")["blocks"], ResultIn(folder + "/out")["blocks"]);
  EXPECT_EQ(ResultIn(whole + "/out")["evaluation"], ResultIn(folder + "/out")["evaluation"]);
}

TEST(RankFailureTest, AHungRankEndsTheOthersByTimeoutAndTheCollectiveIsNamed) {
  const std::string folder = TestFolder("hung");
  Ranks ranks = SignalInFit(folder, 2, 1, SIGSTOP, {{"QWT_COMM_TIMEOUT_SECONDS", "10"}});
  const ProgramResult result = WaitForRanks(ranks, 1)[0];
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err,
              ContainsRegex("error \\(rank 0\\): fit: (block [^:]*: )?rank 0 of 2: [a-z-]+( from rank [01])? of [a-z]+ "
                            "\\[.*\\] failed: another rank has ended or is more than 10 s late "
                            "\\(QWT_COMM_TIMEOUT_SECONDS\\): Gloo: "));
  kill(ranks[1]->pid(), SIGKILL);
  ranks[1]->Wait();
}

TEST(RankFailureTest, AnInterruptOfOneRankInterruptsAll) {
  const std::string folder = TestFolder("interrupted");
  Ranks ranks = SignalInFit(folder, 2, 1, SIGINT);
  const std::vector<ProgramResult> results = WaitForRanks(ranks);
  EXPECT_EQ(results[0].exit_code, 130);
  EXPECT_EQ(results[1].exit_code, 130);
  EXPECT_EQ(results[0].err, "error (rank 0): fit: interrupted; the same command goes on from here\n");
  EXPECT_EQ(results[1].err, "");
}

TEST(RankFailureTest, UnderOurOwnLauncherTheKilledRankIsNamedToo) {
  const std::string folder = TestFolder("launched");
  std::vector<std::string> arguments = LongFit(folder);
  arguments.push_back("--nproc=2");
  Program program(arguments);
  pid_t rank = 0;
  while (program.running() && StoredBlocks(folder + "/store") == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const std::string pid = std::to_string(program.pid());
  // The kernel lists the children in the order of their start: the last is rank 1.
  std::istringstream children(Contents("/proc/" + pid + "/task/" + pid + "/children"));
  while (children >> rank) continue;
  ASSERT_GT(rank, 0);
  kill(rank, SIGKILL);
  const ProgramResult result = program.Wait();
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("error: rank 1 was ended by signal 9\n"));
  EXPECT_THAT(result.err, HasSubstr("error (rank 0): fit: rank 1 has ended: without a word"));
}

}  // namespace
}  // namespace qwt
