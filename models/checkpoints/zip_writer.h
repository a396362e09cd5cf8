// Archives for tests, as PyTorch and NumPy lay them out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace qwt {

struct ZipEntry {
  std::string name;
  std::string content;
  bool deflate = false;
  bool zip64 = false;       // sizes in zip64 extra fields, 0xFFFFFFFF in both headers
  bool descriptor = false;  // no CRC and sizes in the local header, a data descriptor behind the content
};

struct ZipOptions {
  bool zip64_end = false;
  bool crc32 = true;  // else 0 everywhere
  std::string comment;
};

std::string MakeZip(const std::vector<ZipEntry>& entries, const ZipOptions& options = {});

// A raw deflate stream.
std::string Deflate(absl::string_view content);

// `value` little-endian in `bytes` bytes.
std::string Number(uint64_t value, int bytes);

}  // namespace qwt
