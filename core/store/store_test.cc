#include "core/store/store.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(::testing::TempDir(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
    log_ = absl::StrCat(root_, ".log");
    fs::remove_all(root_);
    fs::remove(log_);
    SetLogFile(log_);
    store_ = Open();
  }
  void TearDown() override { SetLogFile(""); }

  std::unique_ptr<ArtifactStore> Open() {
    absl::StatusOr<std::unique_ptr<ArtifactStore>> store = ArtifactStore::Open(root_);
    EXPECT_EQ(store.status(), absl::OkStatus());
    return *std::move(store);
  }

  // Puts "some bytes" and returns the folder of the entry.
  std::string PutEntry() {
    absl::StatusOr<std::string> payload = store_->Put(key_, Writer("some bytes"));
    EXPECT_EQ(payload.status(), absl::OkStatus());
    return fs::path(*payload).parent_path().string();
  }

  static std::function<absl::Status(const std::string&)> Writer(const std::string& content) {
    return [content](const std::string& path) { return WriteFileAtomically(path, content); };
  }

  // The entry was dropped with this warning and can be made again.
  void ExpectDropped(const std::string& what) {
    EXPECT_TRUE(fs::exists(EntryFolder()));
    EXPECT_EQ(*store_->Lookup(key_), std::nullopt);
    EXPECT_FALSE(fs::exists(EntryFolder()));
    EXPECT_TRUE(TemporaryIsEmpty());
    const std::string warning = absl::StrCat("store: entry ", key_.hash().substr(0, 12),
                                             " (stage: fit) is damaged: ", what, "; dropped, it will be made again\n");
    EXPECT_TRUE(absl::StrContains(*ReadFile(log_), warning)) << *ReadFile(log_);
    PutEntry();
    EXPECT_NE(*store_->Lookup(key_), std::nullopt);
  }

  std::string EntryFolder() const { return absl::StrCat(root_, "/v1/", key_.hash().substr(0, 2), "/", key_.hash()); }
  bool TemporaryIsEmpty() const { return fs::is_empty(root_ + "/v1/tmp"); }

  std::string root_, log_;
  std::unique_ptr<ArtifactStore> store_;
  StoreKey key_ = StoreKey("fit", 3).Add("seed", "0");
};

TEST(StoreKeyTest, IsTheTextOfItsLines) {
  const StoreKey key = StoreKey("fit", 3).Add("options", "a: 1\nb: 2").Add("seed", "0");
  EXPECT_EQ(key.text(), "format: 1\nstage: fit\nstage_version: 3\noptions: a: 1\n    b: 2\nseed: 0\n");
  EXPECT_EQ(key.hash(), Sha256(key.text()));
}

TEST(StoreKeyTest, ValuesOfSeveralLinesCannotPassForOthers) {
  auto text = [](std::vector<std::pair<std::string, std::string>> pairs) {
    StoreKey key("s", 1);
    for (const auto& [name, value] : pairs) key.Add(name, value);
    return key.text();
  };
  EXPECT_NE(text({{"a", "1\nb: 2"}}), text({{"a", "1"}, {"b", "2"}}));
  EXPECT_NE(text({{"a", "1\n    b: 2"}}), text({{"a", "1\nb: 2"}}));
  EXPECT_NE(text({{"a", "1\n"}}), text({{"a", "1"}}));
  EXPECT_NE(text({{"a", ""}, {"b", ""}}), text({{"a", "\nb: "}}));
  EXPECT_DEATH(StoreKey("s", 1).Add("a: 1", "2"), "broken invariant");
  EXPECT_DEATH(StoreKey("s", 1).Add("a\nb", "2"), "broken invariant");
  EXPECT_DEATH(StoreKey("s", 1).Add("    a", "2"), "broken invariant");
}

