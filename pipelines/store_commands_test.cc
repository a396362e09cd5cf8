#include "pipelines/store_commands.h"

#include <filesystem>

#include "core/base/files.h"
#include "core/store/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const StoreKey kBlock = StoreKey("fit.block", 1).Add("fit", "ridge: 0\nmodel: inner").Add("block", "blocks.3");
const StoreKey kFloat = StoreKey("evaluate", 2).Add("model", "float").Add("compared with", std::string(64, 'a'));

// Two entries, the second of 3 MB; used an hour and now.
std::string MakeStore(const std::string& name) {
  const std::string root = testing::TempDir() + "/" + name;
  fs::remove_all(root);
  auto store = *ArtifactStore::Open(root);
  store->SetMaker("quickstart: vit, W4/A4");
  const auto put = [&](const StoreKey& key, size_t bytes) {
    const std::string content(bytes, 'x');
    return fs::path(*store->Put(key, [&](const std::string& path) { return WriteAndSync(path, {content}); }))
        .parent_path();
  };
  const fs::path block = put(kBlock, 1000);
  for (const char* file : {"record.json", "payload"}) {
    fs::last_write_time(block / file, fs::file_time_type::clock::now() - std::chrono::minutes(61));
  }
  put(kFloat, 3000000);
  return root;
}

std::string PayloadOf(const std::string& root, const StoreKey& key) {
  return root + "/v1/" + key.hash().substr(0, 2) + "/" + key.hash() + "/payload";
}

TEST(StoreCommandsTest, KindsTheLargestFirst) {
  const std::string root = MakeStore("kinds");
  const auto text = StoreToText(root, "", false);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, StartsWith("store " + root + ": 2 entries, 3.0 MB; the disk has "));
  EXPECT_THAT(*text, testing::EndsWith(" free\n\n"
                                       "  kind       entries    size  share   oldest  last used  in use\n"
                                       "  evaluate         1  3.0 MB  100 %      now        now       -\n"
                                       "  fit.block        1  1.2 kB    0 %  1 h ago    1 h ago       -\n"));
  const auto store = *ArtifactStore::Open(root);
  ASSERT_TRUE(store->Lookup(kBlock)->has_value());
  EXPECT_THAT(*StoreToText(root, "", false),
              HasSubstr("  fit.block        1  1.2 kB    0 %  1 h ago        now       1\n"));
}

TEST(StoreCommandsTest, EntriesWithWhatMadeThem) {
  const std::string root = MakeStore("entries");
  const std::string block = kBlock.hash().substr(0, 12), evaluation = kFloat.hash().substr(0, 12);
  EXPECT_EQ(*StoreToText(root, "", true),
            "store " + root +
                ": 2 entries, 3.0 MB\n\n"
                "  hash          kind       of          size  last used  in use  made by\n"
                "  " +
                evaluation +
                "  evaluate   float     3.0 MB        now       -  quickstart: vit, W4/A4\n"
                "  " +
                block + "  fit.block  blocks.3  1.2 kB    1 h ago       -  quickstart: vit, W4/A4\n");
  EXPECT_THAT(*StoreToText(root, "evaluate", false),
              AllOf(HasSubstr(": 1 entry, 3.0 MB\n"), Not(HasSubstr("fit.block"))));
  const std::string one = *StoreToText(root, block.substr(0, 8), false);
  EXPECT_THAT(one, AllOf(StartsWith(root + "/v1/" + block.substr(0, 2) + "/" + kBlock.hash() + "\n"),
                         HasSubstr("made 1 h ago by quickstart: vit, W4/A4, last used 1 h ago\n\n"),
                         testing::EndsWith(kBlock.text())));
  EXPECT_EQ(StoreToText(root, "fits", false).status(),
            absl::NotFoundError("store '" + root +
                                "' has no entry of kind 'fits', nor one whose hash begins so; "
                                "there are: evaluate, fit.block"));
}

