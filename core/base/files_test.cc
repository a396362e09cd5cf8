#include "core/base/files.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

std::string Folder(const std::string& name) {
  const std::string folder = ::testing::TempDir() + name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

int Entries(const std::string& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

TEST(FilesTest, WritesAndReplacesAWholeFile) {
  const std::string folder = Folder("whole");
  const std::string path = folder + "/a";
  ASSERT_EQ(WriteFileAtomically(path, "old"), absl::OkStatus());
  ASSERT_EQ(WriteFileAtomically(path, {"n", "", "ew"}), absl::OkStatus());
  EXPECT_EQ(*ReadFile(path), "new");
  EXPECT_EQ(Entries(folder), 1);
}

TEST(FilesTest, APathWithoutAFolderIsInTheCurrentOne) {
  const fs::path before = fs::current_path();
  fs::current_path(Folder("current"));
  EXPECT_EQ(WriteFileAtomically("a", "text"), absl::OkStatus());
  EXPECT_EQ(*ReadFile("a"), "text");
  fs::current_path(before);
}

// A limit on the size of files stands for a full disk: write() fails after a part was written.
TEST(FilesTest, AFailingWriteLeavesTheOldFileAndNothingElse) {
  const std::string folder = Folder("full");
  const std::string path = folder + "/a";
  ASSERT_EQ(WriteFileAtomically(path, "old"), absl::OkStatus());
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit limited = before;
  limited.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &limited);
  const absl::Status status = WriteFileAtomically(path, std::string(5000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(status, absl::UnavailableError("write '" + path + "': File too large"));
  EXPECT_EQ(*ReadFile(path), "old");
  EXPECT_EQ(Entries(folder), 1);
}

TEST(FilesTest, ErrorsNameTheTarget) {
  EXPECT_EQ(WriteFileAtomically("/nowhere/a", "x"),
            absl::NotFoundError("write '/nowhere/a': No such file or directory"));
  EXPECT_EQ(ReadFile("/nowhere/a").status(), absl::NotFoundError("read '/nowhere/a': No such file or directory"));
  EXPECT_EQ(SyncPath("/nowhere/a"), absl::NotFoundError("sync '/nowhere/a': No such file or directory"));
  const std::string folder = Folder("target");
  fs::create_directories(folder + "/a/b");
  EXPECT_EQ(WriteFileAtomically(folder + "/a", "x"),
            absl::UnavailableError("write '" + folder + "/a': Is a directory"));
  EXPECT_EQ(Entries(folder), 1);
}

TEST(FilesTest, WriteAndSyncNeverReplaces) {
  const std::string path = Folder("sync") + "/a";
  EXPECT_EQ(WriteAndSync(path, {"first"}), absl::OkStatus());
  EXPECT_EQ(WriteAndSync(path, {"second"}), absl::UnavailableError("write '" + path + "': File exists"));
  EXPECT_EQ(*ReadFile(path), "first");
}

}  // namespace
}  // namespace qwt
