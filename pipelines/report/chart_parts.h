// What charts share: legends and axes.
#pragma once

#include <string>
#include <vector>

#include "pipelines/report/charts.h"
#include "pipelines/report/svg.h"

namespace qwt {

inline constexpr double kAxisHeight = 40;  // below the plotted area: ticks and the title

// Along the top; 0 without entries.
double LegendHeight(const std::vector<LegendEntry>& legend);
void DrawLegend(Svg* svg, const std::vector<LegendEntry>& legend);

// Grid lines with numbers below and the title under them. Numbers that would touch are left out.
void DrawXAxis(Svg* svg, const Scale& x, const std::string& title, double top, double bottom);
void DrawXTitle(Svg* svg, const Scale& x, const std::string& title, double bottom);
// Grid lines with numbers on the left and the title above them.
void DrawYAxis(Svg* svg, const Scale& y, const std::string& title, double left, double right);
// How wide the numbers of a y axis are, with a gap.
double YAxisWidth(const Scale& y);

// Of points on two axes.
void DrawInterval(Svg* svg, double x, double low, double high, const char* colour);

// Boxes that are taken, so that texts do not lie on each other or on marks.
class Occupied {
 public:
  struct Box {
    double left, top, right, bottom;
  };
  void Take(const Box& box) { boxes_.push_back(box); }
  bool Free(const Box& box) const;

 private:
  std::vector<Box> boxes_;
};

}  // namespace qwt
