#include "core/base/mapped_file.h"

#include <fstream>
#include <iterator>

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(MappedFileTest, ShowsTheFileAndLeavesItAsItIs) {
  const std::string path = testing::TempDir() + "/file";
  std::ofstream(path) << "content";
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->bytes(), "content");
  (*file)->data()[0] = 'C';
  EXPECT_EQ((*file)->bytes(), "Content");
  std::ifstream stream(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), "content");
}

TEST(MappedFileTest, AnEmptyFileHasNoBytes) {
  const std::string path = testing::TempDir() + "/empty";
  std::ofstream(path).flush();
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->size(), 0);
}

TEST(MappedFileTest, NamesWhatIsNotAFile) {
  EXPECT_EQ(MappedFile::Open("/nowhere/a").status(),
            absl::NotFoundError("read '/nowhere/a': No such file or directory"));
  EXPECT_EQ(MappedFile::Open("/").status(), absl::UnavailableError("read '/': Is a directory"));
}

TEST(MappedFileTest, BytesWithoutAFile) {
  const auto file = MappedFile::FromBytes("abc");
  EXPECT_EQ(file->bytes(), "abc");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file->data()) % 64, 0);
  EXPECT_EQ(MappedFile::FromBytes("")->size(), 0);
}

TEST(MappedFileTest, ReleasedPagesAreReadFromTheFileAgain) {
  const std::string path = testing::TempDir() + "/pages", content(5 * 65536, 'a');
  std::ofstream(path) << content;
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  char* data = (*file)->data();
  for (int i = 0; i < 5; ++i) data[i * 65536] = data[i * 65536 + 65535] = 'b';
  (*file)->Release(data + 65535, data + 3 * 65536 + 1);  // whole pages: from 65536 to 3 * 65536
  EXPECT_EQ((*file)->bytes().substr(65536, 2 * 65536), content.substr(0, 2 * 65536));
  for (int i : {0, 3, 4}) EXPECT_EQ(data[i * 65536 + 65535], 'b') << i;
  EXPECT_EQ(data[3 * 65536], 'b');
  (*file)->Release(data - 100, data + 10 * 65536);  // what is outside does not matter
  EXPECT_EQ((*file)->bytes(), content);
}

TEST(MappedFileTest, BytesWithoutAFileAreNotReleased) {
  const std::string content(3 * 65536, 'a');
  const auto file = MappedFile::FromBytes(content);
  file->Release(file->data(), file->data() + file->size());
  EXPECT_EQ(file->bytes(), content);
}

}  // namespace
}  // namespace qwt
