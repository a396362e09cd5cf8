// Charts of y over x: lines, and points with their front.
#include <algorithm>
#include <cmath>

#include "pipelines/report/chart_parts.h"
#include "pipelines/report/charts.h"

namespace qwt {
namespace {

constexpr double kPlotHeight = 210;

bool Drawn(const ChartAxis& x_axis, const ChartAxis& y_axis, double x, double y) {
  return std::isfinite(x) && std::isfinite(y) && (!x_axis.log || x > 0) && (!y_axis.log || y > 0);
}

// Moves texts apart that would lie on each other, from the top down, then back up from the bottom.
void Spread(std::vector<double*> heights, double distance, double bottom) {
  std::sort(heights.begin(), heights.end(), [](const double* a, const double* b) { return *a < *b; });
  for (size_t i = 1; i < heights.size(); ++i) *heights[i] = std::max(*heights[i], *heights[i - 1] + distance);
  double limit = bottom;
  for (size_t i = heights.size(); i-- > 0;) {
    *heights[i] = std::min(*heights[i], limit);
    limit = *heights[i] - distance;
  }
}

void DrawXNames(Svg* svg, const LineChart& chart, const Scale& x, double top, double bottom) {
  double taken = -1e9;
  const double last = chart.x_names.empty() ? 0 : x.At(chart.x_names.back().first);
  for (const auto& [value, name] : chart.x_names) {
    const double at = x.At(value), half = TextWidth(name, kTextSize) / 2;
    svg->Line(at, top, at, bottom, "#f0f0f0");
    const bool is_last = at == last;
    const double last_half = TextWidth(chart.x_names.back().second, kTextSize) / 2;
    // The last one is always written, the others where they touch neither it nor the one before.
    if (at - half < taken || (!is_last && at + half + 4 > last - last_half)) continue;
    svg->Text(at, bottom + 15, "middle", name, kGrey);
    taken = at + half + 5;
  }
  DrawXTitle(svg, x, chart.x.title, bottom);
}

}  // namespace

std::string Draw(const LineChart& chart) {
  std::vector<double> xs, ys;
  double names = 0;
  for (const LineSeries& series : chart.series) {
    names = std::max(names, TextWidth(series.name, kTextSize));
    for (const auto& [x, y] : series.points) {
      if (!Drawn(chart.x, chart.y, x, y)) continue;
      xs.push_back(x);
      ys.push_back(y);
    }
  }
  const double top = 28, bottom = top + kPlotHeight;
  const Scale y = ScaleOver(ys, bottom, top, chart.y.log);
  const double left = std::max(YAxisWidth(y), 24.0), right = kChartWidth - std::min(names, 0.35 * kChartWidth) - 12;
  const Scale x = ScaleOver(xs, left, right, chart.x.log, 0.03);
  Svg svg(kChartWidth, bottom + kAxisHeight, chart.label);
  DrawYAxis(&svg, y, chart.y.title, left, right);
  if (chart.x_names.empty()) {
    DrawXAxis(&svg, x, chart.x.title, top, bottom);
  } else {
    DrawXNames(&svg, chart, x, top, bottom);
  }
  std::vector<double> ends(chart.series.size(), bottom);
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const LineSeries& series = chart.series[i];
    std::vector<std::pair<double, double>> points;
    for (const auto& [at, value] : series.points) {
      if (Drawn(chart.x, chart.y, at, value)) points.emplace_back(x.At(at), y.At(value));
    }
    if (points.empty()) continue;
    svg.Polyline(points, series.colour, 2, series.dash);
    size_t drawn = 0;
    for (const auto& [at, value] : series.points) {
      if (!Drawn(chart.x, chart.y, at, value)) continue;
      std::string where = TickText(at);
      for (const auto& [position, name] : chart.x_names) {
        if (position == at) where = name;
      }
      svg.Mark(series.marker, points[drawn].first, points[drawn].second, 4, series.colour,
               series.name + ", " + where + ": " + TickText(value));
      ++drawn;
    }
    ends[i] = points.back().second + 4;
  }
  std::vector<double*> heights;
  for (double& end : ends) heights.push_back(&end);
  Spread(heights, 15, bottom);
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const std::string shown = Shortened(chart.series[i].name, kTextSize, kChartWidth - right - 8);
    svg.Text(right + 8, ends[i], "start", shown, chart.series[i].colour, kTextSize,
             shown == chart.series[i].name ? "" : chart.series[i].name);
  }
  return svg.Finish();
}

