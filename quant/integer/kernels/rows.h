// Where a product's and a LayerNorm's rows lie, for CPUs.
#pragma once

#include <cstdint>

#include "quant/integer/kernels/kernels.h"

namespace qwt {

inline int64_t MappedRow(const RowMap& map, int64_t row) {
  return map.of == nullptr ? row : row / map.period * map.span + map.of[row % map.period];
}

// The residual's row for a row of the output.
inline int64_t ResidualRow(const ProductArguments& p, int64_t row) {
  return p.residual_period > 0 ? row % p.residual_period : row;
}

}  // namespace qwt
