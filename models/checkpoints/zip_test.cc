#include "models/checkpoints/zip.h"

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/checkpoints/zip_writer.h"

namespace qwt {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<ZipArchive> Open(const std::string& bytes) {
  return ZipArchive::Open(MappedFile::FromBytes(bytes), "a.zip");
}

std::string ErrorOf(const std::string& bytes) {
  const absl::Status status = Open(bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  return std::string(status.message());
}

// What Read says of the entry "one".
std::string ReadError(const std::string& bytes) {
  const auto archive = Open(bytes);
  EXPECT_TRUE(archive.ok()) << archive.status();
  const absl::Status status = archive->Read("one").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  return std::string(status.message());
}

std::string Replace(std::string bytes, uint64_t offset, const std::string& piece) {
  return bytes.replace(offset, piece.size(), piece);
}

// Two stored entries: "one" at 0 with 3 bytes from 33, "two" at 36 with 4 bytes from 69; directory entries at 73 and
// 122, the end record at 171.
const char kOne[] = "abc", kTwo[] = "defg";
constexpr uint64_t kLocal2 = 36, kEntry1 = 73, kEntry2 = 122, kEnd = 171;
std::string Simple(const ZipOptions& options = {}) { return MakeZip({{"one", kOne}, {"two", kTwo}}, options); }

TEST(ZipTest, StoredEntriesAreViewsOfTheFile) {
  const auto file = MappedFile::FromBytes(Simple());
  const auto archive = ZipArchive::Open(file, "a.zip");
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_EQ(archive->entries().size(), 2);
  EXPECT_EQ(archive->entries().at("two").offset, 69);
  const auto content = archive->Read("two");
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(content->bytes(), kTwo);
  EXPECT_EQ(content->data, file->data() + 69);
}

TEST(ZipTest, TheContentKeepsTheFile) {
  ZipContent content = *Open(Simple())->Read("one");
  EXPECT_EQ(content.bytes(), kOne);
  content.data[0] = 'A';
  EXPECT_EQ(content.bytes(), "Abc");
}

TEST(ZipTest, EveryWayToWriteAnEntry) {
  const std::string text = "a text that a text deflates to a text";
  for (bool deflate : {false, true}) {
    for (bool descriptor : {false, true}) {
      for (bool zip64 : {false, true}) {
        for (bool zip64_end : {false, true}) {
          const auto archive = Open(MakeZip(
              {{"empty", "", deflate, zip64, descriptor}, {"text", text, deflate, zip64, descriptor}, {"plain", "x"}},
              {zip64_end, true, "a comment"}));
          ASSERT_TRUE(archive.ok()) << archive.status();
          EXPECT_EQ(archive->Read("text")->bytes(), text);
          EXPECT_EQ(archive->Read("empty")->bytes(), "");
          EXPECT_EQ(archive->Read("plain")->bytes(), "x");
        }
      }
    }
  }
}

TEST(ZipTest, AnArchiveWithoutEntries) {
  const auto archive = Open(MakeZip({}));
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_TRUE(archive->entries().empty());
}

TEST(ZipTest, NamesAreBytes) {
  const std::string name("one\0x\xff", 6);
  const auto archive = Open(MakeZip({{"one", kOne}, {name, kTwo}}));
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_EQ(archive->Read("one")->bytes(), kOne);
  EXPECT_EQ(archive->Read(name)->bytes(), kTwo);
  EXPECT_EQ(archive->Read(std::string("a\0b", 3)).status(), absl::NotFoundError("a.zip: has no entry 'a\\x00\\x62'"));
}

TEST(ZipTest, NamesInMessagesAreShortUtf8) {
  EXPECT_EQ(ErrorOf(MakeZip({{"\xffé", "x"}, {"\xffé", "x"}})),
            "a.zip: entry '\\xff\\xc3\\xa9': stands in the directory twice");
  EXPECT_EQ(ErrorOf(MakeZip({{"é\n", "x"}, {"é\n", "x"}})), "a.zip: entry 'é\\n': stands in the directory twice");
  const std::string name(60'000, 'x');
  EXPECT_EQ(ErrorOf(MakeZip({{name, "x"}, {name, "x"}})),
            "a.zip: entry '" + std::string(100, 'x') + "…': stands in the directory twice");
}

TEST(ZipTest, ChecksumsAreCompared) {
  EXPECT_EQ(ReadError(Replace(Simple(), 34, "B")),
            "a.zip: entry 'one': its CRC-32 does not match: the file is damaged");
  EXPECT_EQ(Open(Replace(Simple(), 34, "B"))->Read("two")->bytes(), kTwo);
  const std::string deflated = MakeZip({{"one", kOne, true}});
  EXPECT_EQ(ReadError(Replace(deflated, deflated.find("PK\1\2") + 16, "xxxx")),
            "a.zip: entry 'one': its CRC-32 does not match: the file is damaged");
}

TEST(ZipTest, ChecksumsThatNoEntryHasAreNotCompared) {
  EXPECT_EQ(Open(Simple({false, false, ""}))->Read("one")->bytes(), kOne);
  // One entry with a checksum: the others' zeros are wrong ones.
  EXPECT_THAT(ReadError(Replace(Simple(), kEntry1 + 16, Number(0, 4))), HasSubstr("CRC-32 does not match"));
}

TEST(ZipTest, FilesThatAreCutShort) {
  const std::string cut = "a.zip: a zip archive without its end record: the file is cut short";
  const std::string whole = Simple({true, true, "comment"});
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_EQ(ErrorOf(whole.substr(0, size)), cut) << size;
  EXPECT_EQ(ErrorOf(whole + "x"), cut);
  // The beginning is missing: the directory is not where the end record says.
  EXPECT_EQ(ErrorOf(Simple().substr(1)), "a.zip: the directory's 98 bytes at 73 do not end at the end record at 170");
}

TEST(ZipTest, EndRecords) {
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEnd + 8, Number(65000, 2) + Number(65000, 2))),
            "a.zip: the end record says 65000 entries, the directory has 2");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEnd + 8, Number(1, 2) + Number(1, 2))),
            "a.zip: the end record says 1 entries, the directory has 2");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEnd + 16, Number(4000000000, 4))),
            "a.zip: the directory's 98 bytes at 4000000000 do not end at the end record at 171");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEnd + 12, Number(97, 4))),
            "a.zip: the directory's 97 bytes at 73 do not end at the end record at 171");
  const std::string parts = "a.zip: is one part of an archive of several; only whole archives are read";
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEnd + 4, Number(1, 2))), parts);
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEnd + 8, Number(1, 2))), parts);
}

