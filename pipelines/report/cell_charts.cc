// Charts of cells and of bins.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "pipelines/report/charts.h"

namespace qwt {
namespace {

// From nearly white to Okabe and Ito's blue and on to a dark one.
std::string Shade(double part) {
  constexpr double kStops[3][3] = {{240, 246, 251}, {86, 160, 210}, {0, 62, 110}};
  const int first = part < 0.5 ? 0 : 1;
  const double within = 2 * (part - 0.5 * first);
  const auto mix = [&](int channel) {
    return std::lround(kStops[first][channel] + within * (kStops[first + 1][channel] - kStops[first][channel]));
  };
  return absl::StrFormat("#%02x%02x%02x", mix(0), mix(1), mix(2));
}

}  // namespace

std::string Draw(const HeatChart& chart) {
  constexpr double kRow = 22, kSmall = 10.5, kTop = 4;
  double names = 0, low = 0, high = 0;
  bool any = false;
  for (const HeatRow& row : chart.rows) {
    names = std::max(names, TextWidth(row.name, kTextSize));
    for (const auto& cell : row.cells) {
      if (!cell.has_value()) continue;
      low = any ? std::min(low, *cell) : *cell;
      high = any ? std::max(high, *cell) : *cell;
      any = true;
    }
  }
  const double left = std::min(names, 0.42 * kChartWidth) + 8, bottom = kTop + kRow * chart.rows.size();
  const double width = (kChartWidth - 2 - left) / std::max<size_t>(1, chart.columns.size());
  Svg svg(kChartWidth, bottom + 40, chart.label);
  for (size_t i = 0; i < chart.rows.size(); ++i) {
    const HeatRow& row = chart.rows[i];
    const double top = kTop + kRow * i;
    const std::string name = Shortened(row.name, kTextSize, left - 8);
    svg.Text(left - 8, top + 15, "end", name, kInk, kTextSize, name == row.name ? "" : row.name);
    for (size_t j = 0; j < row.cells.size() && j < chart.columns.size(); ++j) {
      if (!row.cells[j].has_value()) continue;
      const double part = high > low ? (*row.cells[j] - low) / (high - low) : 0;
      const std::string text = absl::StrFormat("%.*f", chart.decimals, *row.cells[j]);
      svg.Rect(left + width * j + 0.5, top + 0.5, width - 1, kRow - 1, Shade(part).c_str(),
               absl::StrCat(row.name, ", ", chart.columns[j], ": ", text));
      if (TextWidth(text, kSmall) > width - 3) continue;
      svg.Text(left + width * (j + 0.5), top + 15, "middle", text, part > 0.45 ? "#fff" : kInk, kSmall);
    }
  }
  double taken = -1e9;
  for (size_t j = 0; j < chart.columns.size(); ++j) {
    const double at = left + width * (j + 0.5), half = TextWidth(chart.columns[j], kTextSize) / 2;
    if (at - half < taken || at + half > kChartWidth + 4) continue;
    svg.Text(at, bottom + 15, "middle", chart.columns[j], kGrey);
    taken = at + half + 4;
  }
  svg.Text(kChartWidth / 2, bottom + 33, "middle", chart.title);
  return svg.Finish();
}

std::string Draw(const GridChart& chart) {
  constexpr double kWidth = 200, kTop = 50, kBottom = 134, kHeight = 154, kSmall = 11;
  const Scale x{chart.low, chart.high, 2, kWidth - 2};
  const int64_t most =
      chart.counts.empty() ? 1 : std::max<int64_t>(1, *std::max_element(chart.counts.begin(), chart.counts.end()));
  const Scale y{0, static_cast<double>(most), kBottom, kTop};
  Svg svg(kWidth, kHeight, chart.label);
  double line = 12;
  for (const std::string& text : {chart.title, chart.subtitle, chart.remark}) {
    const std::string shown = Shortened(text, kSmall, kWidth - 4);
    svg.Text(2, line, "start", shown, line == 12 ? kInk : kGrey, kSmall, shown == text ? "" : text);
    line += 14;
  }
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