TEST(StoreCommandsTest, AnEmptyStoreAndOtherVersions) {
  const std::string root = testing::TempDir() + "/empty";
  fs::remove_all(root);
  (void)*ArtifactStore::Open(root);
  EXPECT_THAT(*StoreToText(root, "", false),
              AllOf(StartsWith("store " + root + ": 0 entries, 0 B; "), testing::EndsWith(" free\n")));
  EXPECT_THAT(StoreToText(root, "fit", false).status().message(), HasSubstr("; it is empty"));
  EXPECT_EQ(VerifyStore(root, false)->text, "store " + root + ": 0 entries, 0 B read; all are whole\n");
  fs::create_directories(root + "/v0");
  EXPECT_THAT(*StoreToText(root, "", false),
              HasSubstr("  " + root +
                        "/v0 is of another version of QwT, which keeps its entries in v0 as this one does in "
                        "v1; if you no longer run it: rm -r " +
                        root + "/v0\n"));
  EXPECT_EQ(CollectStore(root, {0, {}}, false)->removed.size(), 0u);
  EXPECT_TRUE(fs::exists(root + "/v0"));
}

TEST(StoreCommandsTest, VerifyNamesWhatIsDamagedAndDropsItWhenAsked) {
  const std::string root = MakeStore("verify");
  EXPECT_EQ(VerifyStore(root, false)->text, "store " + root + ": 2 entries, 3.0 MB read; all are whole\n");
  ASSERT_TRUE(WriteFileAtomically(PayloadOf(root, kBlock), std::string(999, 'x') + "y").ok());
  const std::string line = "  fit.block " + kBlock.hash() + ": its payload's checksum differs ";
  const auto found = *VerifyStore(root, false);
  EXPECT_EQ(found.damaged, 1);
  EXPECT_EQ(found.text, line + "(damaged)\nstore " + root + ": 2 entries, 3.0 MB read; 1 entry damaged\n" +
                            "A run that needs a damaged entry drops it and makes it anew; --drop does so now.\n");
  const auto dropped = *VerifyStore(root, true);
  EXPECT_EQ(dropped.damaged, 0);
  EXPECT_THAT(dropped.text, StartsWith(line + "(dropped)\n"));
  EXPECT_FALSE(fs::exists(PayloadOf(root, kBlock)));
  EXPECT_TRUE(fs::exists(PayloadOf(root, kFloat)));
}

TEST(StoreCommandsTest, GcSaysWhatItRemovesAndWhatIsInUse) {
  const std::string root = MakeStore("gc");
  EXPECT_EQ(*CollectToText(root, {3000500, {}}, /*dry_run=*/true),
            "  fit.block: 1 entry, 1.2 kB, last used 1 h ago\n"
            "store " +
                root + ": 1 entry, 1.2 kB would go; 3.0 MB would be left\n");
  EXPECT_TRUE(fs::exists(PayloadOf(root, kBlock)));
  const auto store = *ArtifactStore::Open(root);
  ASSERT_TRUE(store->Find(kFloat).has_value());
  EXPECT_EQ(*CollectToText(root, {0, {}}, /*dry_run=*/false),
            "  fit.block: 1 entry, 1.2 kB, last used 1 h ago\n"
            "store " +
                root +
                ": 1 entry, 1.2 kB removed; 3.0 MB left\n"
                "  left because runs use them now: 1 entry, 3.0 MB\n");
  EXPECT_FALSE(fs::exists(PayloadOf(root, kBlock)));
  EXPECT_TRUE(fs::exists(PayloadOf(root, kFloat)));
}

TEST(StoreCommandsTest, WhatToKeep) {
  EXPECT_EQ(ParseKeep({"20GB"})->bytes, 20000000000);
  EXPECT_EQ(ParseKeep({"1.5MB"})->bytes, 1500000);
  EXPECT_EQ(ParseKeep({"2GiB"})->bytes, int64_t{2} << 30);
  EXPECT_EQ(ParseKeep({"0"})->bytes, 0);
  EXPECT_EQ(ParseKeep({"30d"})->unused, std::chrono::hours(720));
  EXPECT_EQ(ParseKeep({"2w"})->unused, std::chrono::hours(336));
  const Keep both = *ParseKeep({"20GB", "12h"});
  EXPECT_EQ(both.bytes, 20000000000);
  EXPECT_EQ(both.unused, std::chrono::hours(12));
  for (const char* value : {"", "GB", "20 GB", "20gb", "1.2.3GB", "-5GB", "30m", "1e3"}) {
    EXPECT_EQ(ParseKeep({value}).status(),
              absl::InvalidArgumentError(std::string("--keep=") + value +
                                         ": must be a size as 20GB, 500MB or 1.5TB, or the "
                                         "time since last use as 30d, 12h or 2w"));
  }
}

}  // namespace
}  // namespace qwt
