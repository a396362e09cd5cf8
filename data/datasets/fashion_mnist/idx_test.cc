#include "data/datasets/fashion_mnist/idx.h"

#include <zlib.h>

#include <fstream>
#include <functional>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

using Bytes = std::string;

Bytes Header(std::vector<uint32_t> dimensions, uint8_t type = 8) {
  Bytes header = {0, 0, static_cast<char>(type), static_cast<char>(dimensions.size())};
  for (uint32_t dimension : dimensions) {
    for (int shift : {24, 16, 8, 0}) header += static_cast<char>(dimension >> shift);
  }
  return header;
}

class IdxTest : public testing::Test {
 protected:
  std::string Plain(const Bytes& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    return path_;
  }
  std::string Gzip(const Bytes& bytes) {
    gzFile file = gzopen(path_.c_str(), "wb9");
    EXPECT_EQ(gzwrite(file, bytes.data(), bytes.size()), static_cast<int>(bytes.size()));
    EXPECT_EQ(gzclose(file), Z_OK);
    return path_;
  }
  // The file's bytes after a change.
  std::string Change(const std::function<void(Bytes*)>& change) {
    std::ifstream in(path_, std::ios::binary);
    Bytes bytes((std::istreambuf_iterator<char>(in)), {});
    change(&bytes);
    return Plain(bytes);
  }
  absl::Status DataLoss(const std::string& message) { return absl::DataLossError(absl::StrCat(path_, ": ", message)); }

  const std::string path_ = testing::TempDir() + "/file.idx";
};

TEST_F(IdxTest, ReadsPlainAndGzippedFilesAlike) {
  const Bytes bytes = Header({2, 1, 3}) + Bytes("\0\1\2\375\376\377", 6);
  for (const std::string& path : {Plain(bytes), Gzip(bytes)}) {
    absl::StatusOr<IdxArray> array = ReadIdx(path, 3);
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->dimensions, (std::vector<int64_t>{2, 1, 3}));
    EXPECT_EQ(array->values, (std::vector<uint8_t>{0, 1, 2, 253, 254, 255}));
  }
}

TEST_F(IdxTest, ReadsMoreThanOneChunk) {
  Bytes values(3 << 20, '\0');
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<char>(i * 2654435761u >> 24);
  absl::StatusOr<IdxArray> array = ReadIdx(Gzip(Header({3 << 20}) + values), 1);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(Bytes(array->values.begin(), array->values.end()), values);
}

TEST_F(IdxTest, AcceptsAnArrayWithoutElements) {
  absl::StatusOr<IdxArray> array = ReadIdx(Plain(Header({0, 28, 28})), 3);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_TRUE(array->values.empty());
}

TEST_F(IdxTest, MissingFile) {
  EXPECT_EQ(ReadIdx("/nowhere/file", 1).status(),
            absl::NotFoundError("open '/nowhere/file': No such file or directory"));
}

TEST_F(IdxTest, Directory) {
  EXPECT_EQ(ReadIdx(testing::TempDir(), 1).status(),
            absl::UnavailableError(testing::TempDir() + ": read: Is a directory"));
}

TEST_F(IdxTest, OtherTypeOrRank) {
  EXPECT_EQ(ReadIdx(Plain(Header({1, 1}) + "x"), 1).status(),
            DataLoss("not an IDX file of uint8 with 1 dimensions: begins with 0x00000802, must be 0x00000801"));
  EXPECT_EQ(ReadIdx(Plain(Header({1}, 0x0d) + "xxxx"), 1).status(),
            DataLoss("not an IDX file of uint8 with 1 dimensions: begins with 0x00000d01, must be 0x00000801"));
  EXPECT_EQ(ReadIdx(Plain("<html>"), 1).status(),
            DataLoss("not an IDX file of uint8 with 1 dimensions: begins with 0x3c68746d, must be 0x00000801"));
}

TEST_F(IdxTest, TruncatedPlainFile) {
  EXPECT_EQ(ReadIdx(Plain(""), 1).status(), DataLoss("truncated: 0 bytes, the header alone has 8"));
  EXPECT_EQ(ReadIdx(Plain(Header({4}).substr(0, 7)), 1).status(),
            DataLoss("truncated: 7 bytes, the header alone has 8"));
  EXPECT_EQ(ReadIdx(Plain(Header({4, 2}) + "1234567"), 2).status(),
            DataLoss("truncated: the header says [4, 2], 8 bytes, the file has 7"));
}

TEST_F(IdxTest, TrailingBytes) {
  for (const std::string& path : {Plain(Header({4, 2}) + "123456789"), Gzip(Header({4, 2}) + "123456789")}) {
    EXPECT_EQ(ReadIdx(path, 2).status(), DataLoss("more data than the header says: [4, 2], 8 bytes"));
  }
}

TEST_F(IdxTest, DamagedGzip) {
  const Bytes bytes = Header({8}) + "abcdefgh";
  Gzip(bytes);
  EXPECT_EQ(ReadIdx(Change([](Bytes* file) { file->resize(file->size() - 9); }), 1).status(),
            DataLoss("truncated gzip data"));
  Gzip(bytes);
  EXPECT_EQ(ReadIdx(Change([](Bytes* file) { file->resize(file->size() - 3); }), 1).status(),
            DataLoss("truncated gzip data"));
  Gzip(bytes);
  EXPECT_EQ(ReadIdx(Change([](Bytes* file) { (*file)[file->size() - 7] ^= 1; }), 1).status(),
            DataLoss("corrupted gzip data: incorrect data check"));
}

TEST_F(IdxTest, DimensionsThatNoFileHolds) {
  EXPECT_EQ(
      ReadIdx(Plain(Header({0xffffffff, 0xffffffff, 0xffffffff})), 3).status(),
      DataLoss(
          "the header says [4294967295, 4294967295, 4294967295], more than the 2147483648 bytes that are allowed"));
  // Allowed, but not there: memory follows what is read, not what is claimed.
  EXPECT_EQ(ReadIdx(Plain(Header({1u << 31})), 1).status(),
            DataLoss("truncated: the header says [2147483648], 2147483648 bytes, the file has 0"));
}

}  // namespace
}  // namespace qwt
