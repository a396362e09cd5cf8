#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/text_table.h"
#include "models/shape.h"
#include "pipelines/inspection.h"
#include "quant/sites.h"

namespace qwt {
namespace {

using Row = std::vector<std::string>;

// "381.9 M", four digits.
std::string MacsText(int64_t macs) {
  constexpr const char* kUnits[] = {"", " k", " M", " G", " T", " P"};
  double value = static_cast<double>(macs);
  size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  if (unit == 0) return absl::StrCat(macs);
  return absl::StrFormat("%.*f%s", value < 9.9995 ? 3 : value < 99.995 ? 2 : 1, value, kUnits[unit]);
}

std::string MbText(double mb) { return absl::StrFormat("%.3f", mb); }

std::string ValueText(double value) { return absl::StrFormat("%.4f", value); }

Row SegmentRow(const SegmentInspection& segment) {
  return {segment.name,
          ShapeText(segment.output),
          GroupedDigits(segment.parameters),
          MacsText(segment.macs),
          absl::StrCat(segment.weight_sites),
          absl::StrCat(segment.activation_sites),
          MbText(segment.size_mb.w4),
          MbText(segment.size_mb.w8),
          MbText(segment.size_mb.w32),
          MbText(static_cast<double>(segment.peak_activation_bytes) / 1e6)};
}

std::string SegmentTable(const NetworkInspection& network) {
  std::vector<Row> rows = {
      {"segment", "output", "parameters", "MACs", "weights", "inputs", "W4 MB", "W8 MB", "W32 MB", "live MB"}};
  for (const SegmentInspection& segment : network.segments) rows.push_back(SegmentRow(segment));
  rows.push_back(SegmentRow(network.totals));
  std::vector<Align> columns(rows[0].size(), Align::kRight);
  columns[0] = columns[1] = Align::kLeft;
  return TextTable(columns, rows);
}

// Most sites are called as their parameter; twice the name would make lines too long.
std::string SiteText(const ParameterInspection& parameter) {
  if (parameter.site.empty()) return "-";
  return parameter.site == parameter.name ? "=" : parameter.site;
}

std::string ParameterTable(const NetworkInspection& network) {
  const bool ranges = !network.weights.empty();
  std::vector<Row> rows = {{"parameter", "shape", "site"}};
  if (ranges) rows[0].insert(rows[0].end(), {"min", "max"});
  for (const ParameterInspection& parameter : network.parameters) {
    rows.push_back({parameter.name, ShapeText(parameter.shape), SiteText(parameter)});
    if (ranges) {
      rows.back().insert(rows.back().end(), {ValueText(parameter.range->first), ValueText(parameter.range->second)});
    }
  }
  std::vector<Align> columns(rows[0].size(), Align::kRight);
  columns[0] = columns[1] = columns[2] = Align::kLeft;
  return TextTable(columns, rows);
}

std::string DbText(const std::optional<double>& db) { return db.has_value() ? absl::StrFormat("%.1f", *db) : "exact"; }

Row WeightRow(const WeightInspection& weight) {
  const WeightStatistics& statistics = weight.statistics;
  return {weight.name,
          ShapeText(weight.shape),
          ValueText(statistics.min),
          ValueText(statistics.max),
          ValueText(statistics.std),
          absl::StrFormat("%.1f", statistics.peak),
          absl::StrFormat("%.4f", 100 * statistics.outlier_share),
          absl::StrFormat("%.1f", statistics.channel_spread),
          DbText(statistics.snr_db)};
}

std::string WeightTable(const NetworkInspection& network) {
  std::vector<Row> rows = {{"weight", "shape", "min", "max", "std", "peak", "far %", "spread", "W4 dB"}};
  for (const WeightInspection& weight : network.weights) rows.push_back(WeightRow(weight));
  std::vector<Align> columns(rows[0].size(), Align::kRight);
  columns[0] = columns[1] = Align::kLeft;
  return TextTable(columns, rows);
}

std::string HardestText(const NetworkInspection& network) {
  std::vector<Row> rows;
  for (const WeightInspection* weight : HardestWeights(network, kHardestListed)) {
    rows.push_back({weight->name, DbText(weight->statistics.snr_db) + " dB"});
  }
  if (rows.empty()) return "";
  return absl::StrCat("\n  hardest at ", kSnrBits, " bits, of those that get so few:\n",
                      TextTable({Align::kLeft, Align::kRight}, rows));
}

std::string WeightText(const NetworkInspection& network) {
  return absl::StrCat(
      WeightTable(network), "\n  peak: the farthest value from the mean, in std; far: values farther than ",
      kOutlierStds,
      " std; spread: the largest range of an output\n  channel over the median one; W4 dB: signal over the noise of ",
      kSnrBits, " bits, uniform with a scale for each output channel\n", HardestText(network));
}

}  // namespace

std::string InspectionToText(const NetworkInspection& network, bool parameters) {
  const bool one = network.batch == 1;
  std::string text = absl::StrCat(
      network.model, ": ", one ? "an image " : absl::StrCat(network.batch, " images "), ShapeText(network.input),
      "\n\n", SegmentTable(network), "\n  output: of one image; MACs, live MB: of ",
      one ? "one image" : absl::StrCat(network.batch, " images"),
      "; live: the most activations held at once, float32\n",
      "  weights, inputs: how many can be quantised; W4, W8, W32: the parameters with weights of that many bits, ",
      kBorderBits, " at\n  the first convolution and the classifiers; all other parameters are float32\n");
  if (!network.weights.empty()) absl::StrAppend(&text, "\n", WeightText(network));
  if (parameters) absl::StrAppend(&text, "\n", ParameterTable(network));
  return text;
}

}  // namespace qwt
