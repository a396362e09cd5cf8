#include "pipelines/statistics.h"

#include <cmath>

namespace qwt {

Interval WilsonInterval(int64_t hits, int64_t trials) {
  constexpr double kZ = 1.959963984540054;
  const double n = trials, p = hits / n, z2 = kZ * kZ;
  const double center = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {center - half, center + half};
}

}  // namespace qwt