TEST_F(StoreTest, WhatWasPutIsFound) {
  EXPECT_FALSE(store_->Contains(key_));
  EXPECT_EQ(*store_->Lookup(key_), std::nullopt);
  EXPECT_EQ(PutEntry(), EntryFolder());
  EXPECT_TRUE(store_->Contains(key_));
  EXPECT_EQ(*store_->Lookup(key_), EntryFolder() + "/payload");
  EXPECT_EQ(*ReadFile(EntryFolder() + "/payload"), "some bytes");
  EXPECT_EQ(*ReadFile(EntryFolder() + "/key.txt"), key_.text());
  EXPECT_EQ(*ReadFile(EntryFolder() + "/record.json"),
            absl::StrCat("{\"sha256\":\"", Sha256("some bytes"), "\",\"size\":10}\n"));
  EXPECT_EQ(*store_->Lookup(StoreKey("fit", 4).Add("seed", "0")), std::nullopt);
  EXPECT_NE(*Open()->Lookup(key_), std::nullopt);
  EXPECT_TRUE(TemporaryIsEmpty());
}

TEST_F(StoreTest, AFlippedByteIsDropped) {
  ASSERT_EQ(WriteFileAtomically(PutEntry() + "/payload", "some bytEs"), absl::OkStatus());
  ExpectDropped("payload's sha256 is not that of its record");
}

TEST_F(StoreTest, ATruncatedPayloadIsDropped) {
  fs::resize_file(PutEntry() + "/payload", 4);
  ExpectDropped("payload has 4 bytes, its record says 10");
}

TEST_F(StoreTest, AMissingPayloadIsDropped) {
  fs::remove(PutEntry() + "/payload");
  ExpectDropped("payload is missing");
}

TEST_F(StoreTest, AMissingRecordIsDropped) {
  fs::remove(PutEntry() + "/record.json");
  EXPECT_FALSE(store_->Contains(key_));
  ExpectDropped("record.json is missing");
}

TEST_F(StoreTest, ABrokenRecordIsDropped) {
  ASSERT_EQ(WriteFileAtomically(PutEntry() + "/record.json", "{\"size\": 10, \"sha"), absl::OkStatus());
  ExpectDropped("record.json is not a record");
}

TEST_F(StoreTest, AnotherKeysTextIsDropped) {
  ASSERT_EQ(WriteFileAtomically(PutEntry() + "/key.txt", "stage: other\n"), absl::OkStatus());
  ExpectDropped("key.txt is not the text of its key");
}

TEST_F(StoreTest, AFileInTheEntrysPlaceIsDropped) {
  fs::create_directories(fs::path(EntryFolder()).parent_path());
  ASSERT_EQ(WriteFileAtomically(EntryFolder(), ""), absl::OkStatus());
  ExpectDropped("record.json is missing");
}

TEST_F(StoreTest, PutReplacesADamagedEntryThatNobodyLookedUp) {
  fs::resize_file(PutEntry() + "/payload", 4);
  PutEntry();
  EXPECT_EQ(*store_->Lookup(key_), EntryFolder() + "/payload");
  EXPECT_EQ(*ReadFile(EntryFolder() + "/payload"), "some bytes");
}

TEST_F(StoreTest, TheFirstOfTwoWritersWins) {
  absl::StatusOr<std::string> second = store_->Put(key_, [&](const std::string& path) {
    PutEntry();  // the other writer is done while this one still writes
    return WriteFileAtomically(path, "other bytes");
  });
  ASSERT_EQ(second.status(), absl::OkStatus());
  EXPECT_EQ(*ReadFile(*second), "some bytes");
  EXPECT_TRUE(TemporaryIsEmpty());
}

