// Statistics of counted hits.
#pragma once

#include <cstdint>

namespace qwt {

struct Interval {
  double low = 0, high = 0;
};

// Wilson's score interval of hits / trials at 95 % (z = 1.959964), as fractions. trials > 0.
Interval WilsonInterval(int64_t hits, int64_t trials);

// McNemar's test of whether two models that saw the same images are equally often right: of the images that only one of
// them gets right, half are expected for each.
struct McNemar {
  double p = 1;       // two-sided
  bool exact = true;  // by the binomial distribution, for few such images; else by chi-squared with one degree of
                      // freedom and Yates' correction
};
inline constexpr int64_t kFewDiscordant = 25;  // fewer are tested exactly
McNemar McNemarTest(int64_t only_first, int64_t only_second);

}  // namespace qwt
