// A store on a full disk and one that may only be read: clear words, nothing lost, nothing half-written, the same
// tables afterwards.
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/store_faults.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

std::string StoreOf(const std::string& folder) { return "store '" + folder + "/store'"; }

// It fills up further and further on: a run fails with words that tell where, and the next goes on after it.
TEST(FullDiskTest, WhereverItHappensTheNextRunGoesOn) {
  const std::string whole = TestFolder("whole"), folder = TestFolder("full");
  ASSERT_EQ(RunProgram(TinyRun(whole)).exit_code, 0);
  const int64_t bytes = BytesIn(whole + "/store");
  const size_t entries = EntriesIn(whole + "/store").size();
  size_t stored = 0;
  std::set<std::string> stages;
  for (const double part : {0.01, 0.1, 0.88, 0.92, 0.99}) {
    SCOPED_TRACE(part);
    const ProgramResult run = RunProgram(TinyRun(folder), FullAt(folder, static_cast<int64_t>(part * bytes)));
    EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
    EXPECT_THAT(run.err, HasSubstr(": " + StoreOf(folder) + ": write '" + folder + "/store/v1/tmp/"));
    EXPECT_THAT(run.err, HasSubstr(": No space left on device; choose another folder with runtime.store=DIR\n"));
    stages.insert(run.err.substr(7, run.err.find(':', 7) - 7));
    EXPECT_TRUE(NothingHalfWritten(folder + "/store"));
    EXPECT_EQ(ResultIn(folder + "/out")["status"], "failed");
    EXPECT_FALSE(fs::exists(folder + "/out/model.safetensors"));
    EXPECT_GE(EntriesIn(folder + "/store").size(), stored);
    stored = EntriesIn(folder + "/store").size();
  }
  EXPECT_GE(stages.size(), 3) << testing::PrintToString(stages);
  EXPECT_GT(stored, 2);
  EXPECT_LT(stored, entries);
  // Not even room to begin.
  const ProgramResult none = RunProgram(TinyRun(folder), FullAt(folder, 0));
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("No space left on device; choose another folder with runtime.store=DIR (it can be "
                                  "read, but has "));
  const auto kept = EntriesIn(folder + "/store");
  std::map<fs::path, fs::file_time_type> times;
  for (const auto& [stage, entry] : kept) times[entry] = fs::last_write_time(entry / "payload");
  ASSERT_EQ(RunProgram(TinyRun(folder)).exit_code, 0);
  EXPECT_EQ(FindingsIn(folder), FindingsIn(whole));
  EXPECT_EQ(EntriesIn(folder + "/store").size(), entries);
  for (const auto& [entry, time] : times) EXPECT_EQ(fs::last_write_time(entry / "payload"), time) << "made again";
}

TEST(FullDiskTest, ASweepSaysItOfEachRunAndGoesOnWithTheSameTables) {
  const std::string whole = TestFolder("sweep_whole"), folder = TestFolder("sweep_full");
  ASSERT_EQ(RunProgram(TinySweep(whole, "out")).exit_code, 0);
  const int64_t bytes = BytesIn(whole + "/store");
  const ProgramResult full = RunProgram(TinySweep(folder, "out"), FullAt(folder, bytes * 6 / 10));
  EXPECT_EQ(full.exit_code, 1) << full.out;
  EXPECT_THAT(full.out, HasSubstr("[1/2] w4: ok"));
  EXPECT_THAT(full.out, HasSubstr("[2/2] w3: failed: "));
  EXPECT_THAT(full.out, HasSubstr(StoreOf(folder) + ": write '"));
  EXPECT_THAT(full.out, HasSubstr(": No space left on device; choose another folder with runtime.store=DIR"));
  const nlohmann::json state = nlohmann::json::parse(Contents(folder + "/out/sweep.json"), nullptr, false);
  EXPECT_THAT(state["runs"][1]["error"].get<std::string>(), HasSubstr("No space left on device"));
  EXPECT_TRUE(NothingHalfWritten(folder + "/store"));
  const ProgramResult again = RunProgram(TinySweep(folder, "out"));
  EXPECT_EQ(again.exit_code, 0) << again.out;
  EXPECT_THAT(again.out, HasSubstr("2 of 2 runs done, 0 failed, 1 now"));
  EXPECT_EQ(TablesIn(folder + "/out"), TablesIn(whole + "/out"));
}

