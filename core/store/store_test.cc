#include "core/store/store.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <stdexcept>

#include "core/base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const StoreKey kKey = StoreKey("fit", 1).Add("seed", "0");

std::string FreshRoot(const std::string& name) {
  const std::string root = testing::TempDir() + "/" + name;
  fs::remove_all(root);
  return root;
}

std::unique_ptr<ArtifactStore> OpenStore(const std::string& root) {
  auto store = ArtifactStore::Open(root);
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

std::function<absl::Status(const std::string&)> Writes(const std::string& content) {
  return [content](const std::string& path) { return WriteAndSync(path, {content}); };
}

int TemporaryFolders(const std::string& root) {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(root + "/v1/tmp")) ++count;
  return count;
}

TEST(StoreKeyTest, AValueOfSeveralLinesIsNotAnotherKey) {
  EXPECT_EQ(StoreKey("fit", 1).Add("a", "1\nb: 2").text(), "format: 1\nstage: fit 1\na: 1\n  b: 2\n");
  EXPECT_NE(StoreKey("fit", 1).Add("a", "1\nb: 2").hash(), StoreKey("fit", 1).Add("a", "1").Add("b", "2").hash());
  EXPECT_NE(StoreKey("fit", 1).hash(), StoreKey("fit", 2).hash());
  const StoreKey plain("fit", 1);
  EXPECT_NE(StoreKey(plain).Add("a", "1\n  b: 2").text(), StoreKey(plain).Add("a", "1\nb: 2").text());
  EXPECT_NE(StoreKey(plain).Add("a", "1\n").text(), StoreKey(plain).Add("a", "1").text());
  EXPECT_DEATH(StoreKey(plain).Add("a: 1", "2"), "broken invariant");
  EXPECT_DEATH(StoreKey(plain).Add("a\nb", "2"), "broken invariant");
  EXPECT_DEATH(StoreKey(plain).Add("  a", "2"), "broken invariant");
}

TEST(StoreTest, FindsWhatWasPut) {
  auto store = OpenStore(FreshRoot("put"));
  EXPECT_FALSE(store->Contains(kKey));
  EXPECT_FALSE(store->Lookup(kKey)->has_value());
  auto payload = store->Put(kKey, Writes("value"));
  ASSERT_TRUE(payload.ok()) << payload.status();
  EXPECT_TRUE(store->Contains(kKey));
  EXPECT_EQ(store->Lookup(kKey)->value(), *payload);
  EXPECT_EQ(*ReadFile(*payload), "value");
  EXPECT_EQ(*ReadFile(fs::path(*payload).parent_path() / "key.txt"), kKey.text());
  EXPECT_EQ(TemporaryFolders(store->root()), 0);
  EXPECT_FALSE(store->Contains(StoreKey("fit", 1).Add("seed", "1")));
}

// Damages an entry, expects it to be reported, dropped and made again.
void ExpectDropped(const std::string& name, const std::function<void(const fs::path& folder)>& damage,
                   const std::string& reason) {
  auto store = OpenStore(FreshRoot(name));
  const fs::path folder = fs::path(*store->Put(kKey, Writes("value"))).parent_path();
  damage(folder);
  testing::internal::CaptureStderr();
  auto found = store->Lookup(kKey);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("is dropped and made again: " + reason));
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found->has_value());
  EXPECT_FALSE(fs::exists(folder));
  ASSERT_TRUE(store->Put(kKey, Writes("value")).ok());
  EXPECT_TRUE(store->Lookup(kKey)->has_value());
}

TEST(StoreTest, DropsADamagedEntry) {
  const auto put = [](const char* file, const char* content) {
    return [=](const fs::path& folder) { ASSERT_TRUE(WriteFileAtomically(folder / file, content).ok()); };
  };
  ExpectDropped("flipped", put("payload", "valuf"), "its payload's checksum differs");
  ExpectDropped("truncated", put("payload", "val"), "its payload has 3 bytes, 5 were written");
  ExpectDropped("other_key", put("key.txt", "x"), "key.txt is missing or is another entry's");
  ExpectDropped("record", put("record.json", "{"), "record.json is damaged");
  ExpectDropped(
      "no_payload", [](const fs::path& folder) { fs::remove(folder / "payload"); }, "its payload is missing");
  ExpectDropped(
      "half", [](const fs::path& folder) { fs::remove(folder / "record.json"); },
      "record.json is missing: it was half written");
}

