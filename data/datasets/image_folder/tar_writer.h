// Tars for tests.
#pragma once

#include <string>
#include <vector>

namespace qwt {

struct TarEntry {
  std::string name;
  std::string content = {};  // of a link: its target
  enum { kFile, kFolder, kSymbolicLink, kHardLink, kSparse } type = kFile;
};

// format: "ustar", "gnutar", "pax".
std::string MakeTar(const std::vector<TarEntry>& entries, const std::string& format = "gnutar");

}  // namespace qwt
