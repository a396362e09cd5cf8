// What a run's page says of blocks and sites.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "pipelines/report/page.h"
#include "pipelines/report/run_page.h"
#include "pipelines/report/table.h"

namespace qwt {
namespace {

std::string Decibels(const std::optional<double>& db) { return db.has_value() ? absl::StrFormat("%.1f", *db) : "∞"; }

std::string GainFigure(const RunResult& result) {
  RowChart chart{"Error of each block before and after compensation",
                 {"mean squared error of the block's output", true},
                 {},
                 {{"quantised", kVermilion, Marker::kTriangle}, {"with QwT", kBlue, Marker::kCircle}}};
  for (const BlockSolution& block : result.blocks) {
    ChartRow row{block.block, {}, "", true};
    row.marks.push_back({block.mse_before, kVermilion, Marker::kTriangle, std::nullopt, std::nullopt,
                         absl::StrFormat("%s, before: %.3g", block.block, block.mse_before)});
    if (block.kept) {
      row.marks.push_back({block.mse_after, kBlue, Marker::kCircle, std::nullopt, std::nullopt,
                           absl::StrFormat("%s, after: %.3g", block.block, block.mse_after)});
      row.remark = absl::StrFormat("R² %.2f", block.r2);
    } else {
      row.remark = "not kept";
    }
    chart.rows.push_back(row);
  }
  return HtmlFigure("What compensation wins back in each block, on the images it was fitted to.", Draw(chart));
}

std::string GainTable(const RunResult& result) {
  ResultTable table{{{"block", false},
                     {"R²"},
                     {"R² held out"},
                     {"error before"},
                     {"after"},
                     {"left, %"},
                     {"condition"},
                     {"rank"},
                     {"", false}},
                    {}};
  for (const BlockSolution& block : result.blocks) {
    const double left = block.kept && block.mse_before > 0 ? 100 * block.mse_after / block.mse_before : 100;
    table.rows.push_back({{block.block},
                          {absl::StrFormat("%.3f", block.r2)},
                          {block.held_out_r2.has_value() ? absl::StrFormat("%.3f", *block.held_out_r2) : ""},
                          {absl::StrFormat("%.4g", block.mse_before)},
                          {absl::StrFormat("%.4g", block.mse_after)},
                          {absl::StrFormat("%.1f", left)},
                          {std::isfinite(block.condition) ? absl::StrFormat("%.1e", block.condition) : "∞"},
                          {absl::StrCat(block.rank)},
                          {block.kept ? "" : absl::StrCat("not kept: ", block.reason)}});
  }
  return HtmlFolded("every block's figures", ToHtml(table));
}

std::string DepthFigure(const Diagnosis& diagnosis) {
  LineChart chart{
      "Error by depth", {"depth: stem, blocks, logits"}, {"squared error, share of the signal's power", true}, {}, {}};
  LineSeries quantized{"quantised", kVermilion, {}, "", Marker::kTriangle},
      compensated{"with QwT", kBlue, {}, "", Marker::kCircle}, alone{"alone", kGrey, {}, "4 3", Marker::kSquare};
  int64_t block = 0;
  for (size_t i = 0; i < diagnosis.segments.size(); ++i) {
    const SegmentError& segment = diagnosis.segments[i];
    if (segment.signal <= 0) continue;
    quantized.points.emplace_back(i, segment.mse_quantized / segment.signal);
    alone.points.emplace_back(i, segment.mse_alone / segment.signal);
    if (segment.mse_compensated.has_value()) {
      compensated.points.emplace_back(i, *segment.mse_compensated / segment.signal);
    }
    const bool last = i + 1 == diagnosis.segments.size();
    chart.x_names.emplace_back(i, last                        ? "logits"
                                  : segment.block             ? absl::StrCat(block++)
                                  : segment.segment == "stem" ? "stem"
                                                              : "·");
  }
  chart.series = {quantized, compensated, alone};
  if (compensated.points.empty()) chart.series.erase(chart.series.begin() + 1);
  return HtmlFigure(absl::StrCat("How errors grow with depth, on ", diagnosis.images,
                                 " images nothing was fitted to. Alone: this part quantised, its input in float."),
                    Draw(chart));
}

// Sites by kind: a mark for each block, the noisiest named.
std::string KindFigure(const Diagnosis& diagnosis) {
  RowChart chart{"Signal-to-quantisation-noise ratio by kind of site",
                 {"signal-to-quantisation-noise ratio, dB (left: noisier)"},
                 {},
                 {{"activations", kVermilion, Marker::kCircle}, {"weights", kBlue, Marker::kSquare}}};
  std::vector<double> lowest;
  for (const SiteNoise& site : diagnosis.sites) {
    if (!site.sqnr_db.has_value()) continue;
    auto row = std::find_if(chart.rows.begin(), chart.rows.end(),
                            [&](const ChartRow& candidate) { return candidate.name == site.kind; });
    if (row == chart.rows.end()) {
      row = chart.rows.insert(row, ChartRow{site.kind, {}, ""});
      lowest.push_back(1e9);
    }
    double& least = lowest[row - chart.rows.begin()];
    row->marks.push_back({*site.sqnr_db, site.weight ? kBlue : kVermilion,
                          site.weight ? Marker::kSquare : Marker::kCircle, std::nullopt, std::nullopt,
                          absl::StrFormat("%s, %d bits: %.1f dB", site.site, site.bits, *site.sqnr_db), 0.65});
    if (*site.sqnr_db >= least) continue;
    least = *site.sqnr_db;
    row->remark = absl::StrFormat("%.1f", least);
  }
  return HtmlFigure(
      "Noise that each site's quantiser adds to what passes through it, a mark for each block; on the "
      "right the noisiest one's dB.",
      Draw(chart));
}

std::string GridFigure(const SiteNoise& site) {
  const GridHistogram& histogram = *site.histogram;
  GridChart chart;
  chart.label = absl::StrCat("Values of ", site.site);
  chart.title = site.kind;
  chart.subtitle = absl::StrCat("in ", site.segment);
  chart.remark = absl::StrFormat("%s dB, %d bits", Decibels(site.sqnr_db), site.bits);
  if (site.clipped > 0) absl::StrAppendFormat(&chart.remark, ", %.2g %% cut", 100 * site.clipped);
  chart.low = histogram.low;
  chart.high = histogram.high;
  chart.counts = histogram.counts;
  chart.grid = histogram.grid;
  chart.all_codes = static_cast<int64_t>(histogram.grid.size()) == site.levels;
  for (size_t i = 0; i < histogram.grid.size(); ++i) {
    chart.values.push_back(histogram.grid_values.empty() ? absl::StrFormat("%g", histogram.grid[i])
                                                         : absl::StrFormat("%.2g", histogram.grid_values[i]));
  }
  chart.colour = site.weight ? kBlue : kGrey;
  return Draw(chart);
}

std::string SiteTable(const Diagnosis& diagnosis) {
  std::vector<const SiteNoise*> sites;
  for (const SiteNoise& site : diagnosis.sites) sites.push_back(&site);
  std::stable_sort(sites.begin(), sites.end(),
                   [](const auto* a, const auto* b) { return a->sqnr_db.value_or(1e9) < b->sqnr_db.value_or(1e9); });
  ResultTable table{{{"site, the noisiest first", false}, {"bits"}, {"SQNR, dB"}, {"outside the grid, %"}}, {}};
  for (const SiteNoise* site : sites) {
    table.rows.push_back({{site->site},
                          {absl::StrCat(site->bits)},
                          {Decibels(site->sqnr_db)},
                          {absl::StrFormat("%.3f", 100 * site->clipped)}});
  }
  return HtmlFolded(absl::StrCat("all ", sites.size(), " sites"), ToHtml(table));
}

}  // namespace

std::string BlockFigures(const RunResult& result) {
  std::vector<std::string> figures;
  if (!result.blocks.empty()) figures.push_back(GainFigure(result));
  if (result.diagnosis.has_value()) figures.push_back(DepthFigure(*result.diagnosis));
  return HtmlColumns(figures) + (result.blocks.empty() ? "" : GainTable(result));
}

std::string NoiseFigures(const Diagnosis& diagnosis) {
  std::vector<std::string> figures;
  for (const bool weights : {false, true}) {
    for (const SiteNoise& site : diagnosis.sites) {
      if (site.histogram.has_value() && site.weight == weights) figures.push_back(GridFigure(site));
    }
  }
  const std::string values = HtmlMultiples(figures);
  const std::string caption =
      "The noisiest site of each kind: how its values are spread (bars) and the codes they are rounded to (lines; "
      "below "
      "them what a code stands for, or its number where every channel has a scale of its own).";
  return HtmlColumns({KindFigure(diagnosis), values.empty() ? "" : HtmlFigure(caption, values)}) + SiteTable(diagnosis);
}

}  // namespace qwt
