// How much memory a tensor takes, told of shapes that nobody has checked yet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "c10/core/ScalarType.h"
#include "c10/util/ArrayRef.h"

namespace qwt {

// The bytes of a contiguous tensor; nothing where a size is negative or where the product of the sizes that are not 0,
// which strides are made of, does not fit 64 bits.
inline std::optional<uint64_t> ByteSize(c10::IntArrayRef shape, c10::ScalarType type) {
  int64_t product = c10::elementSize(type);
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(product, std::max<int64_t>(size, 1), &product)) return std::nullopt;
    empty |= size == 0;
  }
  return empty ? 0 : product;
}

}  // namespace qwt
