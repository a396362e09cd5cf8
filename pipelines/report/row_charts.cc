// Charts whose rows are named on the left: marks on an axis, and bars.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "pipelines/report/chart_parts.h"
#include "pipelines/report/charts.h"

namespace qwt {
namespace {

constexpr double kRowHeight = 25, kGap = 8;

// Where rows, names and remarks lie.
struct RowLayout {
  double left, right, top, bottom;  // of the plotted area

  double Middle(size_t row) const { return top + kRowHeight * (row + 0.5); }
};

template <typename Row>
RowLayout LayoutOfRows(const std::vector<Row>& rows, const std::vector<LegendEntry>& legend) {
  double names = 0, remarks = 0;
  for (const Row& row : rows) {
    names = std::max(names, TextWidth(row.name, kTextSize));
    remarks = std::max(remarks, TextWidth(row.remark, kTextSize));
  }
  RowLayout layout;
  layout.left = std::min(names, 0.42 * kChartWidth) + kGap;
  layout.right = kChartWidth - std::max(remarks + kGap, 12.0);
  layout.top = LegendHeight(legend) + 4;
  layout.bottom = layout.top + kRowHeight * rows.size();
  return layout;
}

void DrawName(Svg* svg, const RowLayout& layout, size_t row, const std::string& name, const std::string& remark) {
  const double y = layout.Middle(row) + 4;
  const std::string shown = Shortened(name, kTextSize, layout.left - kGap);
  svg->Text(layout.left - kGap, y, "end", shown, kInk, kTextSize, shown == name ? "" : name);
  if (!remark.empty()) svg->Text(layout.right + kGap, y, "start", remark);
}

}  // namespace

std::string Draw(const RowChart& chart) {
  const RowLayout layout = LayoutOfRows(chart.rows, chart.legend);
  std::vector<double> values;
  for (const ChartRow& row : chart.rows) {
    for (const RowMark& mark : row.marks) {
      for (double value : {mark.value, mark.low.value_or(mark.value), mark.high.value_or(mark.value)}) {
        values.push_back(value);
      }
    }
  }
  const Scale x = ScaleOver(values, layout.left, layout.right, chart.axis.log);
  Svg svg(kChartWidth, layout.bottom + kAxisHeight, chart.label);
  DrawLegend(&svg, chart.legend);
  DrawXAxis(&svg, x, chart.axis.title, layout.top, layout.bottom);
  for (size_t i = 0; i < chart.rows.size(); ++i) {
    const ChartRow& row = chart.rows[i];
    const double y = layout.Middle(i);
    DrawName(&svg, layout, i, row.name, row.remark);
    if (row.joined && row.marks.size() > 1) {
      svg.Line(x.At(row.marks[0].value), y, x.At(row.marks[1].value), y, "#b5b5b5", 3);
    }
    // Intervals of several marks lie one above the other.
    const int intervals =
        std::count_if(row.marks.begin(), row.marks.end(), [](const RowMark& mark) { return mark.low.has_value(); });
    int drawn = 0;
    for (const RowMark& mark : row.marks) {
      if (chart.axis.log && mark.value <= 0) continue;
      const double shift = intervals > 1 ? (drawn - (intervals - 1) / 2.0) * 6 : 0;
      if (mark.low.has_value()) svg.Line(x.At(*mark.low), y + shift, x.At(*mark.high), y + shift, mark.colour, 2.5);
      svg.Mark(mark.marker, x.At(mark.value), y + (mark.low.has_value() ? shift : 0), 5, mark.colour, mark.title,
               mark.opacity);
      drawn += mark.low.has_value();
    }
  }
  return svg.Finish();
}

std::string Draw(const BarChart& chart) {
  const RowLayout layout = LayoutOfRows(chart.rows, chart.legend);
  double longest = 0;
  for (const BarRow& row : chart.rows) {
    double sum = 0;
    for (const BarPart& part : row.parts) sum += part.value;
    longest = std::max(longest, sum);
  }
  const Scale x{0, longest > 0 ? longest : 1, layout.left, layout.right};
  Svg svg(kChartWidth, layout.bottom + kAxisHeight, chart.label);
  DrawLegend(&svg, chart.legend);
  DrawXAxis(&svg, x, chart.axis.title, layout.top, layout.bottom);
  for (size_t i = 0; i < chart.rows.size(); ++i) {
    DrawName(&svg, layout, i, chart.rows[i].name, chart.rows[i].remark);
    double sum = 0;
    for (const BarPart& part : chart.rows[i].parts) {
      const double from = x.At(sum), to = x.At(sum + part.value);
      svg.Rect(from, layout.Middle(i) - 8, to - from, 16, part.colour, part.title);
      sum += part.value;
    }
  }
  return svg.Finish();
}

}  // namespace qwt