class ReadOnlyTest : public testing::Test {
 protected:
  ReadOnlyTest() { EXPECT_EQ(RunProgram(TinyRun(folder_)).exit_code, 0); }

  const std::string folder_ = TestFolder("read_only");
};

TEST_F(ReadOnlyTest, WhatIsFinishedIsRead) {
  const std::string before = FindingsIn(folder_);
  const auto files = FilesIn(folder_ + "/store");
  fs::remove_all(folder_ + "/out");
  const ProgramResult run = RunProgram(TinyRun(folder_), ReadOnly(folder_));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_EQ(FindingsIn(folder_), before);
  EXPECT_EQ(FilesIn(folder_ + "/store"), files);
  for (const auto& stage : ResultIn(folder_ + "/out")["stages"]) EXPECT_EQ(stage["cached"], stage["name"] != "load");
  const ProgramResult planned = RunProgram(TinyRun(folder_, {"--dry_run"}), ReadOnly(folder_));
  EXPECT_THAT(planned.out, HasSubstr("fit                   8  6 of 6"));
}

// Before anything is computed that could then not be kept.
TEST_F(ReadOnlyTest, WhatIsMissingIsSaidBeforeTheWork) {
  fs::remove_all(folder_ + "/out");
  const auto files = FilesIn(folder_ + "/store");
  const ProgramResult run = RunProgram(TinyRun(folder_, {"fit.ridge=1"}), ReadOnly(folder_));
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("error: " + StoreOf(folder_) + ": write '" + folder_ + "/store/v1/tmp/"));
  EXPECT_THAT(run.err, HasSubstr(": Read-only file system; choose another folder with runtime.store=DIR (it can be "
                                 "read, but has 0 of 6 entries of fit)\n"));
  EXPECT_THAT(run.out, Not(HasSubstr("calibrate")));
  EXPECT_FALSE(fs::exists(folder_ + "/out"));
  EXPECT_EQ(FilesIn(folder_ + "/store"), files);
  const ProgramResult elsewhere =
      RunProgram(TinyRun(folder_, {"runtime.store=" + folder_ + "/never/store"}),
                 {{"LD_PRELOAD", ReadOnly(folder_)["LD_PRELOAD"]}, {"QWT_FAULT_FOLDER", folder_ + "/never"}});
  EXPECT_EQ(elsewhere.exit_code, 2);
  EXPECT_THAT(elsewhere.err, HasSubstr("make folder '" + folder_ +
                                       "/never/store/v1/tmp': Read-only file system; "
                                       "choose another folder with runtime.store=DIR\n"));
}

TEST_F(ReadOnlyTest, ADamagedEntryIsAnErrorAndStays) {
  const fs::path payload = EntriesIn(folder_ + "/store").find("diagnose")->second / "payload";
  std::string content = Contents(payload);
  content[content.size() / 2] ^= 1;
  MakeFile(payload, content);
  const ProgramResult run = RunProgram(TinyRun(folder_), ReadOnly(folder_));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("its payload's checksum differs"));
  EXPECT_THAT(run.err, HasSubstr("error: diagnose: " + StoreOf(folder_) + ": remove '"));
  EXPECT_THAT(run.err, HasSubstr(": Read-only file system; choose another folder with runtime.store=DIR\n"));
  EXPECT_TRUE(fs::exists(payload));
}

TEST(ReadOnlySweepTest, WhatIsFinishedMakesTheSameTables) {
  const std::string folder = TestFolder("sweep_read_only");
  ASSERT_EQ(RunProgram(TinySweep(folder, "out")).exit_code, 0);
  const ProgramResult again = RunProgram(TinySweep(folder, "again"), ReadOnly(folder));
  EXPECT_EQ(again.exit_code, 0) << again.out << again.err;
  EXPECT_EQ(TablesIn(folder + "/again"), TablesIn(folder + "/out"));
  std::vector<std::string> other = TinySweep(folder, "other");
  other.push_back("quantize.activation_bits=5");
  const ProgramResult missing = RunProgram(other, ReadOnly(folder));
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.out, HasSubstr("[2/2] w3: failed: " + StoreOf(folder)));
  EXPECT_THAT(missing.out, HasSubstr("(it can be read, but has 0 of 1 entry of calibrate)"));
  EXPECT_THAT(missing.out, Not(HasSubstr("once more"))) << "the user's error";
}

}  // namespace
}  // namespace qwt
