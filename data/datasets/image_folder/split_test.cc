// Which index is kept and when it is made anew; image_folder_test.cc looks at the images.
#include "data/datasets/image_folder/split.h"

#include <chrono>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "data/datasets/image_folder/tar_writer.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

class SplitTest : public testing::Test {
 protected:
  SplitTest() {
    fs::remove_all(root_);
    fs::create_directories(store_);
  }

  void Write(const std::string& path, const std::string& content = "x") {
    fs::create_directories((fs::path(root_) / path).parent_path());
    ASSERT_TRUE(WriteFileAtomically(root_ + "/" + path, content).ok());
  }

  // As if everything had been there for long.
  void Settle() {
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      fs::last_write_time(entry.path(),
                          fs::file_time_type::clock::now() - std::chrono::hours(1) - std::chrono::seconds(++settled_));
    }
  }

  // Of the options a flat split for evaluation has all.
  OpenedSplit Open(const std::string& split = "val", const std::string& ground_truth = "") {
    absl::StatusOr<OpenedSplit> opened = OpenSplit({.root = root_,
                                                    .split = split,
                                                    .class_split = ground_truth.empty() ? "" : "train",
                                                    .ground_truth = ground_truth,
                                                    .cache_folder = store_ + "/index"});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *opened;
  }
  std::vector<std::string> Paths(const OpenedSplit& split) {
    std::vector<std::string> paths;
    for (int64_t i = 0; i < split.index->size(); ++i) {
      paths.push_back(absl::StrCat((*split.index)[i].path, " ", (*split.index)[i].label));
    }
    return paths;
  }
  std::string OnlyKept() {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(store_ + "/index")) files.push_back(entry.path());
    EXPECT_EQ(files.size(), 1);
    return files.empty() ? "" : files[0];
  }

  const std::string root_ = testing::TempDir() + "/split", store_ = root_ + "/store";
  int settled_ = 0;
};

using Texts = std::vector<std::string>;

TEST_F(SplitTest, TheSecondStartTakesTheIndex) {
  Write("val/n01/a.jpg");
  Write("val/n02/b.jpg");
  Settle();
  const OpenedSplit first = Open();
  EXPECT_EQ(first.unsaved.size(), 1);
  EXPECT_FALSE(fs::exists(store_ + "/index"));  // nothing is written before it is asked for
  SaveIndices(first);
  const OpenedSplit second = Open();
  EXPECT_TRUE(second.unsaved.empty());
  EXPECT_EQ(Paths(second), Paths(first));
  EXPECT_EQ(second.index->bytes(), first.index->bytes());

  // It is what is kept that is read: without the folder's time nobody sees the difference.
  const auto time = fs::last_write_time(root_ + "/val/n01");
  Write("val/n01/c.jpg");
  fs::last_write_time(root_ + "/val/n01", time);
  EXPECT_EQ(Open().index->size(), 2);
}

TEST_F(SplitTest, AnyChangeOfNamesIsSeen) {
  Write("val/n01/a.jpg");
  Write("val/n02/b.jpg");
  Settle();
  SaveIndices(Open());
  Write("val/n01/c.jpg");
  EXPECT_EQ(Paths(Open()), (Texts{"n01/a.jpg 0", "n01/c.jpg 0", "n02/b.jpg 1"}));
  fs::rename(root_ + "/val/n01/c.jpg", root_ + "/val/n01/d.jpg");
  EXPECT_EQ(Paths(Open()), (Texts{"n01/a.jpg 0", "n01/d.jpg 0", "n02/b.jpg 1"}));
  fs::remove(root_ + "/val/n01/d.jpg");
  Write("val/n00/z.jpg");
  EXPECT_EQ(Paths(Open()), (Texts{"n00/z.jpg 0", "n01/a.jpg 1", "n02/b.jpg 2"}));
  fs::rename(root_ + "/val/n00", root_ + "/val/n03");
  EXPECT_EQ(Paths(Open()), (Texts{"n01/a.jpg 0", "n02/b.jpg 1", "n03/z.jpg 2"}));
  Settle();
  SaveIndices(Open());
  OnlyKept();  // the new index takes the old one's place
  EXPECT_TRUE(Open().unsaved.empty());
}

TEST_F(SplitTest, NothingIsKeptOfWhatChangedJustNow) {
  Write("val/n01/a.jpg");
  EXPECT_TRUE(Open().unsaved.empty());
  Settle();
  EXPECT_EQ(Open().unsaved.size(), 1);
}

