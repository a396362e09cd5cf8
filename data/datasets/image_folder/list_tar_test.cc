#include "data/datasets/image_folder/list_tar.h"

#include "absl/strings/str_cat.h"
#include "data/datasets/image_folder/tar_writer.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr char kPath[] = "val.tar";

absl::StatusOr<Listing> List(const std::string& tar, bool flat = false) {
  return ListTar(*MappedFile::FromBytes(tar), kPath, flat);
}

absl::Status Error(const std::string& tar) { return List(tar).status(); }

// "path label content" of each image, the content taken from its place.
std::vector<std::string> Images(const std::string& tar, const Listing& listing) {
  std::vector<std::string> images;
  for (int64_t i = 0; i < listing.images.size(); ++i) {
    const ImageIndex::Image image = listing.images[i];
    images.push_back(absl::StrCat(image.path, " ", image.label, " ", tar.substr(image.offset, image.bytes)));
  }
  return images;
}

using Texts = std::vector<std::string>;

TEST(ListTarTest, ClassFoldersInEveryFormatAndOrder) {
  for (const char* format : {"ustar", "gnutar", "pax"}) {
    for (const char* prefix : {"", "./", "val/", "./some/where/"}) {
      const auto at = [&](const std::string& name) { return prefix + name; };
      const std::string big(1500, 'x');
      const std::string tar = MakeTar({{at("n02"), "", TarEntry::kFolder},
                                       {at("n02/b.JPEG"), "bee"},
                                       {at("n01/a.png"), big},
                                       {at("n01/notes.txt"), "no image"},
                                       {at("n01/._a.png"), "a Mac's"},
                                       {at("n02/a.jpg"), ""}},
                                      format);
      absl::StatusOr<Listing> listing = List(tar);
      ASSERT_TRUE(listing.ok()) << listing.status() << " " << format << " " << prefix;
      std::string below = prefix;
      if (below.substr(0, 2) == "./") below = below.substr(2);
      EXPECT_EQ(listing->classes, (Texts{"n01", "n02"})) << prefix;
      EXPECT_EQ(Images(tar, *listing),
                (Texts{below + "n01/a.png 0 " + big, below + "n02/a.jpg 1 ", below + "n02/b.JPEG 1 bee"}))
          << format << " " << prefix;
    }
  }
}

TEST(ListTarTest, ATarForEachClass) {
  const std::string n01 = MakeTar({{"n01_1.JPEG", "one"}, {"n01_2.JPEG", "two"}});
  const std::string n00 = MakeTar({{"./n00_7.JPEG", "seven"}});
  const std::string tar = MakeTar({{"n01.tar", n01}, {"n00.tar", n00}});
  absl::StatusOr<Listing> listing = List(tar);
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_EQ(listing->classes, (Texts{"n00", "n01"}));
  EXPECT_EQ(Images(tar, *listing), (Texts{"n00/n00_7.JPEG 0 seven", "n01/n01_1.JPEG 1 one", "n01/n01_2.JPEG 1 two"}));

  EXPECT_EQ(Error(MakeTar({{"n01.tar", n01}, {"n02.tar", MakeTar({{"readme", "x"}})}})),
            absl::DataLossError("val.tar: n02.tar: no images in it"));
  EXPECT_EQ(Error(MakeTar({{"n01.tar", n01.substr(0, 1024)}})),
            absl::DataLossError("val.tar: n01.tar: cut off after member 'n01_1.JPEG': the blocks of zeros that end a "
                                "tar are missing"));
}

TEST(ListTarTest, Flat) {
  const std::string top = MakeTar({{"b.JPEG", "bee"}, {"a.JPEG", "a"}});
  for (bool flat : {false, true}) {
    absl::StatusOr<Listing> listing = List(top, flat);
    ASSERT_TRUE(listing.ok()) << listing.status();
    EXPECT_EQ(listing->classes, Texts{});
    EXPECT_EQ(Images(top, *listing), (Texts{"a.JPEG 0 a", "b.JPEG 0 bee"}));
  }
  const std::string folder = MakeTar({{"val/b.JPEG", "bee"}, {"val/a.JPEG", "a"}});
  EXPECT_EQ(List(folder, true)->classes, Texts{});
  EXPECT_EQ(List(folder, false)->classes, Texts{"val"});
}

TEST(ListTarTest, LongNames) {
  const std::string folder(120, 'c'), name = std::string(130, 'n') + ".jpg";
  for (const char* format : {"gnutar", "pax"}) {
    const std::string tar = MakeTar({{folder + "/" + name, "long"}, {"d/\xc3\xbc.jpg", "utf8"}}, format);
    absl::StatusOr<Listing> listing = List(tar);
    ASSERT_TRUE(listing.ok()) << listing.status();
    EXPECT_EQ(Images(tar, *listing), (Texts{folder + "/" + name + " 0 long", "d/\xc3\xbc.jpg 1 utf8"})) << format;
  }
}

