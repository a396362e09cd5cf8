#include "pipelines/report/svg.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace qwt {
namespace {

bool StartsCharacter(char byte) { return (byte & 0xc0) != 0x80; }

// The end of an element: with a title, or empty.
std::string Close(const char* element, const std::string& title) {
  if (title.empty()) return "/>";
  return absl::StrCat("><title>", EscapeHtml(title), "</title></", element, ">");
}

}  // namespace

std::string EscapeHtml(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

double TextWidth(const std::string& text, double size) {
  constexpr double kWidthOfCharacter = 0.6;  // of its size, in wide fonts
  return kWidthOfCharacter * size * std::count_if(text.begin(), text.end(), StartsCharacter);
}

std::string Shortened(const std::string& text, double size, double width) {
  constexpr double kRounding = 1e-6;  // of widths that were added and taken off again
  if (TextWidth(text, size) <= width + kRounding) return text;
  std::string shorter = text;
  do {
    while (!shorter.empty() && !StartsCharacter(shorter.back())) shorter.pop_back();
    if (!shorter.empty()) shorter.pop_back();
  } while (!shorter.empty() && TextWidth(shorter + "…", size) > width);
  return shorter + "…";
}

Svg::Svg(double width, double height, const std::string& label)
    : text_(absl::StrFormat("<svg viewBox='0 0 %.0f %.0f' role='img' aria-label='%s'>", width, height,
                            EscapeHtml(label))) {}

void Svg::Line(double x1, double y1, double x2, double y2, const char* colour, double width, const char* dash) {
  absl::StrAppendFormat(&text_, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s'", x1, y1, x2, y2, colour);
  if (width != 1) absl::StrAppendFormat(&text_, " stroke-width='%g'", width);
  if (*dash != '\0') absl::StrAppend(&text_, " stroke-dasharray='", dash, "'");
  text_ += "/>";
}

void Svg::Rect(double x, double y, double width, double height, const char* colour, const std::string& title) {
  absl::StrAppendFormat(&text_, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='%s'%s", x, y,
                        std::max(width, 0.0), std::max(height, 0.0), colour, Close("rect", title));
}

void Svg::Mark(Marker marker, double x, double y, double radius, const char* colour, const std::string& title,
               double opacity) {
  std::string fill = absl::StrCat(" fill='", colour, "' stroke='#fff'");
  if (opacity < 1) absl::StrAppendFormat(&fill, " fill-opacity='%g'", opacity);
  if (marker == Marker::kCircle) {
    absl::StrAppendFormat(&text_, "<circle cx='%.1f' cy='%.1f' r='%.1f'%s%s", x, y, radius, fill,
                          Close("circle", title));
    return;
  }
  std::string path;
  const double r = radius;
  if (marker == Marker::kSquare) {
    path = absl::StrFormat("M%.1f %.1fh%.1fv%.1fh%.1fz", x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r, -1.8 * r);
  } else if (marker == Marker::kDiamond) {
    path = absl::StrFormat("M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz", x, y - 1.25 * r, 1.25 * r, 1.25 * r, -1.25 * r,
                           1.25 * r, -1.25 * r, -1.25 * r);
  } else {
    path = absl::StrFormat("M%.1f %.1fl%.1f %.1fh%.1fz", x, y - 1.2 * r, 1.2 * r, 2.1 * r, -2.4 * r);
  }
  absl::StrAppend(&text_, "<path d='", path, "'", fill, Close("path", title));
}

void Svg::Text(double x, double y, const char* anchor, const std::string& text, const char* colour, double size,
               const std::string& title) {
  absl::StrAppendFormat(&text_, "<text x='%.1f' y='%.1f'", x, y);
  if (std::string(anchor) != "start") absl::StrAppend(&text_, " text-anchor='", anchor, "'");
  if (std::string(colour) != kInk) absl::StrAppend(&text_, " fill='", colour, "'");
  if (size != kTextSize) absl::StrAppendFormat(&text_, " font-size='%g'", size);
  absl::StrAppend(&text_, ">", EscapeHtml(text));
  if (!title.empty()) absl::StrAppend(&text_, "<title>", EscapeHtml(title), "</title>");
  text_ += "</text>";
}

void Svg::Polyline(const std::vector<std::pair<double, double>>& points, const char* colour, double width,
                   const char* dash) {
  text_ += "<polyline points='";
  for (const auto& [x, y] : points) absl::StrAppendFormat(&text_, "%.1f,%.1f ", x, y);
  absl::StrAppendFormat(&text_, "' fill='none' stroke='%s' stroke-width='%g'", colour, width);
  if (*dash != '\0') absl::StrAppend(&text_, " stroke-dasharray='", dash, "'");
  text_ += "/>";
}

std::string Svg::Finish() const { return text_ + "</svg>"; }

double Scale::At(double value) const {
  const auto position = [this](double v) { return log ? std::log10(v) : v; };
  const double span = position(high) - position(low);
  if (span <= 0 || !std::isfinite(value) || (log && value <= 0)) return from;
  const double part = (position(value) - position(low)) / span;
  return from + std::min(std::max(part, 0.0), 1.0) * (to - from);
}

std::vector<double> Ticks(const Scale& scale, int count) {
  std::vector<double> ticks;
  const double tolerance = 1e-9;
  if (scale.log) {
    const int first = std::floor(std::log10(scale.low)), last = std::ceil(std::log10(scale.high));
    const int every = std::max(1, (last - first + count - 1) / count);
    const bool between = (last - first) * 3 <= count + 3;
    for (int exponent = first; exponent <= last; exponent += every) {
      for (double factor : {1.0, 2.0, 5.0}) {
        const double tick = factor * std::pow(10.0, exponent);
        if ((factor != 1 && !between) || tick < scale.low * (1 - tolerance) || tick > scale.high * (1 + tolerance))
          continue;
        ticks.push_back(tick);
      }
    }
    return ticks;
  }
  const double span = scale.high - scale.low;
  if (!(span > 0)) return {scale.low};
  double step = std::pow(10.0, std::floor(std::log10(span / count)));
  for (double factor : {1.0, 2.0, 5.0, 10.0}) {
    if (span / (step * factor) <= count) {
      step *= factor;
      break;
    }
  }
  for (double i = std::ceil(scale.low / step - tolerance); i * step <= scale.high + step * tolerance; ++i) {
    ticks.push_back(i * step);
  }
  return ticks;
}

Scale ScaleOver(const std::vector<double>& values, double from, double to, bool log, double margin) {
  Scale scale{0, 0, from, to, log};
  bool any = false;
  for (double value : values) {
    if (!std::isfinite(value) || (log && value <= 0)) continue;
    scale.low = any ? std::min(scale.low, value) : value;
    scale.high = any ? std::max(scale.high, value) : value;
    any = true;
  }
  if (!any) return {log ? 0.1 : 0, 1, from, to, log};
  if (log) {
    const double grow = std::pow(std::max(scale.high / scale.low, 1.5), margin);
    scale.low /= grow;
    scale.high *= grow;
  } else {
    const double grow = margin * std::max(scale.high - scale.low, 1e-3 * std::max(std::abs(scale.high), 1.0));
    scale.low -= grow;
    scale.high += grow;
  }
  return scale;
}

std::string TickText(double value) { return absl::StrFormat("%g", std::abs(value) < 1e-12 ? 0.0 : value); }

}  // namespace qwt
