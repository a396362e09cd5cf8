#include "pipelines/scratch_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {
namespace {

// All bytes, by one of pread and pwrite.
template <typename Transfer, typename Byte>
absl::Status TransferAll(const Transfer& transfer, int file, Byte* bytes, int64_t count, int64_t place,
                         const std::string& what) {
  while (count > 0) {
    const ssize_t done = transfer(file, bytes, count, place);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return ErrnoStatus(errno, what);
    if (done == 0) return absl::UnavailableError(absl::StrCat(what, ": it is shorter than it was"));
    bytes += done, place += done, count -= done;
  }
  return absl::OkStatus();
}

}  // namespace

ScratchFile::~ScratchFile() {
  if (file_ >= 0) close(file_);
}

absl::Status ScratchFile::Open(const std::string& path) {
  path_ = path;
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file_ < 0) return ErrnoStatus(errno, absl::StrCat("write '", path, "'"));
  unlink(path.c_str());
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ScratchFile::Write(const at::Tensor& tensor) {
  const int64_t bytes = tensor.nbytes();
  const auto found = free_.find(bytes);
  const int64_t place = found == free_.end() ? end_ : found->second;
  QWT_RETURN_IF_ERROR(TransferAll(pwrite, file_, static_cast<const char*>(tensor.const_data_ptr()), bytes, place,
                                  absl::StrCat("write '", path_, "'")));
  if (found == free_.end()) {
    end_ += bytes;
  } else {
    free_.erase(found);
  }
  return place;
}

absl::Status ScratchFile::Read(int64_t place, const at::Tensor& tensor) const {
  return TransferAll(pread, file_, static_cast<char*>(tensor.mutable_data_ptr()), tensor.nbytes(), place,
                     absl::StrCat("read '", path_, "'"));
}

void ScratchFile::Free(int64_t place, int64_t bytes) { free_.emplace(bytes, place); }

}  // namespace qwt