TEST(ListTarTest, Truncated) {
  const std::string tar = MakeTar({{"n01/a.jpg", std::string(3000, 'a')}, {"n01/b.jpg", std::string(3000, 'b')}});
  // A header and six blocks each.
  EXPECT_EQ(
      Error(tar.substr(0, 512 + 1000)),
      absl::DataLossError("val.tar: cut off in member 'n01/a.jpg', which has 3000 bytes, 1000 of them in the file"));
  EXPECT_EQ(Error(tar.substr(0, 3584 + 512)),
            absl::DataLossError("val.tar: cut off in member 'n01/b.jpg', which has 3000 bytes, 0 of them in the file"));
  for (size_t whole : {3584, 2 * 3584}) {
    EXPECT_EQ(Error(tar.substr(0, whole)),
              absl::DataLossError(absl::StrCat("val.tar: cut off after member 'n01/", whole == 3584 ? "a" : "b",
                                               ".jpg': the blocks of zeros that end a tar are missing")));
  }
  EXPECT_EQ(Error(tar.substr(0, 3584 + 100)),
            absl::DataLossError("val.tar: damaged after member 'n01/a.jpg': Truncated tar archive"));
  EXPECT_TRUE(List(tar.substr(0, 2 * 3584 + 512)).ok());
  // Zeros that end an image do not end the tar.
  const std::string zeros = MakeTar({{"n01/a.jpg", std::string(1024, '\0')}});
  EXPECT_EQ(Error(zeros.substr(0, 1536)),
            absl::DataLossError("val.tar: cut off after member 'n01/a.jpg': the blocks of zeros that end a tar are "
                                "missing"));
}

TEST(ListTarTest, WhatCannotBeReadInPlace) {
  EXPECT_EQ(Error(MakeTar({{"n01/a.jpg", std::string(100'000, 'a'), TarEntry::kSparse}}, "pax")),
            absl::DataLossError("val.tar: member 'n01/a.jpg' is sparse; make the tar without --sparse"));
  for (auto link : {TarEntry::kSymbolicLink, TarEntry::kHardLink}) {
    TarEntry entry{"n01/b.jpg", "n01/a.jpg"};
    entry.type = link;
    EXPECT_EQ(Error(MakeTar({{"n01/a.jpg", "a"}, entry})),
              absl::DataLossError("val.tar: member 'n01/b.jpg' is a link or a device; make the tar with --dereference "
                                  "--hard-dereference"));
  }
  for (const auto& [bytes, kind] : {std::pair("\x1f\x8b\x08", "gzip"), std::pair("BZh9", "bzip2"),
                                    std::pair("\xfd"
                                              "7zXZ",
                                              "xz"),
                                    std::pair("\x28\xb5\x2f\xfd", "zstd")}) {
    EXPECT_EQ(Error(bytes), absl::DataLossError(absl::StrCat("val.tar: compressed with ", kind,
                                                             "; images are read at their places in the tar, so it must "
                                                             "be a plain one: uncompress it once")));
  }
}

TEST(ListTarTest, NoTar) {
  EXPECT_EQ(Error("").message().substr(0, 16), "val.tar: no tar:") << Error("");
  EXPECT_EQ(Error(std::string(2000, 'x')), absl::DataLossError("val.tar: no tar: Unrecognized archive format"));
  EXPECT_EQ(Error(MakeTar({{"n01/readme.txt", "x"}})),
            absl::DataLossError("val.tar: no images in it; expected are members CLASS/*.{jpg,jpeg,png}"));
  std::string damaged = MakeTar({{"n01/a.jpg", "a"}, {"n01/b.jpg", "b"}});
  damaged[1024 + 150] ^= 1;  // the checksum of the second header
  EXPECT_EQ(Error(damaged), absl::DataLossError("val.tar: damaged after member 'n01/a.jpg': Damaged tar archive"));
}

TEST(ListTarTest, Layout) {
  EXPECT_EQ(Error(MakeTar({{"n01/a.jpg", "a"}, {"n02/x/b.jpg", "b"}})),
            absl::DataLossError("val.tar: images lie in 'n01' and in 'n02/x'; expected are class folders side by side: "
                                "CLASS/*.{jpg,jpeg,png}"));
  EXPECT_EQ(Error(MakeTar({{"n01/a.jpg", "a"}, {"b.jpg", "b"}})),
            absl::DataLossError("val.tar: images lie in '' and in 'n01'; expected are class folders side by side: "
                                "CLASS/*.{jpg,jpeg,png}"));
  EXPECT_EQ(
      Error(MakeTar({{"val", "", TarEntry::kFolder}, {"val/n01/a.jpg", "a"}, {"val/n02/", "", TarEntry::kFolder}})),
      absl::DataLossError("val.tar: class folder 'val/n02' has no images"));
  EXPECT_EQ(Error(MakeTar({{"n01/a.jpg", "a"}, {"./n01/a.jpg", "newer"}})),
            absl::DataLossError("val.tar: image 'n01/a.jpg' stands in it twice"));
}

}  // namespace
}  // namespace qwt
