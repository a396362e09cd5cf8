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

}  // namespace
}  // namespace qwt
