// Statistics of counted hits.
#pragma once

#include <cstdint>

namespace qwt {

struct Interval {
  double low = 0, high = 0;
};

// Wilson's score interval of hits / trials at 95 % (z = 1.959964), as fractions. trials > 0.
Interval WilsonInterval(int64_t hits, int64_t trials);

}  // namespace qwt
