#include <algorithm>

#include "absl/strings/str_cat.h"
#include "pipelines/report/charts.h"

namespace qwt {

std::string Draw(const GridChart& chart) {
  constexpr double kWidth = 200, kTop = 36, kBottom = 120, kHeight = 140, kSmall = 11;
  const Scale x{chart.low, chart.high, 2, kWidth - 2};
  const int64_t most =
      chart.counts.empty() ? 1 : std::max<int64_t>(1, *std::max_element(chart.counts.begin(), chart.counts.end()));
  const Scale y{0, static_cast<double>(most), kBottom, kTop};
  Svg svg(kWidth, kHeight, chart.label);
  const std::string title = Shortened(chart.title, kSmall, kWidth - 4);
  svg.Text(2, 12, "start", title, kInk, kSmall, title == chart.title ? "" : chart.title);
  svg.Text(2, 27, "start", chart.subtitle, kGrey, kSmall);
  if (!chart.all_codes && !chart.grid.empty()) {
    svg.Rect(x.At(chart.grid.front()), kTop, x.At(chart.grid.back()) - x.At(chart.grid.front()), kBottom - kTop,
             "#f3e9dc");
  }
  const double width = (x.to - x.from) / std::max<size_t>(1, chart.counts.size());
  for (size_t i = 0; i < chart.counts.size(); ++i) {
    if (chart.counts[i] == 0) continue;
    // At least visible: a tail of few values is what matters to a grid.
    const double top = std::min(y.At(chart.counts[i]), kBottom - 0.7);
    svg.Rect(x.from + i * width, top, width, kBottom - top, chart.colour);
  }
  svg.Line(x.from, kBottom, x.to, kBottom, kGrey);
  for (double code : chart.grid) svg.Line(x.At(code), kTop, x.At(code), kBottom + 4, kVermilion, 1);
  double taken = -1e9;
  for (size_t i = 0; i < chart.values.size() && i < chart.grid.size(); ++i) {
    const double half = TextWidth(chart.values[i], kSmall) / 2;
    const double at = std::min(std::max(x.At(chart.grid[i]), half), kWidth - half);
    if (at - half < taken) continue;
    svg.Text(at, kBottom + 16, "middle", chart.values[i], kGrey, kSmall);
    taken = at + half + 5;
  }
  return svg.Finish();
}

}  // namespace qwt
