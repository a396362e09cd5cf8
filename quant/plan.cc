#include "quant/plan.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "nlohmann/json.hpp"

namespace qwt {
namespace {

constexpr char kPerTensor[] = "per_tensor";
constexpr char kPerChannel[] = "per_channel";

nlohmann::json SpecToJson(const QuantSpec& spec) {
  nlohmann::json json = {{"quantizer", spec.quantizer},
                         {"bits", spec.bits},
                         {"granularity", spec.granularity == Granularity::kPerTensor ? kPerTensor : kPerChannel},
                         {"channel_dim", spec.channel_dim},
                         {"percentiles", spec.percentiles},
                         {"log_floor", spec.log_floor}};
  if (spec.fractions != QuantSpec().fractions) json["fractions"] = spec.fractions;
  return json;
}

QuantSpec SpecFromJson(const nlohmann::json& json) {
  QuantSpec spec;
  json.at("quantizer").get_to(spec.quantizer);
  json.at("bits").get_to(spec.bits);
  const std::string granularity = json.at("granularity").get<std::string>();
  if (granularity != kPerTensor && granularity != kPerChannel) {
    throw std::invalid_argument("granularity '" + granularity + "' is neither per_tensor nor per_channel");
  }
  spec.granularity = granularity == kPerTensor ? Granularity::kPerTensor : Granularity::kPerChannel;
  json.at("channel_dim").get_to(spec.channel_dim);
  json.at("percentiles").get_to(spec.percentiles);
  if (json.contains("fractions")) json.at("fractions").get_to(spec.fractions);
  json.at("log_floor").get_to(spec.log_floor);
  if (spec.bits < 2 || spec.bits > 8) throw std::invalid_argument(absl::StrCat(spec.bits, " bits; there are 2 to 8"));
  return spec;
}

absl::StatusOr<at::Tensor> FindTensor(const TensorMap& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) return absl::DataLossError(absl::StrCat("the plan lacks the tensor '", name, "'"));
  if (found->second.scalar_type() != at::kFloat || found->second.dim() != 1 || found->second.numel() == 0) {
    return absl::DataLossError(absl::StrCat("the plan's tensor '", name, "' is no float32 vector"));
  }
  return found->second.contiguous();
}

}  // namespace

std::string SiteName(const Node& node, const std::string& operand) { return absl::StrCat(node.name, ".", operand); }

void PlanToTensors(const QuantPlan& plan, TensorMap* tensors, std::string* specs_json) {
  nlohmann::json specs = nlohmann::json::object();
  for (const auto& [site, quantization] : plan) {
    (*tensors)[site + ".scale"] = quantization.scale;
    (*tensors)[site + ".zero_point"] = quantization.zero_point;
    specs[site] = SpecToJson(quantization.spec);
  }
  *specs_json = specs.dump();
}

absl::StatusOr<QuantPlan> PlanFromTensors(const TensorMap& tensors, const std::string& specs_json) {
  QuantPlan plan;
  std::map<std::string, QuantSpec> specs;
  std::string site;
  try {
    const nlohmann::json json = nlohmann::json::parse(specs_json);
    if (!json.is_object()) return absl::DataLossError("the plan's specs are no map of sites");
    for (const auto& [key, value] : json.items()) {
      site = key;
      specs[site] = SpecFromJson(value);
    }
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat("the plan's specs", site.empty() ? "" : " of " + site, ": ", error.what()));
  }
  for (const auto& [name, spec] : specs) {
    SiteQuantization& quantization = plan[name];
    quantization.spec = spec;
    QWT_ASSIGN_OR_RETURN(quantization.scale, FindTensor(tensors, name + ".scale"));
    QWT_ASSIGN_OR_RETURN(quantization.zero_point, FindTensor(tensors, name + ".zero_point"));
    if (quantization.scale.numel() != quantization.zero_point.numel() ||
        (spec.granularity == Granularity::kPerTensor && quantization.scale.numel() != 1)) {
      return absl::DataLossError(absl::StrCat("the plan's site ", name, " has ", quantization.scale.numel(),
                                              " scales and ", quantization.zero_point.numel(), " zero points"));
    }
  }
  return plan;
}

}  // namespace qwt
