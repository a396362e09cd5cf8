#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "pipelines/inspection.h"

namespace qwt {
namespace {

using Json = nlohmann::ordered_json;

Json SegmentToJson(const SegmentInspection& segment) {
  return {{"name", segment.name},
          {"output", segment.output},
          {"parameters", segment.parameters},
          {"macs", segment.macs},
          {"weight_sites", segment.weight_sites},
          {"activation_sites", segment.activation_sites},
          {"size_mb", {{"w4", segment.size_mb.w4}, {"w8", segment.size_mb.w8}, {"w32", segment.size_mb.w32}}},
          {"peak_activation_bytes", segment.peak_activation_bytes}};
}

Json ParameterToJson(const ParameterInspection& parameter) {
  Json json = {{"name", parameter.name},
               {"shape", parameter.shape},
               {"segment", parameter.segment},
               {"site", parameter.site.empty() ? Json(nullptr) : Json(parameter.site)}};
  if (parameter.range.has_value()) json["min"] = parameter.range->first, json["max"] = parameter.range->second;
  return json;
}

Json WeightToJson(const WeightInspection& weight) {
  const WeightStatistics& statistics = weight.statistics;
  return {{"name", weight.name},
          {"shape", weight.shape},
          {"at_border", weight.at_border},
          {"min", statistics.min},
          {"max", statistics.max},
          {"mean_abs", statistics.mean_abs},
          {"std", statistics.std},
          {"peak", statistics.peak},
          {"outlier_share", statistics.outlier_share},
          {"channel_spread", statistics.channel_spread},
          {"snr_db_w4", statistics.snr_db.has_value() ? Json(*statistics.snr_db) : Json(nullptr)}};
}

// A line for each key, and for each element of a list of objects.
std::string Lines(const Json& object) {
  std::vector<std::string> entries;
  for (const auto& [key, value] : object.items()) {
    const bool objects = value.is_array() && !value.empty() && value[0].is_object();
    std::vector<std::string> elements;
    for (const Json& element : objects ? value : Json::array()) elements.push_back("    " + element.dump());
    entries.push_back(
        absl::StrCat("  ", Json(key).dump(), ": ",
                     objects ? absl::StrCat("[\n", absl::StrJoin(elements, ",\n"), "\n  ]") : value.dump()));
  }
  return absl::StrCat("{\n", absl::StrJoin(entries, ",\n"), "\n}\n");
}

}  // namespace

std::string InspectionToJson(const NetworkInspection& network) {
  Json json = {{"schema", 1}, {"model", network.model}, {"input", network.input}, {"batch", network.batch}};
  json["segments"] = Json::array();
  for (const SegmentInspection& segment : network.segments) json["segments"].push_back(SegmentToJson(segment));
  json["totals"] = SegmentToJson(network.totals);
  json["totals"].erase("name");
  json["parameters"] = Json::array();
  for (const ParameterInspection& parameter : network.parameters) {
    json["parameters"].push_back(ParameterToJson(parameter));
  }
  if (network.weights.empty()) return Lines(json);
  json["weights"] = json["hardest"] = Json::array();
  for (const WeightInspection& weight : network.weights) json["weights"].push_back(WeightToJson(weight));
  for (const WeightInspection* weight : HardestWeights(network, kHardestListed)) {
    json["hardest"].push_back(weight->name);
  }
  return Lines(json);
}

}  // namespace qwt
