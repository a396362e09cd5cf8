#include "data/datasets/image_folder/image_index.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

const std::string kFingerprint(64, 'f');

ImageIndex Example() {
  ImageIndexBuilder images;
  images.Add("b/2.jpg", 20, 1, 5'000'000'000);
  images.Add("a/1.jpg", 10, 0);
  images.Add("b/1.jpg", 6'000'000'000, 1);
  images.Sort();
  return *images.Build({"a", "b"}, kFingerprint);
}

std::vector<std::string> Texts(const ImageIndex& index) {
  std::vector<std::string> texts;
  for (int64_t i = 0; i < index.size(); ++i) {
    texts.push_back(absl::StrCat(index[i].path, " ", index[i].bytes, " ", index[i].offset, " ", index[i].label));
  }
  return texts;
}

absl::StatusOr<ImageIndex> Read(const std::string& bytes, const std::string& fingerprint = kFingerprint) {
  return ImageIndex::Read(MappedFile::FromBytes(bytes), fingerprint, "x.images");
}

TEST(ImageIndexTest, SortedAndReadBack) {
  const ImageIndex index = Example();
  const std::vector<std::string> expected = {"a/1.jpg 10 0 0", "b/1.jpg 6000000000 0 1", "b/2.jpg 20 5000000000 1"};
  EXPECT_EQ(Texts(index), expected);
  const absl::StatusOr<ImageIndex> again = Read(std::string(index.bytes()));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Texts(*again), expected);
  EXPECT_EQ(again->classes(), (std::vector<std::string>{"a", "b"}));
}

TEST(ImageIndexTest, AnotherFingerprint) {
  EXPECT_EQ(Read(std::string(Example().bytes()), std::string(64, 'g')).status(),
            absl::FailedPreconditionError("x.images: the images' folders have changed since"));
}

TEST(ImageIndexTest, EveryDamageIsSeen) {
  const std::string bytes(Example().bytes());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] ^= 4;
    EXPECT_EQ(Read(damaged).status().code(), absl::StatusCode::kDataLoss) << i;
    EXPECT_EQ(Read(bytes.substr(0, i)).status().code(), absl::StatusCode::kDataLoss) << i;
  }
  EXPECT_EQ(Read(bytes + "a").status(), absl::DataLossError("x.images: a damaged index of images: its size is wrong"));
  EXPECT_EQ(Read(bytes.substr(0, bytes.size() - 1) + "~").status(),
            absl::DataLossError("x.images: a damaged index of images: its checksum is wrong"));
  EXPECT_EQ(Read("#!/bin/sh").status(), absl::DataLossError("x.images: no index of images"));
  std::string newer = bytes;
  newer[8] = 2;
  EXPECT_EQ(Read(newer).status(), absl::DataLossError("x.images: an index of images of version 2"));
}

}  // namespace
}  // namespace qwt