TEST_F(SplitTest, ADamagedOrForeignIndexIsMadeAnew) {
  Write("val/n01/a.jpg");
  Settle();
  SaveIndices(Open());
  const std::string kept = OnlyKept(), whole = *ReadFile(kept);
  std::string damaged = whole;
  damaged[damaged.size() - 2] ^= 1;
  for (const auto& [content, said] :
       {std::pair(damaged, "a damaged index of images: its checksum is wrong"),
        std::pair(whole.substr(0, 200), "a damaged index of images: its size is wrong"),
        std::pair(std::string("#!/bin/sh"), "no index of images"), std::pair(std::string(), "no index of images")}) {
    ASSERT_TRUE(WriteFileAtomically(kept, content).ok());
    SetLogFile(root_ + "/log");
    const OpenedSplit opened = Open();
    SetLogFile("");
    EXPECT_TRUE(
        absl::StrContains(*ReadFile(root_ + "/log"), absl::StrCat("index of images is made anew: ", kept, ": ", said)))
        << *ReadFile(root_ + "/log");
    EXPECT_EQ(Paths(opened), Texts{"n01/a.jpg 0"});
    SaveIndices(opened);
    EXPECT_EQ(*ReadFile(kept), whole);
  }
}

TEST_F(SplitTest, NoStoreNoIndex) {
  Write("val/n01/a.jpg");
  Settle();
  fs::remove_all(store_);
  SaveIndices(Open());  // says so in the log
  EXPECT_FALSE(fs::exists(store_));
}

TEST_F(SplitTest, ATarIsKeptByItsSizeAndTime) {
  Write("val.tar", MakeTar({{"n01/a.jpg", "a"}, {"n02/b.jpg", "bee"}}));
  Settle();
  const OpenedSplit first = Open();
  SaveIndices(first);
  const OpenedSplit second = Open();
  EXPECT_TRUE(second.unsaved.empty());
  EXPECT_EQ(second.index->bytes(), first.index->bytes());
  EXPECT_TRUE(second.tar);
  EXPECT_EQ(second.path, root_ + "/val.tar");
  Write("val.tar", MakeTar({{"n01/a.jpg", "a"}}));
  EXPECT_EQ(Paths(Open()), Texts{"n01/a.jpg 0"});
}

TEST_F(SplitTest, LabelsAndClassesOfAFlatSplitArePartOfIt) {
  const std::string list = root_ + "/val.txt";
  Write("val/a.jpg");
  Write("val/b.jpg");
  Write("train/n01/x.jpg");
  Write("train/n03/x.jpg");
  Write("val.txt", "n03\nn01\n");
  Settle();
  SaveIndices(Open("val", list));
  EXPECT_EQ(Paths(Open("val", list)), (Texts{"a.jpg 1", "b.jpg 0"}));
  EXPECT_TRUE(Open("val", list).unsaved.empty());
  Write("val.txt", "n01\nn01\n");
  EXPECT_EQ(Paths(Open("val", list)), (Texts{"a.jpg 0", "b.jpg 0"}));
  Write("train/n00/x.jpg");
  EXPECT_EQ(Paths(Open("val", list)), (Texts{"a.jpg 1", "b.jpg 1"}));
  EXPECT_EQ(Open("val", list).index->classes(), (Texts{"n00", "n01", "n03"}));
}

TEST_F(SplitTest, ATarOfTrainingImagesNumbersTheClasses) {
  const std::string list = root_ + "/val.txt";
  Write("val.tar", MakeTar({{"val/b.jpg", "bee"}, {"val/a.jpg", "a"}}));
  Write("train.tar", MakeTar({{"n02.tar", MakeTar({{"x.jpg", "x"}})}, {"n01.tar", MakeTar({{"x.jpg", "x"}})}}));
  Write("val.txt", "ImageId,PredictionString\nb,n02 1 2 3 4\na,n01 1 2 3 4\n");
  Settle();
  const OpenedSplit first = Open("val", list);
  EXPECT_EQ(Paths(first), (Texts{"val/a.jpg 0", "val/b.jpg 1"}));
  EXPECT_EQ(first.index->classes(), (Texts{"n01", "n02"}));
  EXPECT_EQ(first.unsaved.size(), 2);  // both tars had to be read
  SaveIndices(first);
  EXPECT_TRUE(Open("val", list).unsaved.empty());
  EXPECT_TRUE(Open("train").unsaved.empty());
}

}  // namespace
}  // namespace qwt