TEST_F(StoreTest, ProcessesMayWriteTheSameKeysAtOnce) {
  constexpr int kProcesses = 4, kKeys = 30;
  std::vector<pid_t> children;
  for (int process = 0; process < kProcesses; ++process) {
    const pid_t child = fork();
    if (child == 0) {
      bool good = true;
      for (int i = 0; i < kKeys; ++i) {
        const StoreKey key = StoreKey("fit", 3).Add("i", absl::StrCat(i));
        absl::StatusOr<std::string> payload = store_->Put(key, Writer(absl::StrCat("value ", i)));
        good = good && payload.ok() && *ReadFile(*payload) == absl::StrCat("value ", i);
      }
      _exit(good ? 0 : 1);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  for (int i = 0; i < kKeys; ++i) {
    EXPECT_NE(*store_->Lookup(StoreKey("fit", 3).Add("i", absl::StrCat(i))), std::nullopt);
  }
  EXPECT_TRUE(TemporaryIsEmpty());
}

TEST_F(StoreTest, AFailingWriterLeavesNothing) {
  auto fail = [](const std::string& path) {
    EXPECT_EQ(WriteFileAtomically(path, "half"), absl::OkStatus());
    return absl::CancelledError("interrupted");
  };
  EXPECT_EQ(store_->Put(key_, fail).status(), absl::CancelledError("interrupted"));
  auto raise = [](const std::string&) -> absl::Status { throw std::runtime_error("boom"); };
  EXPECT_EQ(store_->Put(key_, raise).status(), absl::InternalError("writing a payload: boom"));
  auto forget = [](const std::string&) { return absl::OkStatus(); };
  EXPECT_EQ(store_->Put(key_, forget).status(),
            absl::InternalError("store '" + root_ + "': the writer of a payload made no file"));
  EXPECT_FALSE(fs::exists(EntryFolder()));
  EXPECT_TRUE(TemporaryIsEmpty());
}

// A limit on the size of files stands for a full disk.
TEST_F(StoreTest, AFullDiskSaysHowToChooseAnotherStoreAndLeavesNothing) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit limited = before;
  limited.rlim_cur = 1000;
  std::string path;
  const absl::Status status = store_
                                  ->Put(key_,
                                        [&](const std::string& payload) {
                                          path = payload;
                                          setrlimit(RLIMIT_FSIZE, &limited);
                                          return WriteFileAtomically(payload, std::string(5000, 'x'));
                                        })
                                  .status();
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(status, absl::UnavailableError(absl::StrCat("store '", root_, "': write '", path,
                                                        "': File too large; choose another folder with "
                                                        "runtime.store=DIR")));
  EXPECT_FALSE(fs::exists(EntryFolder()));
  EXPECT_TRUE(TemporaryIsEmpty());
}

TEST_F(StoreTest, WhatDeadProcessesLeftIsRemovedAndTheLivingAreLeftAlone) {
  std::string living;
  ASSERT_EQ(store_
                ->Put(key_,
                      [&](const std::string& path) {
                        living = fs::path(path).parent_path().string();
                        // A process that dies while it writes.
                        const pid_t child = fork();
                        if (child == 0) {
                          (void)store_->Put(StoreKey("died", 1), [](const std::string& p) -> absl::Status {
                            (void)WriteFileAtomically(p, "half");
                            _exit(0);
                          });
                        }
                        waitpid(child, nullptr, 0);
                        const std::string other_host = root_ + "/v1/tmp/elsewhere.1.999999999.0";
                        fs::create_directory(other_host);
                        auto count = [&] {
                          return std::distance(fs::directory_iterator(root_ + "/v1/tmp"), fs::directory_iterator());
                        };
                        EXPECT_EQ(count(), 3);
                        Open();
                        EXPECT_EQ(count(), 2);
                        EXPECT_TRUE(fs::exists(living));
                        EXPECT_TRUE(fs::exists(other_host));
                        fs::remove(other_host);
                        return WriteFileAtomically(path, "x");
                      })
                .status(),
            absl::OkStatus());
}

TEST_F(StoreTest, AFolderThatCannotBeMadeSaysHowToChooseAnother) {
  const std::string file = root_ + "/file";
  ASSERT_EQ(WriteFileAtomically(file, ""), absl::OkStatus());
  for (const std::string& root : {file, file + "/below"}) {
    EXPECT_EQ(ArtifactStore::Open(root).status(),
              absl::NotFoundError(absl::StrCat("store '", root, "': create '", root,
                                               "/v1/tmp': Not a directory; choose another folder with "
                                               "runtime.store=DIR")));
  }
  // /proc stands for a file system that cannot be written to: even root can make nothing there.
  EXPECT_EQ(ArtifactStore::Open("/proc/store").status(),
            absl::NotFoundError("store '/proc/store': create '/proc/store/v1/tmp': No such file or directory; choose "
                                "another folder with runtime.store=DIR"));
}

}  // namespace
}  // namespace qwt
