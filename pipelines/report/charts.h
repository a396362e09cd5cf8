// The kinds of charts that reports are made of, each a value that is drawn as SVG. All are drawn for a column about as
// wide as a phone; wider pages put them side by side.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipelines/report/svg.h"

namespace qwt {

inline constexpr double kChartWidth = 420;

struct LegendEntry {
  std::string text;
  const char* colour;
  Marker marker = Marker::kCircle;
};

struct ChartAxis {
  std::string title;  // with its unit: "top-1 accuracy, %"
  bool log = false;
};

// Rows of marks on a common axis, each row with a name on the left and a remark on the right.
struct RowMark {
  double value = 0;
  const char* colour = kInk;
  Marker marker = Marker::kCircle;
  std::optional<double> low = std::nullopt, high = std::nullopt;  // ends of an interval, drawn as a line
  std::string title = "";
  double opacity = 1;
};
struct ChartRow {
  std::string name;
  std::vector<RowMark> marks;
  std::string remark = "";
  bool joined = false;  // a line from the first mark to the second
};
struct RowChart {
  std::string label;
  ChartAxis axis;
  std::vector<ChartRow> rows;
  std::vector<LegendEntry> legend = {};
};
std::string Draw(const RowChart& chart);

// Lines over a common x, named at their right end. Points that are not finite, or not positive on a log axis, are left
// out.
struct LineSeries {
  std::string name;
  const char* colour = kInk;
  std::vector<std::pair<double, double>> points;
  const char* dash = "";
  Marker marker = Marker::kCircle;
};
struct LineChart {
  std::string label;
  ChartAxis x, y;
  std::vector<LineSeries> series;
  std::vector<std::pair<double, std::string>> x_names = {};  // in place of numbers along x
};
std::string Draw(const LineChart& chart);

// Points with names where there is room for them; `front` joins those that nothing to their left beats.
struct ScatterPoint {
  double x = 0, y = 0;
  std::string name;  // "": not written
  const char* colour = kInk;
  Marker marker = Marker::kCircle;
  std::string title = "";
  std::optional<double> low = std::nullopt, high = std::nullopt;  // of y
  bool on_front = false;
};
struct ScatterChart {
  std::string label;
  ChartAxis x, y;
  std::vector<ScatterPoint> points;
  std::vector<LegendEntry> legend = {};
};
std::string Draw(const ScatterChart& chart);
// Sets on_front of the points that no other one of at most their x beats in y.
void MarkFront(std::vector<ScatterPoint>* points);

// Rows of bars made of parts.
struct BarPart {
  double value = 0;
  const char* colour = kInk;
  std::string title = "";
};
struct BarRow {
  std::string name;
  std::vector<BarPart> parts;
  std::string remark = "";
};
struct BarChart {
  std::string label;
  ChartAxis axis;
  std::vector<BarRow> rows;
  std::vector<LegendEntry> legend = {};
};
std::string Draw(const BarChart& chart);

// Rows of coloured cells, pale for the least value and dark for the largest; a cell without a value is left empty.
struct HeatRow {
  std::string name;
  std::vector<std::optional<double>> cells;
};
struct HeatChart {
  std::string label;
  std::string title;  // below: what the columns are, and of what the colours
  std::vector<std::string> columns;
  std::vector<HeatRow> rows;
  int decimals = 1;  // of the numbers in the cells, where there is room for them
};
std::string Draw(const HeatChart& chart);

// A histogram of values with lines at the codes they may become; half as wide as the other charts.
struct GridChart {
  std::string label, title, subtitle, remark;  // a line each above the drawing
  double low = 0, high = 0;                    // outer edges of the bins
  std::vector<int64_t> counts;
  std::vector<double> grid;         // positions of the codes, increasing
  std::vector<std::string> values;  // what they stand for, written under the first and last and where there is room
  bool all_codes = true;            // whether grid has every code; else their range is shaded
  const char* colour = kBlue;
};
std::string Draw(const GridChart& chart);

}  // namespace qwt
