// Zip archives as PyTorch and NumPy write them, read without trusting a byte: entries stored or deflated, zip64, one
// disk. Nothing is extracted to a file, names are keys and never paths.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"

namespace qwt {

// What an entry holds. `owner` keeps the bytes: the mapping of the file itself where the entry is stored as it is.
struct ZipContent {
  std::shared_ptr<const void> owner;
  char* data = nullptr;  // writing to it changes no file
  uint64_t size = 0;

  absl::string_view bytes() const { return {data, size}; }
};

class ZipArchive {
 public:
  struct Entry {
    uint16_t method = 0;                     // 0 stored, 8 deflated
    uint32_t crc32 = 0;                      // of the content
    uint64_t compressed_size = 0, size = 0;  // bytes
    uint64_t offset = 0;                     // of the compressed bytes in the file
  };

  // Reads the directory and checks every entry's local header against it. DataLoss, naming `path` and the entry: no end
  // record, what points past the end, two entries of one name, entries that overlap, another method, encryption.
  static absl::StatusOr<ZipArchive> Open(std::shared_ptr<MappedFile> file, const std::string& path);

  const std::map<std::string, Entry>& entries() const { return entries_; }

  // NotFound where there is no such entry; DataLoss where the bytes do not inflate to exactly `size` or their CRC-32 is
  // another. An archive that has 0 for every CRC-32 (PyTorch's set_crc32_options(False)) recorded none: nothing is
  // compared. Takes memory for deflated entries only, and no more than `size`, which is at most 1032 times what is
  // compressed.
  absl::StatusOr<ZipContent> Read(const std::string& name) const;

 private:
  std::shared_ptr<MappedFile> file_;
  std::string path_;
  std::map<std::string, Entry> entries_;
  bool crc_recorded_ = false;
};

}  // namespace qwt
