#include "pipelines/report/chart_parts.h"

#include <algorithm>

namespace qwt {
namespace {

constexpr double kLineOfLegend = 20;
constexpr char kGridColour[] = "#e6e6e6";

// Where each entry of a legend lies; lines are filled one after the other.
std::vector<std::pair<double, double>> LegendPlaces(const std::vector<LegendEntry>& legend) {
  std::vector<std::pair<double, double>> places;
  double x = 4, y = 12;
  for (const LegendEntry& entry : legend) {
    const double width = TextWidth(entry.text, kTextSize) + 28;
    if (x + width > kChartWidth && x > 4) x = 4, y += kLineOfLegend;
    places.emplace_back(x, y);
    x += width;
  }
  return places;
}

}  // namespace

double LegendHeight(const std::vector<LegendEntry>& legend) {
  return legend.empty() ? 0 : LegendPlaces(legend).back().second + kLineOfLegend - 8;
}

void DrawLegend(Svg* svg, const std::vector<LegendEntry>& legend) {
  const auto places = LegendPlaces(legend);
  for (size_t i = 0; i < legend.size(); ++i) {
    svg->Mark(legend[i].marker, places[i].first + 4, places[i].second - 4, 4.5, legend[i].colour);
    svg->Text(places[i].first + 14, places[i].second, "start", legend[i].text);
  }
}

void DrawXAxis(Svg* svg, const Scale& x, const std::string& title, double top, double bottom) {
  double taken = -1e9;
  for (double tick : Ticks(x, 6)) {
    const double at = x.At(tick);
    svg->Line(at, top, at, bottom, kGridColour);
    const std::string text = TickText(tick);
    const double half = TextWidth(text, kTextSize) / 2;
    if (at - half < taken) continue;
    svg->Text(std::min(at, kChartWidth - half), bottom + 15, "middle", text, kGrey);
    taken = at + half + 6;
  }
  DrawXTitle(svg, x, title, bottom);
}

void DrawXTitle(Svg* svg, const Scale& x, const std::string& title, double bottom) {
  const double half = TextWidth(title, kTextSize) / 2;
  const double middle = std::min(std::max((x.from + x.to) / 2, half), std::max(kChartWidth - half, kChartWidth / 2));
  svg->Text(middle, bottom + 33, "middle", title);
}

double YAxisWidth(const Scale& y) {
  double width = 0;
  for (double tick : Ticks(y, 5)) width = std::max(width, TextWidth(TickText(tick), kTextSize));
  return width + 8;
}

void DrawYAxis(Svg* svg, const Scale& y, const std::string& title, double left, double right) {
  for (double tick : Ticks(y, 5)) {
    svg->Line(left, y.At(tick), right, y.At(tick), kGridColour);
    svg->Text(left - 6, y.At(tick) + 4, "end", TickText(tick), kGrey);
  }
  svg->Text(2, std::min(y.from, y.to) - 10, "start", title);
}

void DrawInterval(Svg* svg, double x, double low, double high, const char* colour) {
  svg->Line(x, low, x, high, colour, 1.5);
  for (double end : {low, high}) svg->Line(x - 3, end, x + 3, end, colour, 1.5);
}

bool Occupied::Free(const Box& box) const {
  return std::none_of(boxes_.begin(), boxes_.end(), [&](const Box& other) {
    return box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom;
  });
}

}  // namespace qwt
