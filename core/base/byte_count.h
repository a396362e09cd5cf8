// Amounts of bytes as people write them, and how much memory there is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace qwt {

// "20GB", "1.5TB", "800MB" (powers of ten), "2GiB" or "0", a number of bytes; nothing for anything else.
std::optional<int64_t> ParseBytes(absl::string_view text);

// "999 B", "1.2 kB", "20 GB".
std::string FormatBytes(int64_t bytes);

// Memory that programs can still have without others losing theirs (Linux's MemAvailable); 0 where it is not said.
int64_t AvailableMemoryBytes();

}  // namespace qwt
