// The bytes of a file in memory for as long as somebody looks at them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qwt {

// Private and writable: who writes gets a copy of the page, the file never changes. Tensors that view the bytes hold
// the shared pointer.
class MappedFile {
 public:
  // NotFound, PermissionDenied; Unavailable for what is no regular file.
  static absl::StatusOr<std::shared_ptr<MappedFile>> Open(const std::string& path);
  // Bytes that are in no file: a block of exactly their size, so that AddressSanitizer sees what reads past its end.
  // Aligned to 64 bytes.
  static std::shared_ptr<MappedFile> FromBytes(absl::string_view bytes);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;

  char* data() const { return data_; }
  uint64_t size() const { return size_; }
  absl::string_view bytes() const { return {data_, size_}; }

  // Gives back the memory of the mapping's pages that lie wholly in [begin, end): who looks again reads the file again,
  // and finds what was written there gone.
  void Release(const char* begin, const char* end) const;

 private:
  MappedFile(char* data, uint64_t size, bool mapped) : data_(data), size_(size), mapped_(mapped) {}
  char* data_;
  uint64_t size_;
  bool mapped_;  // else allocated
};

}  // namespace qwt