void MarkFront(std::vector<ScatterPoint>* points) {
  for (ScatterPoint& point : *points) {
    point.on_front = std::none_of(points->begin(), points->end(), [&](const ScatterPoint& other) {
      return other.x <= point.x && other.y >= point.y && (other.x < point.x || other.y > point.y);
    });
  }
}

namespace {

// Names beside their points, where one of a few places is free; those on the front first.
void DrawNames(Svg* svg, const ScatterChart& chart, const Scale& x, const Scale& y, double left,
               const std::vector<std::pair<double, double>>& front_line) {
  Occupied occupied;
  for (size_t i = 1; i < front_line.size(); ++i) {
    const auto& [x1, y1] = front_line[i - 1];
    const auto& [x2, y2] = front_line[i];
    occupied.Take({std::min(x1, x2) - 1, std::min(y1, y2) - 1, std::max(x1, x2) + 1, std::max(y1, y2) + 1});
  }
  for (const ScatterPoint& point : chart.points) {
    const double at = x.At(point.x), height = y.At(point.y);
    occupied.Take({at - 6, height - 6, at + 6, height + 6});
  }
  for (bool front : {true, false}) {
    for (const ScatterPoint& point : chart.points) {
      if (point.on_front != front || point.name.empty()) continue;
      const double at = x.At(point.x), height = y.At(point.y), width = TextWidth(point.name, 11);
      const std::pair<double, double> places[] = {{at + 9, height + 4},          {at - 9 - width, height + 4},
                                                  {at - width / 2, height - 10}, {at - width / 2, height + 18},
                                                  {at + 7, height - 8},          {at + 7, height + 15},
                                                  {at - 7 - width, height - 8},  {at - 7 - width, height + 15}};
      for (const auto& [text_x, text_y] : places) {
        const Occupied::Box box = {text_x - 1, text_y - 10, text_x + width + 1, text_y + 3};
        if (box.left < left || box.right > kChartWidth || !occupied.Free(box)) continue;
        occupied.Take(box);
        svg->Text(text_x, text_y, "start", point.name, kInk, 11);
        break;
      }
    }
  }
}

// A stair from point to point: between them nothing better is reached.
std::vector<std::pair<double, double>> FrontLine(const ScatterChart& chart, const Scale& x, const Scale& y) {
  std::vector<const ScatterPoint*> front;
  for (const ScatterPoint& point : chart.points) {
    if (point.on_front) front.push_back(&point);
  }
  std::sort(front.begin(), front.end(), [](const auto* a, const auto* b) { return a->x < b->x; });
  std::vector<std::pair<double, double>> line;
  for (const ScatterPoint* point : front) {
    if (!line.empty()) line.emplace_back(x.At(point->x), line.back().second);
    line.emplace_back(x.At(point->x), y.At(point->y));
  }
  return line;
}

}  // namespace

std::string Draw(const ScatterChart& chart) {
  std::vector<double> xs, ys;
  for (const ScatterPoint& point : chart.points) {
    xs.push_back(point.x);
    for (double value : {point.y, point.low.value_or(point.y), point.high.value_or(point.y)}) ys.push_back(value);
  }
  const double top = LegendHeight(chart.legend) + 28, bottom = top + kPlotHeight;
  const Scale y = ScaleOver(ys, bottom, top, chart.y.log);
  const double left = YAxisWidth(y);
  const Scale x = ScaleOver(xs, left, kChartWidth - 8, chart.x.log, 0.12);
  Svg svg(kChartWidth, bottom + kAxisHeight, chart.label);
  DrawLegend(&svg, chart.legend);
  DrawYAxis(&svg, y, chart.y.title, left, kChartWidth - 8);
  DrawXAxis(&svg, x, chart.x.title, top, bottom);
  const std::vector<std::pair<double, double>> front_line = FrontLine(chart, x, y);
  if (front_line.size() > 1) svg.Polyline(front_line, "#9a9a9a", 1.5, "5 3");
  for (const ScatterPoint& point : chart.points) {
    if (point.low.has_value()) DrawInterval(&svg, x.At(point.x), y.At(*point.low), y.At(*point.high), "#bdbdbd");
  }
  for (const ScatterPoint& point : chart.points) {
    svg.Mark(point.marker, x.At(point.x), y.At(point.y), 5, point.colour, point.title);
  }
  DrawNames(&svg, chart, x, y, left, front_line);
  return svg.Finish();
}

}  // namespace qwt
