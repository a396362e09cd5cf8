#include "core/base/sha256.h"

#include "core/base/files.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

// Vectors of FIPS 180-4's examples; the last is a million times "a".
TEST(Sha256Test, KnownVectors) {
  EXPECT_EQ(Sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, FilesLongerThanTheBuffer) {
  const std::string path = ::testing::TempDir() + "long";
  std::string content(3'000'001, 'x');
  content[2'999'999] = '\0';
  ASSERT_EQ(WriteFileAtomically(path, content), absl::OkStatus());
  EXPECT_EQ(*Sha256OfFile(path), Sha256(content));
}

TEST(Sha256Test, ErrorsNameTheFile) {
  EXPECT_EQ(Sha256OfFile("/nowhere").status(), absl::NotFoundError("read '/nowhere': No such file or directory"));
  EXPECT_EQ(Sha256OfFile("/").status(), absl::UnavailableError("read '/': Is a directory"));
}

}  // namespace
}  // namespace qwt