TEST(StoreTest, AFailedWriteLeavesNothing) {
  auto store = OpenStore(FreshRoot("failed"));
  auto payload = store->Put(kKey, [](const std::string& path) {
    EXPECT_TRUE(WriteAndSync(path, {"half"}).ok());
    return absl::ResourceExhaustedError("disk full");
  });
  EXPECT_EQ(payload.status(), absl::ResourceExhaustedError("store '" + store->root() + "': disk full"));
  EXPECT_FALSE(store->Contains(kKey));
  EXPECT_EQ(TemporaryFolders(store->root()), 0);
}

TEST(StoreTest, AWriterThatThrowsIsAnErrorAndLeavesNothing) {
  auto store = OpenStore(FreshRoot("throws"));
  auto payload = store->Put(kKey, [](const std::string&) -> absl::Status { throw std::runtime_error("boom"); });
  EXPECT_EQ(payload.status(), absl::InternalError("store '" + store->root() + "': writing a payload: boom"));
  EXPECT_EQ(TemporaryFolders(store->root()), 0);
}

// The payload's own folder is named, hence the store is what has no room.
TEST(StoreTest, AFullDiskSaysHowToChooseAnotherStore) {
  auto store = OpenStore(FreshRoot("hint"));
  std::string message;
  auto payload = store->Put(kKey, [&](const std::string& path) {
    message = "write '" + path + "': No space left on device";
    return absl::ResourceExhaustedError(message);
  });
  EXPECT_EQ(payload.status(), absl::ResourceExhaustedError("store '" + store->root() + "': " + message +
                                                           "; choose another folder with runtime.store=DIR"));
}

// A payload that cannot be read (here: a folder in its place) may be whole: it is an error, and stays.
TEST(StoreTest, WhatCannotBeReadIsNotDropped) {
  auto store = OpenStore(FreshRoot("unreadable"));
  const std::string payload = *store->Put(kKey, Writes("value"));
  fs::remove(payload);
  fs::create_directory(payload);
  EXPECT_EQ(store->Lookup(kKey).status(),
            absl::UnavailableError("store '" + store->root() + "': read '" + payload +
                                   "': Is a directory; choose another folder with runtime.store=DIR"));
  EXPECT_TRUE(fs::exists(payload));
}

TEST(StoreTest, PutReplacesADamagedEntryAndWhatElseIsInItsPlace) {
  auto store = OpenStore(FreshRoot("replaces"));
  const fs::path folder = fs::path(*store->Put(kKey, Writes("value"))).parent_path();
  fs::resize_file(folder / "payload", 2);
  ASSERT_EQ(store->Put(kKey, Writes("value")).status(), absl::OkStatus());
  EXPECT_EQ(*ReadFile(folder / "payload"), "value");
  fs::remove_all(folder);
  ASSERT_EQ(WriteFileAtomically(folder, "a file"), absl::OkStatus());
  ASSERT_EQ(store->Put(kKey, Writes("value")).status(), absl::OkStatus());
  EXPECT_EQ(*ReadFile(folder / "payload"), "value");
  EXPECT_EQ(TemporaryFolders(store->root()), 0);
}

