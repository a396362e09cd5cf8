// Numbers as the formats of checkpoints store them.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace qwt {

// The unsigned number of `sizeof(T)` bytes at `offset`, which must lie in `bytes` whole.
template <typename T>
T LittleEndian(absl::string_view bytes, uint64_t offset) {
  T value = 0;
  for (unsigned i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(T{static_cast<unsigned char>(bytes[offset + i])} << (8 * i));
  }
  return value;
}

}  // namespace qwt
