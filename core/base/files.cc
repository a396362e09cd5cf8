#include "core/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr size_t kLargestWrite = size_t{1} << 30;  // Linux writes at most 2 GiB at once

absl::Status WriteAll(int file, const std::vector<absl::string_view>& pieces, const std::string& what) {
  for (absl::string_view piece : pieces) {
    while (!piece.empty()) {
      const ssize_t written = write(file, piece.data(), std::min(piece.size(), kLargestWrite));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoStatus(errno, what);
      piece.remove_prefix(written);
    }
  }
  return absl::OkStatus();
}

// Creates `path`, which must not exist, and writes it. Messages name `target`, which is what the user asked for.
absl::Status WriteNewFile(const std::string& path, const std::vector<absl::string_view>& pieces,
                          const std::string& target) {
  const std::string what = absl::StrCat("write '", target, "'");
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file < 0) return ErrnoStatus(errno, what);
  absl::Status status = WriteAll(file, pieces, what);
  if (status.ok() && fsync(file) != 0) status = ErrnoStatus(errno, what);
  if (close(file) != 0 && status.ok()) status = ErrnoStatus(errno, what);
  if (!status.ok()) unlink(path.c_str());
  return status;
}

}  // namespace

absl::Status WriteFileAtomically(const std::string& path, const std::vector<absl::string_view>& pieces) {
  static std::atomic<int> counter{0};
  const std::string temporary = absl::StrCat(path, ".tmp.", getpid(), ".", counter++);
  QWT_RETURN_IF_ERROR(WriteNewFile(temporary, pieces, path));
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return ErrnoStatus(error, absl::StrCat("write '", path, "'"));
  }
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return SyncPath(folder.empty() ? "." : folder);
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content) {
  return WriteFileAtomically(path, std::vector<absl::string_view>{content});
}

absl::Status WriteAndSync(const std::string& path, const std::vector<absl::string_view>& pieces) {
  return WriteNewFile(path, pieces, path);
}

absl::Status SyncPath(const std::string& path) {
  const std::string what = absl::StrCat("sync '", path, "'");
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return ErrnoStatus(errno, what);
  // EINVAL: a file system that cannot sync folders has nothing to lose by it.
  const int error = fsync(file) != 0 && errno != EINVAL ? errno : 0;
  close(file);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, what);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::string what = absl::StrCat("read '", path, "'");
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return ErrnoStatus(errno, what);
  std::string content;
  std::vector<char> buffer(1 << 16);
  ssize_t count;
  while ((count = read(file, buffer.data(), buffer.size())) != 0) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    content.append(buffer.data(), count);
  }
  const int error = errno;
  close(file);
  if (count < 0) return ErrnoStatus(error, what);
  return content;
}

}  // namespace qwt
