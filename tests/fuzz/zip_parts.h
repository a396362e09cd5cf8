// Where the entries of an archive stand in its file.
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "models/checkpoints/zip.h"

namespace qwt {

inline std::vector<absl::string_view> ZipParts(const ZipArchive& archive, const MappedFile& file) {
  std::vector<absl::string_view> parts;
  for (const auto& [name, entry] : archive.entries()) {
    parts.push_back(file.bytes().substr(entry.offset, entry.compressed_size));
  }
  return parts;
}

}  // namespace qwt
