// Entries that are damaged or of other versions, and two who use one store at the same time.
#include <chrono>
#include <csignal>
#include <set>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/store_faults.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// A run that makes every kind of entry there is: of photographs, of which one in each split cannot be decoded.
std::vector<std::string> RunOfAllKinds(const std::string& folder) {
  const std::string images = folder + "/images", jpeg = Contents("tests/golden/transforms/landscape.jpg");
  if (!fs::exists(images)) {
    for (const char* split : {"train", "val"}) {
      for (int label = 0; label < 10; ++label) {
        const std::string path = images + "/" + split + "/" + std::to_string(label);
        fs::create_directories(path);
        MakeFile(path + "/image.jpg", label == 3 ? "no image" : jpeg);
      }
    }
  }
  return ShortQuickstart(folder, {"dataset={name: image_folder, preset: vit, on_bad_image: skip, root: " + images + "}",
                                  "calibrate.images=10", "fit.images=10", "evaluate.images=10", "diagnose.images=10",
                                  "fit.store_sums=true", "evaluate.crop_cache=true"});
}

void Flip(const fs::path& file) {
  std::string content = Contents(file);
  ASSERT_FALSE(content.empty()) << file;
  content[content.size() / 2] ^= 1;
  MakeFile(file, content);
}

int CountOf(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Damages all entries of a kind and removes those of the other kinds, without which they are not looked at; expects
// each to be reported and what `before` says to be found.
void ExpectMended(const std::vector<std::string>& command, const std::string& folder, const std::string& kind,
                  const std::vector<std::string>& removed, const std::string& before) {
  SCOPED_TRACE(kind);
  const std::string store = folder + "/store";
  const auto entries = EntriesIn(store);
  ASSERT_GT(entries.count(kind), 0);
  const auto [begin, end] = entries.equal_range(kind);
  for (auto entry = begin; entry != end; ++entry) Flip(entry->second / "payload");
  for (const std::string& other : removed) {
    const auto [from, to] = entries.equal_range(other);
    for (auto entry = from; entry != to; ++entry) fs::remove_all(entry->second);
  }
  const ProgramResult run = RunProgram(command);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  for (auto entry = begin; entry != end; ++entry) {
    EXPECT_THAT(run.err, HasSubstr("store: entry " + entry->second.string() +
                                   " is dropped and made again: its payload's checksum differs"));
  }
  EXPECT_EQ(CountOf(run.err, "is dropped"), entries.count(kind)) << run.err;
  EXPECT_EQ(FindingsIn(folder), before);
  // Crops come back with the next evaluation.
  EXPECT_GE(EntriesIn(store).size() + (kind == "crops" ? 1 : 0), entries.size());
  EXPECT_TRUE(NothingHalfWritten(store));
}

TEST(DamageTest, AFlippedByteInAnyKindOfEntryIsReportedAndMendedWithTheSameResult) {
  const std::string folder = TestFolder("kinds");
  const ProgramResult first = RunProgram(RunOfAllKinds(folder));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const std::string before = FindingsIn(folder);
  EXPECT_THAT(before, HasSubstr("/train/3/image.jpg"));
  std::set<std::string> kinds;
  for (const auto& [kind, entry] : EntriesIn(folder + "/store")) kinds.insert(kind);
  EXPECT_THAT(kinds,
              ElementsAre("calibrate", "crops", "diagnose", "evaluate", "fit.block", "fit.sums", "quantize", "skipped"))
      << "a new kind of entry is to be damaged here, too";
  const std::map<std::string, std::vector<std::string>> in_place_of = {{"crops", {"evaluate"}},
                                                                       {"fit.sums", {"fit.block"}}};
  for (const std::string& kind : kinds) {
    const auto removed = in_place_of.find(kind);
    ExpectMended(RunOfAllKinds(folder), folder, kind,
                 removed == in_place_of.end() ? std::vector<std::string>() : removed->second, before);
  }
}

// Values between blocks are not kept where images are skipped.
TEST(DamageTest, AFlippedByteInValuesBetweenBlocks) {
  const std::string folder = TestFolder("values");
  const std::vector<std::string> command =
      TinyRun(folder, {"runtime.stored_cache_bytes=100MB", "fit.prefix=quantized"});
  ASSERT_EQ(RunProgram(command).exit_code, 0);
  ExpectMended(command, folder, "activations", {"fit.block"}, FindingsIn(folder));
}

// Each version keeps to its own folder: an older one's entries are neither read nor touched, and that there are a newer
// one's is said.
TEST(VersionTest, OfAnotherFormatNothingIsReadOrTouched) {
  const std::string folder = TestFolder("format"), store = folder + "/store";
  ASSERT_EQ(RunProgram(TinyRun(folder)).exit_code, 0);
  const std::string before = FindingsIn(folder);
  const auto files = FilesIn(store + "/v1");
  for (const std::string version : {"v0", "v2"}) {
    SCOPED_TRACE(version);
    fs::rename(store + "/v1", store + "/" + version);
    const ProgramResult run = RunProgram(TinyRun(folder));
    EXPECT_EQ(run.exit_code, 0) << run.err;
    for (const auto& stage : ResultIn(folder + "/out")["stages"]) EXPECT_EQ(stage["cached"], false) << stage;
    EXPECT_EQ(FindingsIn(folder), before);
    EXPECT_EQ(FilesIn(store + "/" + version), files);
    if (version == "v0") {
      EXPECT_EQ(run.err, "");
    } else {
      EXPECT_THAT(run.err, HasSubstr("store: '" + store +
                                     "' also holds entries of format 2, made by a newer version of this program, which "
                                     "reads and writes format 1: they stay, and what they hold is made again"));
    }
    fs::remove_all(store + "/v1");
    fs::rename(store + "/" + version, store + "/v1");
  }
}

// Of a stage's other version the key is another; under this one's hash it is taken for damage.
TEST(VersionTest, OfAnotherVersionOfAStageNothingIsRead) {
  const std::string folder = TestFolder("stage_version"), store = folder + "/store";
  ASSERT_EQ(RunProgram(TinyRun(folder)).exit_code, 0);
  const std::string before = FindingsIn(folder);
  const auto entries = EntriesIn(store);
  for (const auto& [kind, entry] : entries) {
    std::string key = Contents(entry / "key.txt");
    const size_t version = key.find("stage: " + kind + " ") + 8 + kind.size();
    ASSERT_TRUE(key[version] >= '1' && key[version] <= '9') << key;
    --key[version];
    MakeFile(entry / "key.txt", key);
  }
  const ProgramResult run = RunProgram(TinyRun(folder));
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(CountOf(run.err, "is dropped and made again: key.txt is missing or is another entry's"), entries.size());
  EXPECT_EQ(FindingsIn(folder), before);
}

TEST(TwoAtOnceTest, SweepsOfTheSameSettingsMakeTheTablesOfOne) {
  const std::string alone = TestFolder("alone"), folder = TestFolder("two");
  ASSERT_EQ(RunProgram(TinySweep(alone, "out")).exit_code, 0);
  Program first(TinySweep(folder, "first")), second(TinySweep(folder, "second"));
  const ProgramResult one = first.Wait(), other = second.Wait();
  EXPECT_EQ(one.exit_code, 0) << one.out << one.err;
  EXPECT_EQ(other.exit_code, 0) << other.out << other.err;
  EXPECT_EQ(one.err + other.err, "");
  EXPECT_EQ(TablesIn(folder + "/first"), TablesIn(alone + "/out"));
  EXPECT_EQ(TablesIn(folder + "/second"), TablesIn(alone + "/out"));
  EXPECT_TRUE(NothingHalfWritten(folder + "/store"));
  EXPECT_EQ(EntriesIn(folder + "/store").size(), EntriesIn(alone + "/store").size());
  // Nothing of it is damaged: a third finds all.
  const ProgramResult third = RunProgram(TinySweep(folder, "third"));
  EXPECT_EQ(third.err, "");
  EXPECT_EQ(TablesIn(folder + "/third"), TablesIn(alone + "/out"));
  for (const char* run : {"w4", "w3"}) {
    for (const auto& stage : ResultIn(folder + "/third/runs/" + run)["stages"]) {
      EXPECT_EQ(stage["cached"], stage["name"] != "load") << stage;
    }
  }
}

// Runs that share some: one goes on while the other is killed, and what that left harms nobody.
TEST(TwoAtOnceTest, OneThatIsKilledHarmsNotTheOther) {
  const std::string alone = TestFolder("alone_run"), folder = TestFolder("two_runs");
  ASSERT_EQ(RunProgram(TinyRun(alone)).exit_code, 0);
  Program killed(TinyRun(folder, {"--out=" + folder + "/killed"})), other(TinyRun(folder));
  while (killed.running() && EntriesIn(folder + "/store").empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(killed.pid(), SIGKILL);
  killed.Wait();
  const ProgramResult run = other.Wait();
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(FindingsIn(folder), FindingsIn(alone));
  EXPECT_EQ(RunProgram(TinyRun(folder)).err, "");
  EXPECT_TRUE(NothingHalfWritten(folder + "/store"));
}

}  // namespace
}  // namespace qwt