TEST(ZipTest, Zip64EndRecords) {
  const std::string wide = Simple({true, true, ""});  // zip64 end record at 171, locator at 227, end record at 247
  const auto nowhere = [](const char* offset) {
    return std::string("a.zip: the zip64 end record is not at ") + offset + ", where its locator points";
  };
  EXPECT_EQ(ErrorOf(Replace(wide, 227 + 8, Number(170, 8))), nowhere("170"));
  EXPECT_EQ(ErrorOf(Replace(wide, 227 + 8, Number(UINT64_MAX, 8))), nowhere("18446744073709551615"));
  EXPECT_EQ(ErrorOf(Replace(wide, 171 + 4, Number(UINT64_MAX, 8))), nowhere("171"));
  const std::string parts = "a.zip: is one part of an archive of several; only whole archives are read";
  EXPECT_EQ(ErrorOf(Replace(wide, 227 + 16, Number(2, 4))), parts);
  EXPECT_EQ(ErrorOf(Replace(wide, 171 + 20, Number(1, 4))), parts);
  EXPECT_EQ(ErrorOf(Replace(wide, 171 + 32, Number(uint64_t{1} << 60, 8))),
            "a.zip: the end record says 1152921504606846976 entries, the directory has 2");
  EXPECT_EQ(ErrorOf(Replace(wide, 171 + 48, Number(UINT64_MAX - 10, 8))),
            "a.zip: the directory's 98 bytes at 18446744073709551605 do not end at the zip64 end record at 171");
  EXPECT_EQ(ErrorOf(Replace(wide, 171 + 40, Number(181, 8) + Number(UINT64_MAX - 9, 8))),  // the sum wraps to 171
            "a.zip: the directory's 181 bytes at 18446744073709551606 do not end at the zip64 end record at 171");
  EXPECT_EQ(ErrorOf(Replace(wide, 247 + 8, Number(3, 2) + Number(3, 2))),
            "a.zip: the end record and the zip64 end record differ");
}

TEST(ZipTest, DirectoryEntries) {
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2, "x")), "a.zip: the directory has no entry at its byte 49");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 32, Number(1, 2))),
            "a.zip: the directory's entry at its byte 49 ends past the directory");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 34, Number(1, 2))),
            "a.zip: entry 'two': is in another part of an archive of several");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 8, Number(1, 2))), "a.zip: entry 'two': is encrypted");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 10, Number(99, 2))),
            "a.zip: entry 'two': has compression method 99; read are 0 (stored) and 8 (deflated)");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 24, Number(5, 4))),
            "a.zip: entry 'two': is stored as 4 bytes and declares 5");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 24, Number(UINT64_MAX, 4))),
            "a.zip: entry 'two': has no zip64 field for what does not fit 32 bits");
  EXPECT_EQ(ErrorOf(MakeZip({{"one", kOne}, {"two", kTwo}, {"one", kTwo}})),
            "a.zip: entry 'one': stands in the directory twice");
}

