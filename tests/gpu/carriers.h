// How tests' values are carried.
#pragma once

#include "quant/integer/kernels/kernels.h"

namespace qwt {

inline Carrier Uniform(float scale, float zero, float top, float end = 0) {
  Carrier carrier;
  carrier.scale = scale;
  carrier.inverse_scale = 1 / scale;
  carrier.zero = zero;
  carrier.top = top;
  carrier.end = end;
  if (end != 0) {
    carrier.low = end > 0 ? 0 : -1;
    carrier.high = end > 0 ? top + 1 : top;
  }
  return carrier;
}

}  // namespace qwt
