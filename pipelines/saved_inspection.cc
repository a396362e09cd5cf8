#include "pipelines/saved_inspection.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/base/text_table.h"
#include "quant/sites.h"

namespace qwt {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

// What the file holds: with its compensation where there is one.
double HeldMb(const QuantizedModel& model) { return QuantizedSizeMb(model, !model.compensation.empty()); }

std::pair<double, double> RangeOf(const at::Tensor& vector) {
  return {vector.min().item<double>(), vector.max().item<double>()};
}

// "0.0123", or "0.0123 to 0.0456" of several.
std::string RangeText(const at::Tensor& vector) {
  const auto [low, high] = RangeOf(vector);
  return low == high ? absl::StrFormat("%.4g", low) : absl::StrFormat("%.4g to %.4g", low, high);
}

// The plan's sites in the network's order.
std::vector<Site> PlannedSites(const QuantizedModel& model) {
  std::vector<Site> sites;
  for (const Site& site : QuantSites(model.graph)) {
    if (model.plan.count(site.name)) sites.push_back(site);
  }
  return sites;
}

// Without the heading where there are no rows under it.
std::string Table(std::vector<Row> rows, size_t left_columns) {
  if (rows.size() < 2) return "";
  std::vector<Align> columns(rows[0].size(), Align::kRight);
  for (size_t i = 0; i < left_columns; ++i) columns[i] = Align::kLeft;
  return "\n" + TextTable(columns, rows);
}

std::string ProvenanceTable(const QuantizedModel& model) {
  std::vector<Row> rows = {{"provenance", ""}};
  for (const auto& [key, value] : model.provenance) rows.push_back({key, value});
  return Table(rows, 2);
}

std::string SizeTable(const SavedModel& saved) {
  const auto mb = [](double value) { return absl::StrFormat("%.3f", value); };
  const double file_mb = static_cast<double>(saved.file_bytes) / 1e6;
  std::vector<Row> rows = {{"size", "MB"}, {"float", mb(FloatSizeMb(saved.model.graph))}};
  rows.push_back({"quantized", mb(QuantizedSizeMb(saved.model, false))});
  if (!saved.model.compensation.empty()) rows.push_back({"compensated", mb(HeldMb(saved.model))});
  rows.push_back({absl::StrFormat("this file (%+.1f %%)", 100 * (file_mb / HeldMb(saved.model) - 1)), mb(file_mb)});
  return Table(rows, 1);
}

std::string BlockTable(const QuantizedModel& model) {
  std::vector<Row> rows = {{"block", "R²", "held out", "mse before", "after", "condition", "rank", "rows", "not kept"}};
  for (const BlockSolution& block : model.compensation) {
    rows.push_back({block.block, absl::StrFormat("%.3f", block.r2),
                    block.held_out_r2.has_value() ? absl::StrFormat("%.3f", *block.held_out_r2) : "-",
                    absl::StrFormat("%.3g", block.mse_before), absl::StrFormat("%.3g", block.mse_after),
                    absl::StrFormat("%.1e", block.condition), absl::StrCat(block.rank), absl::StrCat(block.samples),
                    block.reason});
  }
  return Table(rows, 1);
}

std::string SiteTable(const QuantizedModel& model) {
  std::vector<Row> rows = {{"site", "quantiser", "bits", "scales", "scale", "zero point"}};
  for (const Site& site : PlannedSites(model)) {
    const SiteQuantization& quantization = model.plan.at(site.name);
    rows.push_back({site.name, quantization.spec.quantizer, absl::StrCat(quantization.spec.bits),
                    absl::StrCat(quantization.scale.numel()), RangeText(quantization.scale),
                    RangeText(quantization.zero_point)});
  }
  return Table(rows, 2);
}

Json BlockToJson(const BlockSolution& block) {
  return {{"name", block.block},
          {"kept", block.kept},
          {"reason", block.reason},
          {"r2", block.r2},
          {"held_out_r2", block.held_out_r2.has_value() ? Json(*block.held_out_r2) : Json(nullptr)},
          {"mse_before", block.mse_before},
          {"mse_after", block.mse_after},
          {"condition", block.condition},
          {"rank", block.rank},
          {"samples", block.samples}};
}

Json SiteToJson(const Site& site, const SiteQuantization& quantization) {
  return {{"name", site.name},
          {"quantizer", quantization.spec.quantizer},
          {"bits", quantization.spec.bits},
          {"scales", quantization.scale.numel()},
          {"scale", RangeOf(quantization.scale)},
          {"zero_point", RangeOf(quantization.zero_point)}};
}

}  // namespace

absl::StatusOr<SavedModel> OpenSavedModel(const std::string& path) {
  SavedModel saved;
  QWT_ASSIGN_OR_RETURN(saved.model, LoadQuantizedModel(path));
  std::error_code error;
  saved.file_bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error) return ErrnoStatus(error.value(), absl::StrCat("read '", path, "'"));
  return saved;
}

std::string SavedModelToText(const SavedModel& saved) {
  const QuantizedModel& model = saved.model;
  return absl::StrCat(model.graph.name, ", quantised: an image [", model.graph.channels, ", ", model.graph.height, ", ",
                      model.graph.width, "], ", model.graph.classes,
                      " classes, compensation: ", model.compensation.empty() ? "none" : model.compensator, "\n",
                      ProvenanceTable(model), SizeTable(saved), BlockTable(model), SiteTable(model));
}

std::string SavedModelToJson(const SavedModel& saved) {
  const QuantizedModel& model = saved.model;
  Json json = {{"schema", 1},
               {"model", model.graph.name},
               {"input", {model.graph.channels, model.graph.height, model.graph.width}},
               {"classes", model.graph.classes},
               {"provenance", model.provenance},
               {"file_bytes", saved.file_bytes},
               {"size_mb", {{"float", FloatSizeMb(model.graph)}, {"quantized", QuantizedSizeMb(model, false)}}},
               {"compensator", model.compensation.empty() ? "" : model.compensator},
               {"blocks", Json::array()},
               {"sites", Json::array()}};
  if (!model.compensation.empty()) json["size_mb"]["compensated"] = HeldMb(model);
  for (const BlockSolution& block : model.compensation) json["blocks"].push_back(BlockToJson(block));
  for (const Site& site : PlannedSites(model)) json["sites"].push_back(SiteToJson(site, model.plan.at(site.name)));
  return json.dump(2) + "\n";
}

}  // namespace qwt
