#include "core/store/inventory.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/base/files.h"
#include "core/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

StoreKey Key(int number) {
  return StoreKey(number % 2 == 0 ? "fit.block" : "evaluate", 1).Add("number", std::to_string(number));
}

std::function<absl::Status(const std::string&)> Writes(const std::string& content) {
  return [content](const std::string& path) { return WriteAndSync(path, {content}); };
}

// Entries 0, 1, … of 1,000 bytes and a little, each last used an hour after the one before; the last is as old as an
// hour. Nobody uses them now.
std::string StoreOf(const std::string& name, int entries) {
  const std::string root = testing::TempDir() + "/" + name;
  fs::remove_all(root);
  auto store = *ArtifactStore::Open(root);
  store->SetMaker("vit W4/A4");
  for (int i = 0; i < entries; ++i) {
    const std::string payload = *store->Put(Key(i), Writes(std::string(1000, 'x')));
    fs::last_write_time(fs::path(payload).parent_path() / "record.json",
                        fs::file_time_type::clock::now() - hours(entries - i));
  }
  return root;
}

std::vector<std::string> Numbers(const std::vector<StoredEntry>& entries) {
  std::vector<std::string> numbers;
  for (const StoredEntry& entry : entries) numbers.push_back(entry.key_text.substr(entry.key_text.size() - 2, 1));
  return numbers;
}

std::vector<std::string> Left(const std::string& root) { return Numbers(TakeInventory(root)->entries); }

int64_t EntryBytes(const std::string& root) { return TakeInventory(root)->entries[0].bytes; }

TEST(InventoryTest, SaysWhatThereIsTheLeastRecentlyUsedFirst) {
  const std::string root = StoreOf("says", 3);
  fs::create_directories(root + "/v0/ab");
  fs::create_directories(root + "/index");
  std::ofstream(root + "/index/some") << "0123456789";
  std::ofstream(root + "/v1/tmp/elsewhere~1~put~0") << "01234";
  const auto inventory = TakeInventory(root);
  ASSERT_TRUE(inventory.ok()) << inventory.status();
  ASSERT_THAT(Numbers(inventory->entries), ElementsAre("0", "1", "2"));
  const StoredEntry& first = inventory->entries[0];
  EXPECT_EQ(first.hash, Key(0).hash());
  EXPECT_EQ(first.kind, "fit.block");
  EXPECT_EQ(first.maker, "vit W4/A4");
  EXPECT_FALSE(first.in_use);
  const fs::path folder = root + "/v1/" + first.hash.substr(0, 2) + "/" + first.hash;
  EXPECT_EQ(first.bytes,
            1000 + static_cast<int64_t>(fs::file_size(folder / "key.txt") + fs::file_size(folder / "record.json")));
  const auto age = std::chrono::system_clock::now() - first.used;
  EXPECT_GE(age, hours(3));
  EXPECT_LT(age, hours(4));
  EXPECT_GT(first.made, first.used);  // the test has set the one alone
  EXPECT_EQ(inventory->index_bytes, 10);
  EXPECT_EQ(inventory->unfinished_bytes, 5);
  EXPECT_THAT(inventory->other_versions, ElementsAre("v0"));
}

TEST(InventoryTest, WhereThereIsNoStoreItSaysSo) {
  EXPECT_EQ(TakeInventory("/nowhere").status(),
            absl::NotFoundError("there is no store in '/nowhere': it has no folder v1, which a run makes when it first "
                                "keeps something; --store=DIR names another (a run's runtime.store)"));
  EXPECT_FALSE(fs::exists("/nowhere"));
}

TEST(InventoryTest, FindsDamage) {
  const std::string root = StoreOf("damage", 2);
  const auto before = *TakeInventory(root);
  for (const StoredEntry& entry : before.entries) EXPECT_EQ(VerifyStored(root, entry), absl::OkStatus());
  const std::string folder = root + "/v1/" + before.entries[1].hash.substr(0, 2) + "/" + before.entries[1].hash;
  ASSERT_TRUE(WriteFileAtomically(folder + "/payload", std::string(999, 'x') + "y").ok());
  EXPECT_EQ(VerifyStored(root, before.entries[0]), absl::OkStatus());
  EXPECT_EQ(VerifyStored(root, before.entries[1]), absl::DataLossError("its payload's checksum differs"));
  ASSERT_TRUE(WriteFileAtomically(folder + "/key.txt", "x").ok());
  EXPECT_EQ(VerifyStored(root, before.entries[1]), absl::DataLossError("key.txt is missing or is another entry's"));
}

