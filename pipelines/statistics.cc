#include "pipelines/statistics.h"

#include <algorithm>
#include <cmath>

namespace qwt {

Interval WilsonInterval(int64_t hits, int64_t trials) {
  constexpr double kZ = 1.959963984540054;
  const double n = trials, p = hits / n, z2 = kZ * kZ;
  const double center = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return {center - half, center + half};
}

McNemar McNemarTest(int64_t only_first, int64_t only_second) {
  const int64_t discordant = only_first + only_second, fewer = std::min(only_first, only_second);
  if (discordant >= kFewDiscordant) {
    const double excess = static_cast<double>(std::abs(only_first - only_second)) - 1;
    const double chi_squared = excess * excess / static_cast<double>(discordant);
    // With one degree of freedom chi-squared is the square of a standard normal number.
    return {excess <= 0 ? 1 : std::erfc(std::sqrt(chi_squared / 2)), false};
  }
  double term = std::ldexp(1.0, -static_cast<int>(discordant)), tail = 0;  // of 0 among them; of at most `fewer`
  for (int64_t k = 0; k <= fewer; ++k) {
    tail += term;
    term *= static_cast<double>(discordant - k) / static_cast<double>(k + 1);
  }
  return {std::min(1.0, 2 * tail), true};
}

}  // namespace qwt