TEST(StoreTest, TheLivingAndOtherHostsKeepTheirTemporaryFolders) {
  auto store = OpenStore(FreshRoot("living"));
  const std::string elsewhere = store->root() + "/v1/tmp/elsewhere~999999999~0";
  fs::create_directory(elsewhere);
  auto payload = store->Put(kKey, [&](const std::string& path) {
    // Another process opens the store while this one writes.
    const pid_t child = fork();
    if (child == 0) _exit(ArtifactStore::Open(store->root()).ok() ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    return WriteAndSync(path, {"value"});
  });
  EXPECT_EQ(payload.status(), absl::OkStatus());
  EXPECT_TRUE(fs::exists(elsewhere));
}

TEST(StoreTest, AFileThatMayNotGrowIsAnErrorAndLeavesNothing) {
  auto store = OpenStore(FreshRoot("limit"));
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    auto payload = store->Put(kKey, Writes(std::string(10000, 'x')));
    _exit(payload.ok() ? 1 : 0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(store->Contains(kKey));
  EXPECT_EQ(TemporaryFolders(store->root()), 0);
}

// Pins hold file numbers, of which whoever uses the entries needs some.
TEST(StoreTest, MoreEntriesThanFilesMayBeOpenLeaveFilesToOthers) {
  constexpr int kEntries = 100;
  auto store = OpenStore(FreshRoot("many"));
  for (int i = 0; i < kEntries; ++i) {
    ASSERT_TRUE(store->Put(StoreKey("many", i), Writes("value")).ok());
    store->Unpin(StoreKey("many", i));
  }
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit = {64, 64};
    setrlimit(RLIMIT_NOFILE, &limit);
    bool ok = true;
    for (int i = 0; ok && i < kEntries; ++i) {
      const auto payload = store->Lookup(StoreKey("many", i));
      ok = payload.ok() && payload->has_value() && ReadFile(**payload).value_or("") == "value";
    }
    for (int i = kEntries; ok && i < 2 * kEntries; ++i) ok = store->Put(StoreKey("many", i), Writes("value")).ok();
    _exit(ok ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(StoreTest, RemovesWhatAKilledProcessLeft) {
  const std::string root = FreshRoot("leftovers");
  const pid_t child = fork();
  if (child == 0) {
    auto store = ArtifactStore::Open(root);
    (void)(*store)->Put(kKey, [](const std::string& path) {
      (void)WriteAndSync(path, {"half"});
      raise(SIGKILL);
      return absl::OkStatus();
    });
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(TemporaryFolders(root), 1);
  auto store = OpenStore(root);
  EXPECT_EQ(TemporaryFolders(root), 0);
  EXPECT_FALSE(store->Contains(kKey));
}

TEST(StoreTest, TwoWritersOfOneKeyBothGetAWholeEntry) {
  const std::string root = FreshRoot("two");
  auto store = OpenStore(root);
  auto inner = store->Put(kKey, [&](const std::string& path) {
    EXPECT_TRUE(store->Put(kKey, Writes("same")).ok());  // the other writer, in between
    return WriteAndSync(path, {"same"});
  });
  ASSERT_TRUE(inner.ok()) << inner.status();
  EXPECT_EQ(*ReadFile(*inner), "same");
  EXPECT_EQ(TemporaryFolders(root), 0);
  pid_t children[4];
  for (pid_t& child : children) {
    child = fork();
    if (child != 0) continue;
    auto mine = ArtifactStore::Open(root);
    bool ok = mine.ok();
    for (int i = 0; ok && i < 50; ++i) ok = (*mine)->Put(StoreKey("race", i), Writes("same")).ok();
    _exit(ok ? 0 : 1);
  }
  for (pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(store->Lookup(StoreKey("race", i))->has_value());
}

TEST(StoreTest, ARootThatCannotBeUsedSaysHowToChooseAnother) {
  const std::string file = testing::TempDir() + "/a_file";
  ASSERT_TRUE(WriteFileAtomically(file, "x").ok());
  EXPECT_EQ(ArtifactStore::Open(file + "/store").status(),
            absl::NotFoundError("store '" + file + "/store': make folder '" + file +
                                "/store/v1/tmp': Not a directory; choose another folder with runtime.store=DIR"));
  EXPECT_THAT(std::string(ArtifactStore::Open("/proc/store").status().message()),
              testing::EndsWith("; choose another folder with runtime.store=DIR"));
}

}  // namespace
}  // namespace qwt