TEST(InventoryTest, TheLeastRecentlyUsedGoFirst) {
  const std::string root = StoreOf("bytes", 5);
  const int64_t bytes = EntryBytes(root);
  auto trial = *CollectStore(root, {2 * bytes + bytes / 2, {}}, /*dry_run=*/true);
  EXPECT_THAT(Numbers(trial.removed), ElementsAre("0", "1", "2"));
  EXPECT_THAT(Left(root), ElementsAre("0", "1", "2", "3", "4"));
  {  // Using one makes it the youngest.
    auto store = *ArtifactStore::Open(root);
    ASSERT_TRUE(store->Lookup(Key(0))->has_value());
    ASSERT_TRUE(store->Find(Key(1)).has_value());
  }
  auto done = *CollectStore(root, {2 * bytes + bytes / 2, {}}, /*dry_run=*/false);
  EXPECT_THAT(Numbers(done.removed), ElementsAre("2", "3", "4"));
  EXPECT_THAT(Left(root), UnorderedElementsAre("0", "1"));
  EXPECT_EQ(done.left_bytes, TakeInventory(root)->entries[0].bytes + TakeInventory(root)->entries[1].bytes);
  EXPECT_TRUE(fs::is_empty(root + "/v1/tmp"));
}

TEST(InventoryTest, WhatWasNotUsedForLongGoes) {
  const std::string root = StoreOf("age", 4);
  const auto done = *CollectStore(root, {{}, std::chrono::minutes(150)}, /*dry_run=*/false);
  EXPECT_THAT(Numbers(done.removed), ElementsAre("0", "1"));
  EXPECT_THAT(Left(root), ElementsAre("2", "3"));
}

TEST(InventoryTest, WhatIsInUseStays) {
  const std::string root = StoreOf("pinned", 3);
  auto store = *ArtifactStore::Open(root);
  ASSERT_TRUE(store->Lookup(Key(0))->has_value());
  ASSERT_TRUE(store->Put(Key(3), Writes("new")).ok());
  EXPECT_TRUE(TakeInventory(root)->entries[3].in_use);
  const auto done = *CollectStore(root, {0, {}}, /*dry_run=*/false);
  EXPECT_THAT(Numbers(done.removed), ElementsAre("1", "2"));
  EXPECT_THAT(Numbers(done.in_use), UnorderedElementsAre("0", "3"));
  EXPECT_THAT(Left(root), UnorderedElementsAre("0", "3"));
  store->Unpin(Key(3));
  EXPECT_THAT(Numbers(CollectStore(root, {0, {}}, false)->removed), ElementsAre("3"));
  store.reset();
  EXPECT_THAT(Numbers(CollectStore(root, {0, {}}, false)->removed), ElementsAre("0"));
}

// Pins are the kernel's: those of a process end with it, however that ends.
TEST(InventoryTest, AnotherProcessPinsUntilItIsKilled) {
  const std::string root = StoreOf("killed", 2);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto store = *ArtifactStore::Open(root);
    const bool found = store->Lookup(Key(0))->has_value();
    if (write(ready[1], &found, 1) != 1) _exit(1);
    pause();
  }
  char found = 0;
  ASSERT_EQ(read(ready[0], &found, 1), 1);
  EXPECT_EQ(found, 1);
  EXPECT_EQ(*RemoveStored(root, Key(0).hash()), Removal::kInUse);
  EXPECT_EQ(*RemoveStored(root, Key(1).hash()), Removal::kRemoved);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(*RemoveStored(root, Key(0).hash()), Removal::kRemoved);
}

// Readers and a collector that removes all it may, at once: what is found stays until it is let go of.
TEST(InventoryTest, WhatIsFoundIsThereToRead) {
  const std::string root = StoreOf("race", 0);
  const pid_t collector = fork();
  if (collector == 0) {
    while (true) {
      if (!CollectStore(root, {0, {}}, false).ok()) _exit(1);
    }
  }
  auto store = *ArtifactStore::Open(root);
  int found = 0, removed = 0;
  for (int round = 0; round < 300; ++round) {
    const StoreKey key = Key(round % 3);
    auto payload = *store->Lookup(key);
    found += payload.has_value();
    removed += !payload.has_value();
    if (!payload.has_value()) payload = *store->Put(key, Writes("value"));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    ASSERT_EQ(ReadFile(*payload).value_or("gone"), "value");
    if (round % 4 == 0) store->Unpin(key);
  }
  kill(collector, SIGKILL);
  int status = 0;
  waitpid(collector, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_GT(found, 0);
  EXPECT_GT(removed, 0);
}

TEST(InventoryTest, AMappedEntryIsReadToItsEndThoughItIsRemoved) {
  const std::string root = StoreOf("mapped", 1);
  std::ifstream reader;
  {
    auto store = *ArtifactStore::Open(root);
    reader.open(**store->Lookup(Key(0)));
  }
  EXPECT_EQ(*RemoveStored(root, Key(0).hash()), Removal::kRemoved);
  std::string content((std::istreambuf_iterator<char>(reader)), {});
  EXPECT_EQ(content, std::string(1000, 'x'));
}

}  // namespace
}  // namespace qwt
