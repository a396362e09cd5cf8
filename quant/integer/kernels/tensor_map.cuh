// Descriptions of tensors in global memory for the copy engine of sm_90.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <initializer_list>

namespace qwt {

struct MapDimension {
  int64_t size = 1, pitch_bytes = 1;  // the first dimension's pitch: 1
  int box = 1;
};

// Of a uint8 tensor. Rows of a box of 128 bytes are swizzled as TileDescriptor has them; others lie one after the other.
// Throws std::runtime_error.
CUtensorMap MakeTensorMap(const void* data, std::initializer_list<MapDimension> dimensions);

}  // namespace qwt
