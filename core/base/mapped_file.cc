#include "core/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

absl::StatusOr<std::shared_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  const std::string what = absl::StrCat("read '", path, "'");
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return ErrnoStatus(errno, what);
  struct stat info;
  int error = fstat(file, &info) != 0 ? errno : S_ISREG(info.st_mode) ? 0 : S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
  void* data = nullptr;
  if (error == 0 && info.st_size > 0) {
    data = mmap(nullptr, info.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
    if (data == MAP_FAILED) error = errno;
  }
  close(file);
  if (error != 0) return ErrnoStatus(error, what);
  return std::shared_ptr<MappedFile>(new MappedFile(static_cast<char*>(data), info.st_size, /*mapped=*/true));
}

std::shared_ptr<MappedFile> MappedFile::FromBytes(absl::string_view bytes) {
  char* data = nullptr;
  if (!bytes.empty()) {
    data = static_cast<char*>(operator new(bytes.size(), kAlignment));
    std::memcpy(data, bytes.data(), bytes.size());
  }
  return std::shared_ptr<MappedFile>(new MappedFile(data, bytes.size(), /*mapped=*/false));
}

void MappedFile::Release(const char* begin, const char* end) const {
  static const uint64_t page_bytes = sysconf(_SC_PAGESIZE);
  begin = std::max<const char*>(begin, data_), end = std::min<const char*>(end, data_ + size_);
  if (!mapped_ || begin >= end) return;
  const uint64_t first = (begin - data_ + page_bytes - 1) / page_bytes * page_bytes;
  const uint64_t last = (end - data_) / page_bytes * page_bytes;
  if (first < last) madvise(data_ + first, last - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (!mapped_) {
    operator delete(data_, kAlignment);
  } else if (size_ > 0) {
    munmap(data_, size_);
  }
}

}  // namespace qwt
