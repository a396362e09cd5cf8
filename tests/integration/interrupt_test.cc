// A run that is stopped in the middle of fit, by Ctrl-C or by SIGKILL, goes on after the last finished block.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

int StoredBlocks(const std::string& store) {
  int blocks = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(store, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename() != "record.json" || entry->path().string().find("/v1/tmp/") != std::string::npos)
      continue;
    blocks += Contents(entry->path().parent_path() / "key.txt").find("fit.block") != std::string::npos;
  }
  return blocks;
}

// Enough images that a fit is still going on when its first block is stored.
std::vector<std::string> LongFit(const std::string& folder) { return ShortQuickstart(folder, {"fit.images=512"}); }

// Starts a run and sends the signal once a block is stored; the blocks stored at its end.
int StopInFit(const std::string& folder, int signal, ProgramResult* result) {
  Program program(LongFit(folder));
  while (program.running() && StoredBlocks(folder + "/store") == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  kill(program.pid(), signal);
  *result = program.Wait();
  return StoredBlocks(folder + "/store");
}

void ExpectResumes(const std::string& folder, int stored) {
  EXPECT_GE(stored, 1);
  EXPECT_LT(stored, 6) << "the run was over before it was stopped";
  std::vector<std::string> kept;
  for (const auto& entry : fs::recursive_directory_iterator(folder + "/store")) {
    // The record's time is that of its last use.
    const std::string path = entry.path();
    const bool whole = fs::exists(entry.path().parent_path() / "record.json");
    if (entry.path().filename() == "payload" && whole && path.find("/v1/tmp/") == std::string::npos)
      kept.push_back(path);
  }
  std::map<std::string, fs::file_time_type> times;
  for (const std::string& path : kept) times[path] = fs::last_write_time(path);

  const ProgramResult resumed = RunProgram(LongFit(folder));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(StoredBlocks(folder + "/store"), 6);
  for (const std::string& path : kept) EXPECT_EQ(fs::last_write_time(path), times[path]) << path << " was made again";

  const std::string whole = TestFolder("uninterrupted");
  ASSERT_EQ(RunProgram(LongFit(whole)).exit_code, 0);
  EXPECT_EQ(ResultIn(whole + "/out")["blocks"], ResultIn(folder + "/out")["blocks"]);
  EXPECT_EQ(ResultIn(whole + "/out")["evaluation"], ResultIn(folder + "/out")["evaluation"]);
}

TEST(InterruptTest, AKilledRunGoesOnAfterTheLastFinishedBlock) {
  const std::string folder = TestFolder("killed");
  ProgramResult killed;
  const int stored = StopInFit(folder, SIGKILL, &killed);
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_FALSE(fs::exists(folder + "/out/result.json"));
  EXPECT_FALSE(fs::exists(folder + "/out/model.safetensors"));
  ExpectResumes(folder, stored);
}

TEST(InterruptTest, SeveralRanksStopTogetherAndOneSaysIt) {
  const std::string folder = TestFolder("ranks");
  std::vector<std::string> arguments = LongFit(folder);
  arguments.push_back("--nproc=2");
  Program program(arguments);
  while (program.running() && StoredBlocks(folder + "/store") == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(program.pid(), SIGINT);
  const ProgramResult stopped = program.Wait();
  EXPECT_EQ(stopped.exit_code, 130);
  EXPECT_EQ(stopped.err, "error (rank 0): fit: interrupted; the same command goes on from here\n");
  ExpectResumes(folder, StoredBlocks(folder + "/store"));
}

TEST(InterruptTest, CtrlCEndsWith130AndKeepsWhatIsDone) {
  const std::string folder = TestFolder("interrupted");
  ProgramResult stopped;
  const int stored = StopInFit(folder, SIGINT, &stopped);
  EXPECT_EQ(stopped.exit_code, 130);
  EXPECT_EQ(stopped.err, "error: fit: interrupted; the same command goes on from here\n");
  const nlohmann::json result = ResultIn(folder + "/out");
  EXPECT_EQ(result["status"], "failed");
  EXPECT_EQ(result["error"], "fit: interrupted; the same command goes on from here");
  EXPECT_FALSE(fs::exists(folder + "/out/model.safetensors"));
  ExpectResumes(folder, stored);
}

}  // namespace
}  // namespace qwt
