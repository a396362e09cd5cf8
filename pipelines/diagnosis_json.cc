#include "pipelines/diagnosis_json.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace qwt {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

std::optional<double> NumberOrNone(const Json& value) {
  return value.is_null() ? std::nullopt : std::optional<double>(value.get<double>());
}

Json ToJson(const SegmentError& segment) {
  Json json = {{"name", segment.segment},
               {"block", segment.block},
               {"signal", segment.signal},
               {"mse_alone", segment.mse_alone},
               {"mse_quantized", segment.mse_quantized}};
  if (segment.mse_compensated.has_value()) json["mse_compensated"] = *segment.mse_compensated;
  return json;
}

SegmentError SegmentFrom(const Json& json) {
  SegmentError segment;
  segment.segment = json.at("name");
  segment.block = json.at("block");
  segment.signal = json.at("signal");
  segment.mse_alone = json.at("mse_alone");
  segment.mse_quantized = json.at("mse_quantized");
  if (json.contains("mse_compensated")) segment.mse_compensated = json["mse_compensated"].get<double>();
  return segment;
}

Json ToJson(const GridHistogram& histogram) {
  Json json = {{"low", histogram.low},     {"high", histogram.high},   {"counts", histogram.counts},
               {"below", histogram.below}, {"above", histogram.above}, {"grid", histogram.grid}};
  if (!histogram.grid_values.empty()) json["grid_values"] = histogram.grid_values;
  return json;
}

GridHistogram HistogramFrom(const Json& json) {
  GridHistogram histogram;
  histogram.low = json.at("low");
  histogram.high = json.at("high");
  histogram.counts = json.at("counts").get<std::vector<int64_t>>();
  histogram.below = json.at("below");
  histogram.above = json.at("above");
  histogram.grid = json.at("grid").get<std::vector<double>>();
  if (json.contains("grid_values")) histogram.grid_values = json["grid_values"].get<std::vector<double>>();
  return histogram;
}

Json ToJson(const SiteNoise& site) {
  Json json = {{"name", site.site},
               {"segment", site.segment},
               {"kind", site.kind},
               {"weight", site.weight},
               {"bits", site.bits},
               {"levels", site.levels},
               {"sqnr_db", OrNull(site.sqnr_db)},
               {"clipped", site.clipped}};
  if (site.histogram.has_value()) json["histogram"] = ToJson(*site.histogram);
  return json;
}

SiteNoise SiteFrom(const Json& json) {
  SiteNoise site;
  site.site = json.at("name");
  site.segment = json.at("segment");
  site.kind = json.at("kind");
  site.weight = json.at("weight");
  site.bits = json.at("bits");
  site.levels = json.at("levels");
  site.sqnr_db = NumberOrNone(json.at("sqnr_db"));
  site.clipped = json.at("clipped");
  if (json.contains("histogram")) site.histogram = HistogramFrom(json["histogram"]);
  return site;
}

}  // namespace

std::string DiagnosisToJson(const Diagnosis& diagnosis) {
  const SegmentError* worst = WorstBlock(diagnosis);
  Json json = {{"images", diagnosis.images},
               {"sentence", DiagnosisSentence(diagnosis)},
               {"worst_block", worst == nullptr ? Json(nullptr) : Json(worst->segment)},
               {"won_back", OrNull(WonBack(diagnosis))},
               {"segments", Json::array()},
               {"sites", Json::array()}};
  for (const SegmentError& segment : diagnosis.segments) json["segments"].push_back(ToJson(segment));
  for (const SiteNoise& site : diagnosis.sites) json["sites"].push_back(ToJson(site));
  return json.dump();
}

absl::StatusOr<Diagnosis> DiagnosisFromJson(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Diagnosis diagnosis;
    diagnosis.images = json.at("images");
    for (const Json& segment : json.at("segments")) diagnosis.segments.push_back(SegmentFrom(segment));
    for (const Json& site : json.at("sites")) diagnosis.sites.push_back(SiteFrom(site));
    return diagnosis;
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("no diagnosis: ", error.what()));
  }
}

}  // namespace qwt
