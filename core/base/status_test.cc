#include "core/base/status.h"

#include <cerrno>
#include <stdexcept>

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(StatusTest, AnnotateKeepsTheCodeAndLeavesOkAlone) {
  EXPECT_EQ(Annotate(absl::DataLossError("checksum differs"), "a.bin"), absl::DataLossError("a.bin: checksum differs"));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "a.bin").ok());
}

TEST(StatusTest, ExceptionsBecomeInternalWithoutTheStackTraceOfC10) {
  absl::Status status = CatchExceptions(
      "reading", []() -> absl::Status { throw std::runtime_error("boom\nException raised from f at g.cpp:1"); });
  EXPECT_EQ(status, absl::InternalError("reading: boom"));
  status = CatchExceptions("reading", []() -> absl::Status { throw std::bad_alloc(); });
  EXPECT_EQ(status, absl::ResourceExhaustedError("reading: out of memory"));
}

TEST(StatusTest, ErrnoPicksTheCode) {
  EXPECT_EQ(ErrnoStatus(ENOENT, "open 'x'"), absl::NotFoundError("open 'x': No such file or directory"));
  EXPECT_EQ(ErrnoStatus(ENOSPC, "write 'x'"), absl::ResourceExhaustedError("write 'x': No space left on device"));
  EXPECT_EQ(ErrnoStatus(EROFS, "mkdir 'x'"), absl::PermissionDeniedError("mkdir 'x': Read-only file system"));
}

}  // namespace
}  // namespace qwt
