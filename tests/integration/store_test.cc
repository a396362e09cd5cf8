// //pipelines:store as a user runs it, beside runs.
#include <unistd.h>

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

ProgramResult Store(const std::string& folder, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "pipelines/store");
  arguments.push_back("--store=" + folder + "/store");
  return RunProgram(arguments);
}

TEST(StoreCommandTest, ShowsChecksAndClearsWhatARunHasKept) {
  const std::string folder = TestFolder("whole");
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  const ProgramResult kinds = Store(folder, {"ls"});
  EXPECT_EQ(kinds.exit_code, 0) << kinds.err;
  EXPECT_THAT(kinds.out, AllOf(StartsWith("store " + folder + "/store: 13 entries, "),
                               HasSubstr("\n  quantize         1  "), HasSubstr("\n  fit.block        6  ")));
  const ProgramResult blocks = Store(folder, {"ls", "fit.block"});
  EXPECT_THAT(blocks.out, AllOf(HasSubstr("  fit.block  blocks.5  "),
                                HasSubstr("  quickstart: vit on fashion_mnist, repq_vit W3/A3, QwT linear\n")));
  EXPECT_EQ(Store(folder, {"verify"}).exit_code, 0);

  for (const auto& file : fs::recursive_directory_iterator(folder + "/store/v1")) {
    if (file.path().filename() == "payload") fs::resize_file(file.path(), fs::file_size(file.path()) - 1);
  }
  const ProgramResult damaged = Store(folder, {"verify"});
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_THAT(damaged.out, HasSubstr("; 13 entries damaged\n"));
  EXPECT_EQ(Store(folder, {"verify", "--drop"}).exit_code, 0);
  EXPECT_THAT(Store(folder, {"ls"}).out, HasSubstr(": 0 entries, 0 B; "));

  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
  EXPECT_THAT(Store(folder, {"gc", "--keep=1MB", "--dry_run"}).out, HasSubstr(" would go; "));
  EXPECT_THAT(Store(folder, {"gc", "--keep=1d"}).out, HasSubstr(": 0 entries, 0 B removed; "));
  EXPECT_THAT(Store(folder, {"gc", "--keep=0", "--keep=1d"}).out, HasSubstr(": 13 entries, "));
  ASSERT_EQ(RunProgram(ShortQuickstart(folder)).exit_code, 0);
}

TEST(StoreCommandTest, WhatIsWrongIsSaid) {
  const std::string folder = TestFolder("wrong");
  const ProgramResult none = Store(folder, {"ls"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, StartsWith("error: there is no store in '" + folder + "/store': "));
  EXPECT_FALSE(fs::exists(folder + "/store"));
  EXPECT_EQ(Store(folder, {"gc"}).exit_code, 2);
  EXPECT_EQ(Store(folder, {"clear"}).exit_code, 2);
  const ProgramResult size = Store(folder, {"gc", "--keep=20 gigabytes"});
  EXPECT_EQ(size.exit_code, 2);
  EXPECT_THAT(size.err, StartsWith("error: --keep=20 gigabytes: must be a size as 20GB"));
}

// Whatever gc removes while they run, they end, with the same result.
TEST(StoreCommandTest, RunsGoOnWhileAllIsRemovedAroundThem) {
  const std::string folder = TestFolder("beside"), fresh = TestFolder("fresh");
  ASSERT_EQ(RunProgram(ShortQuickstart(fresh)).exit_code, 0);
  Program run(ShortQuickstart(folder, {"runtime.stored_cache_bytes=1GB"}));
  int collected = 0;
  while (run.running()) {
    collected += Store(folder, {"gc", "--keep=0"}).exit_code == 0;
    usleep(20'000);
  }
  EXPECT_GT(collected, 0);
  const ProgramResult result = run.Wait();
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(ResultIn(folder + "/out")["blocks"], ResultIn(fresh + "/out")["blocks"]);
  EXPECT_EQ(ResultIn(folder + "/out")["evaluation"], ResultIn(fresh + "/out")["evaluation"]);
}

}  // namespace
}  // namespace qwt
