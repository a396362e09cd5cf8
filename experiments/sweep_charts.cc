#include "experiments/sweep_charts.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "pipelines/report/charts.h"
#include "pipelines/report/page.h"
#include "pipelines/report/run_page.h"

namespace qwt {
namespace {

constexpr const char* kLineColours[] = {kBlue, kVermilion, kGreen, kOrange, kPurple, kSky};
constexpr Marker kLineMarkers[] = {Marker::kCircle,  Marker::kTriangle, Marker::kSquare,
                                   Marker::kDiamond, Marker::kCircle,   Marker::kSquare};
constexpr size_t kMostLines = std::size(kLineColours);

LegendEntry LegendOf(const std::string& model) {
  const ModelStyle style = StyleOf(model);
  return {style.name, style.colour, style.marker};
}

RowMark MarkOf(const ReportedRun& run, const std::string& model, bool interval) {
  const ModelScore& score = *ScoreOf(run, model);
  const ModelStyle style = StyleOf(model);
  RowMark mark{score.top1, style.colour, style.marker};
  mark.title = absl::StrFormat("%s, %s: %.2f %% (95 %% interval %.2f to %.2f)", run.name, style.name, score.top1,
                               score.top1_low, score.top1_high);
  if (interval) mark.low = score.top1_low, mark.high = score.top1_high;
  return mark;
}

// The run's values of the other axes, as a line's name.
std::string OtherAxes(const SweepResults& sweep, const ReportedRun& run, const std::string& axis) {
  std::string text;
  for (const std::string& other : sweep.axes) {
    const auto value = run.axes.find(other);
    if (other == axis || value == run.axes.end()) continue;
    absl::StrAppend(&text, text.empty() ? "" : ", ", value->second);
  }
  return text;
}

std::optional<double> NumberOn(const ReportedRun& run, const std::string& axis) {
  const auto value = run.axes.find(axis);
  double number = 0;
  if (value == run.axes.end() || !absl::SimpleAtod(value->second, &number)) return std::nullopt;
  return number;
}

// One model's line for each setting of the other axes; empty where a value is no number or there are too many lines.
std::vector<LineSeries> LinesAlong(const SweepResults& sweep, const std::string& axis, const std::string& model) {
  std::vector<LineSeries> lines;
  for (const ReportedRun& run : sweep.runs) {
    const ModelScore* score = ScoreOf(run, model);
    if (score == nullptr) continue;
    const auto x = NumberOn(run, axis);
    if (!x.has_value()) return {};
    const std::string name = OtherAxes(sweep, run, axis);
    auto line = std::find_if(lines.begin(), lines.end(), [&](const LineSeries& other) { return other.name == name; });
    if (line == lines.end()) {
      if (lines.size() == kMostLines) return {};
      const size_t i = lines.size();
      line = lines.insert(line, LineSeries{name, kLineColours[i], {}, "", kLineMarkers[i]});
    }
    line->points.emplace_back(*x, score->top1);
  }
  for (LineSeries& line : lines) std::sort(line.points.begin(), line.points.end());
  return lines;
}

std::string AxisFigure(const SweepResults& sweep, const std::string& axis) {
  LineChart chart{absl::StrCat("Accuracy along ", axis), {axis}, {"top-1 accuracy, %"}, {}, {}};
  chart.series = LinesAlong(sweep, axis, "compensated");
  if (chart.series.empty()) chart.series = LinesAlong(sweep, axis, "quantized");
  std::vector<double> values;
  for (const LineSeries& line : chart.series) {
    for (const auto& point : line.points) values.push_back(point.first);
  }
  std::sort(values.begin(), values.end());
  if (std::unique(values.begin(), values.end()) - values.begin() < 3) return "";
  chart.x.log = values.front() > 0 && values.back() >= 8 * values.front();
  if (chart.series.size() == 1) {  // there is room for what it is compared with
    chart.series[0].name = StyleOf("compensated").name;
    for (LineSeries& base : LinesAlong(sweep, axis, "quantized")) {
      const ModelStyle style = StyleOf("quantized");
      base.name = style.name;
      base.colour = style.colour;
      base.marker = style.marker;
      chart.series.push_back(base);
    }
  }
  return HtmlFigure(absl::StrCat("Accuracy ", chart.series.size() > 1 ? "" : "with QwT ", "along ", axis, "."),
                    Draw(chart));
}

// The figure of a heat chart; "" without rows.
std::string HeatFigure(const std::string& caption, const HeatChart& chart) {
  return chart.rows.empty() ? "" : HtmlFigure(caption, Draw(chart));
}

}  // namespace

std::string GainByRunFigure(const SweepResults& sweep) {
  RowChart chart{"Accuracy of every run", {"top-1 accuracy, % (lines: 95 % intervals)"}, {}, {}};
  bool seen[4] = {};
  for (const ReportedRun& run : sweep.runs) {
    ChartRow row{run.name, {}, ""};
    const bool both = ScoreOf(run, "quantized") != nullptr && ScoreOf(run, "compensated") != nullptr;
    for (int i = 0; const char* model : {"quantized", "compensated", "float"}) {
      if (ScoreOf(run, model) != nullptr) {
        row.marks.push_back(MarkOf(run, model, model == FinalModel(run)));
        seen[i] = true;
      }
      ++i;
    }
    if (row.marks.empty()) {
      row.remark = run.status;
    } else if (both) {
      row.joined = true;
      row.remark = absl::StrFormat("%+.2f", ScoreOf(run, "compensated")->top1 - ScoreOf(run, "quantized")->top1);
    }
    if (run.result.has_value()) {
      const auto published = run.result->expected.top1.find(FinalModel(run));
      if (published != run.result->expected.top1.end()) {
        row.marks.push_back({published->second, kInk, Marker::kDiamond, std::nullopt, std::nullopt,
                             absl::StrFormat("%s, published: %.2f %%", run.name, published->second)});
        seen[3] = true;
      }
    }
    chart.rows.push_back(row);
  }
  for (int i = 0; const char* model : {"quantized", "compensated", "float"}) {
    if (seen[i++]) chart.legend.push_back(LegendOf(model));
  }
  if (seen[3]) chart.legend.push_back({"published", kInk, Marker::kDiamond});
  if (chart.legend.empty()) return "";
  return HtmlFigure("Every run; on the right what QwT adds to the base method, in points.", Draw(chart));
}

std::string FrontFigure(const SweepResults& sweep) {
  ScatterChart chart{"Accuracy against size with the Pareto front", {"size, MB", true}, {"top-1 accuracy, %"}, {}, {}};
  std::vector<std::string> places;  // that have a point: many runs share a float network, or a quantised one
  bool seen[3] = {};
  for (const ReportedRun& run : sweep.runs) {
    for (int i = 0; const char* model : {"float", "quantized", "compensated"}) {
      const int kind = i++;
      const ModelScore* score = ScoreOf(run, model);
      const auto size = SizeOf(run, model);
      if (score == nullptr || !size.has_value()) continue;
      const ModelStyle style = StyleOf(model);
      const std::string place = absl::StrCat(*size, " ", score->top1);
      if (std::find(places.begin(), places.end(), place) != places.end()) continue;
      places.push_back(place);
      seen[kind] = true;
      chart.points.push_back({*size, score->top1, kind == 0 ? "float" : run.name, style.colour, style.marker,
                              absl::StrFormat("%s, %s: %.2f %% at %.3f MB", run.name, style.name, score->top1, *size),
                              score->top1_low, score->top1_high});
    }
  }
  if (chart.points.size() < 2) return "";
  MarkFront(&chart.points);
  // Names of what the front leaves behind would only hide it; pointing at a mark shows them.
  for (ScatterPoint& point : chart.points) {
    if (!point.on_front) point.name.clear();
  }
  for (int i = 0; const char* model : {"float", "quantized", "compensated"}) {
    if (seen[i++]) chart.legend.push_back(LegendOf(model));
  }
  return HtmlFigure("Accuracy against size. Dashed: the Pareto front, which nothing of its size or smaller beats.",
                    Draw(chart));
}

std::vector<std::string> AxisFigures(const SweepResults& sweep) {
  std::vector<std::string> figures;
  for (const std::string& axis : sweep.axes) {
    std::string figure = AxisFigure(sweep, axis);
    if (!figure.empty()) figures.push_back(std::move(figure));
  }
  return figures;
}

std::vector<std::string> BlockFigures(const SweepResults& sweep) {
  HeatChart gain{"R² by run and block", "block", {}, {}, 2};
  HeatChart depth{"Signal-to-noise ratio by run and depth", "depth: stem, blocks, logits", {}, {}, 1};
  for (const ReportedRun& run : sweep.runs) {
    if (!run.result.has_value()) continue;
    const auto& blocks = run.result->blocks;
    HeatRow r2{run.name, {}};
    for (const BlockSolution& block : blocks) {
      r2.cells.push_back(block.kept ? std::optional<double>(block.r2) : std::nullopt);
    }
    const bool kept = std::any_of(blocks.begin(), blocks.end(), [](const BlockSolution& block) { return block.kept; });
    if (kept) gain.rows.push_back(r2);
    if (!run.result->diagnosis.has_value()) continue;
    HeatRow noise{run.name, {}};
    for (const SegmentError& segment : run.result->diagnosis->segments) {
      noise.cells.push_back(SqnrDb(segment.signal, segment.mse_compensated.value_or(segment.mse_quantized)));
    }
    depth.rows.push_back(noise);
  }
  size_t blocks = 0, segments = 0;
  for (const HeatRow& row : gain.rows) blocks = std::max(blocks, row.cells.size());
  for (const HeatRow& row : depth.rows) segments = std::max(segments, row.cells.size());
  for (size_t i = 0; i < blocks; ++i) gain.columns.push_back(absl::StrCat(i));
  for (size_t i = 0; i < segments; ++i) depth.columns.push_back(i == 0 ? "stem" : absl::StrCat(i - 1));
  if (segments > 1) depth.columns.back() = "logits";
  return {
      HeatFigure("R²: how much of each block's error its compensation explains (dark: much). Empty: not kept.", gain),
      HeatFigure("Signal to noise of each part's output in the last network of the run, dB (dark: little noise), on "
                 "images nothing was fitted to.",
                 depth)};
}

std::string TimeByRunFigure(const SweepResults& sweep) {
  BarChart chart{"Time of every run by stage", {"seconds"}, {}, {}};
  std::vector<const RunResult*> results;
  for (const ReportedRun& run : sweep.runs) {
    if (!run.result.has_value()) continue;
    results.push_back(&*run.result);
    chart.rows.push_back(StageBar(run.name, *run.result));
  }
  if (chart.rows.empty()) return "";
  chart.legend = StageLegend(results);
  return HtmlFigure("Time of every run by stage; what came from the store took none.", Draw(chart));
}

}  // namespace qwt
