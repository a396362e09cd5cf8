// Room on a disk.
#pragma once

#include <cstdint>
#include <string>

namespace qwt {

// Bytes that may still be written under a path, which need not exist yet: of the nearest folder above that does. 0
// where nothing can be told.
int64_t FreeBytes(const std::string& path);

}  // namespace qwt