TEST(ZipTest, LocalHeaders) {
  const std::string past = "a.zip: entry 'two': its local header at 4000000000 is past the entries' end at 73";
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 42, Number(4000000000, 4))), past);
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 42, Number(37, 4))), "a.zip: entry 'two': has no local header at 37");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 42, Number(0, 4))), "a.zip: entry 'two': its local header names 'one'");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kEntry2 + 20, Number(5, 4) + Number(5, 4))),
            "a.zip: entry 'two': its 5 bytes end past the entries' end at 73");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kLocal2 + 26, Number(40000, 2))),
            "a.zip: entry 'two': its 4 bytes end past the entries' end at 73");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kLocal2 + 6, Number(1, 2))), "a.zip: entry 'two': is encrypted");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kLocal2 + 8, Number(8, 2))),
            "a.zip: entry 'two': its local header has another method");
  EXPECT_EQ(ErrorOf(Replace(Simple(), kLocal2 + 22, Number(3, 4))),
            "a.zip: entry 'two': its local header has another size");
}

TEST(ZipTest, SizesThatWrap) {
  const std::string wide = MakeZip({{"one", kOne, false, true}});
  const std::string size = Number(UINT64_MAX - 39, 8);  // from 53 it ends at 13
  EXPECT_EQ(ErrorOf(Replace(wide, wide.find("PK\1\2") + 46 + 3 + 4, size + size)),
            "a.zip: entry 'one': its 18446744073709551576 bytes end past the entries' end at 56");
}

TEST(ZipTest, EntriesThatOverlap) {
  // "one" reaches into the local header of "two", in both of its headers.
  const std::string sizes = Number(4, 4) + Number(4, 4);
  EXPECT_EQ(ErrorOf(Replace(Replace(Simple(), kEntry1 + 20, sizes), 18, sizes)),
            "a.zip: entry 'two': overlaps entry 'one'");
  // An archive inside a stored entry, whose entry the outer directory lists too.
  const std::string inner = MakeZip({{"two", kTwo}});
  std::string outer = MakeZip({{"one", inner}, {"two", kTwo}});
  EXPECT_EQ(ErrorOf(Replace(outer, outer.rfind("PK\1\2") + 42, Number(33, 4))),
            "a.zip: entry 'two': overlaps entry 'one'");
}

TEST(ZipTest, SizesThatNothingDeflatesTo) {
  const std::string small = MakeZip({{"one", kOne, true, true}});
  const uint64_t extra = small.find("PK\1\2") + 46 + 3 + 4;
  EXPECT_EQ(ErrorOf(Replace(small, extra, Number(uint64_t{1} << 40, 8))),
            "a.zip: entry 'one': declares 1099511627776 bytes, more than 8 deflated bytes can hold");
  EXPECT_EQ(ErrorOf(Replace(small, extra, Number(9 * 1032, 8))),
            "a.zip: entry 'one': declares 9288 bytes, more than 8 deflated bytes can hold");
}

TEST(ZipTest, InflatesToTheDeclaredSizeOnly) {
  const auto declare = [](const std::string& bytes, uint64_t size) {
    return Replace(bytes, bytes.find("PK\1\2") + 46 + 3 + 4, Number(size, 8));
  };
  const std::string bomb = MakeZip({{"one", std::string(1 << 20, 'x'), true, true}});
  EXPECT_EQ(ReadError(declare(bomb, 48)), "a.zip: entry 'one': inflates to more than the 48 bytes it declares");
  const std::string small = MakeZip({{"one", kOne, true, true}});
  EXPECT_EQ(ReadError(declare(small, 4)), "a.zip: entry 'one': inflates to 3 bytes and declares 4");
  const std::string broken = Replace(small, 30 + 3 + 20, "\xff\xff");
  EXPECT_EQ(ReadError(broken), "a.zip: entry 'one': is not a deflate stream");

  // A stored entry of a stream and two bytes more, declared as deflated.
  const std::string stream = Deflate(kOne);
  std::string longer = MakeZip({{"one", stream + "xx"}});
  const uint64_t central = longer.find("PK\1\2");
  longer = Replace(Replace(longer, 8, Number(8, 2)), 22, Number(3, 4));
  longer = Replace(Replace(longer, central + 10, Number(8, 2)), central + 24, Number(3, 4));
  EXPECT_EQ(ReadError(longer), "a.zip: entry 'one': its deflate stream ends after 8 of 10 bytes");
}

}  // namespace
}  // namespace qwt
