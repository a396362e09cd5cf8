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
  return {{"name", parameter.name},
          {"shape", parameter.shape},
          {"segment", parameter.segment},
          {"site", parameter.site.empty() ? Json(nullptr) : Json(parameter.site)}};
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
  return Lines(json);
}

}  // namespace qwt
