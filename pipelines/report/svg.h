// A drawing as inline SVG, and the axes of charts.
#pragma once

#include <string>
#include <vector>

namespace qwt {

// Okabe and Ito's colours, which stay apart for colour-blind readers, and greys.
inline constexpr char kBlue[] = "#0072b2", kVermilion[] = "#d55e00", kGreen[] = "#009e73", kOrange[] = "#e69f00",
                      kPurple[] = "#cc79a7", kSky[] = "#56b4e9", kGrey[] = "#6b6b6b", kInk[] = "#222",
                      kPale[] = "#e2e2e2";

// For HTML's and SVG's text and attributes.
std::string EscapeHtml(const std::string& text);

// How wide a text is drawn at most, in units of the drawing, in common sans-serif fonts.
double TextWidth(const std::string& text, double size);
// The text, or its beginning and "…" where it is wider.
std::string Shortened(const std::string& text, double size, double width);

enum class Marker { kCircle, kSquare, kDiamond, kTriangle };

inline constexpr double kTextSize = 12;

// Text is escaped. `title`: what pointing at the element shows; "" for nothing.
class Svg {
 public:
  Svg(double width, double height, const std::string& label);  // label: for those who cannot see it
  void Line(double x1, double y1, double x2, double y2, const char* colour, double width = 1, const char* dash = "");
  void Rect(double x, double y, double width, double height, const char* colour, const std::string& title = "");
  void Mark(Marker marker, double x, double y, double radius, const char* colour, const std::string& title = "",
            double opacity = 1);
  // anchor: "start", "middle", "end".
  void Text(double x, double y, const char* anchor, const std::string& text, const char* colour = kInk,
            double size = kTextSize, const std::string& title = "");
  void Polyline(const std::vector<std::pair<double, double>>& points, const char* colour, double width = 2,
                const char* dash = "");
  std::string Finish() const;

 private:
  std::string text_;
};

// An axis: values to coordinates.
struct Scale {
  double low = 0, high = 1;  // values at both ends; above 0 where log
  double from = 0, to = 1;   // their coordinates
  bool log = false;

  double At(double value) const;  // values outside are put at the end
};

// Round values in [low, high], about `count` of them; where log: powers of ten, with 2 and 5 between few of them.
std::vector<double> Ticks(const Scale& scale, int count);

// A scale over all values with a margin, for ticks at round values. Where log, values that are not positive are left
// out.
Scale ScaleOver(const std::vector<double>& values, double from, double to, bool log = false, double margin = 0.05);

// "0.002", "1e-05", "12000".
std::string TickText(double value);

}  // namespace qwt
