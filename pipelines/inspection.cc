#include "pipelines/inspection.h"

#include <algorithm>
#include <map>
#include <set>

#include "ATen/ops/aminmax.h"
#include "core/base/status.h"
#include "core/tensor/parallel.h"
#include "models/cost.h"
#include "quant/sites.h"
#include "quant/size.h"

namespace qwt {
namespace {

std::vector<ParameterSpec> SpecsOf(const Graph& graph, const std::set<std::string>& names) {
  std::vector<ParameterSpec> specs;
  for (const ParameterSpec& spec : TrainedParameters(graph)) {
    if (names.count(spec.name)) specs.push_back(spec);
  }
  return specs;
}

ParameterSizes SizesOf(const Graph& graph, const std::vector<ParameterSpec>& parameters) {
  const auto at = [&](const WeightBits& bits) { return BitsToMb(ParameterBits(parameters, bits)); };
  return {at(PublishedWeightBits(graph, 4)), at(PublishedWeightBits(graph, 8)), at({})};
}

SegmentInspection InspectSegment(const Graph& graph, const Segment& segment, const SegmentCost& cost,
                                 const SegmentShapes& shapes) {
  SegmentInspection inspection;
  inspection.name = segment.name;
  inspection.output.assign(shapes.back().begin() + 1, shapes.back().end());
  inspection.parameters = cost.parameters;
  inspection.macs = cost.macs;
  inspection.peak_activation_bytes = cost.peak_activation_bytes;
  for (const Node& node : segment.nodes) {
    inspection.activation_sites += static_cast<int>(InputSites(node).size());
    inspection.weight_sites += !WeightSite(node).empty();
  }
  inspection.size_mb = SizesOf(graph, SpecsOf(graph, ParameterNames(segment)));
  return inspection;
}

// A parameter that several segments read counts once, so these are no sums of the segments' figures.
SegmentInspection Totals(const Graph& graph, const std::vector<SegmentInspection>& segments) {
  SegmentInspection totals;
  totals.name = "total";
  totals.output = {graph.classes};
  for (const SegmentInspection& segment : segments) {
    totals.macs += segment.macs;
    totals.peak_activation_bytes = std::max(totals.peak_activation_bytes, segment.peak_activation_bytes);
    totals.weight_sites += segment.weight_sites;
    totals.activation_sites += segment.activation_sites;
  }
  const std::vector<ParameterSpec> trained = TrainedParameters(graph);
  for (const ParameterSpec& spec : trained) totals.parameters += spec.numel();
  totals.size_mb = SizesOf(graph, trained);
  return totals;
}

std::vector<ParameterInspection> InspectParameters(const Graph& graph) {
  std::map<std::string, std::string> segments, sites;  // by parameter
  for (const Segment* segment : graph.Segments()) {
    for (const std::string& name : ParameterNames(*segment)) segments.emplace(name, segment->name);
    for (const Node& node : segment->nodes) {
      if (const std::string site = WeightSite(node); !site.empty()) sites.emplace(node.weight, site);
    }
  }
  std::vector<ParameterInspection> parameters;
  for (const ParameterSpec& spec : graph.parameters) {
    parameters.push_back({spec.name, spec.shape, segments[spec.name], sites[spec.name]});
  }
  return parameters;
}

}  // namespace

absl::StatusOr<NetworkInspection> InspectNetwork(const Graph& graph, int64_t batch) {
  QWT_ASSIGN_OR_RETURN(const std::vector<SegmentShapes> shapes, InferShapes(graph, batch));
  QWT_ASSIGN_OR_RETURN(const std::vector<SegmentCost> costs, EstimateCost(graph, batch));
  NetworkInspection network;
  network.model = graph.name;
  network.input = {graph.channels, graph.height, graph.width};
  network.batch = batch;
  for (const Segment* segment : graph.Segments()) {
    const size_t i = network.segments.size();
    network.segments.push_back(InspectSegment(graph, *segment, costs[i], shapes[i]));
  }
  network.totals = Totals(graph, network.segments);
  network.parameters = InspectParameters(graph);
  return network;
}

absl::Status InspectWeights(const Graph& graph, const TensorMap& parameters, int threads, NetworkInspection* network) {
  QWT_RETURN_IF_ERROR(CatchExceptions(graph.name, [&] {
    for (ParameterInspection& parameter : network->parameters) {
      const auto [low, high] = at::aminmax(parameters.at(parameter.name));
      parameter.range = {low.item<double>(), high.item<double>()};
    }
    return absl::OkStatus();
  }));
  std::vector<Site> sites;
  std::set<std::string> seen;
  for (const Site& site : QuantSites(graph)) {
    if (site.role == SiteRole::kWeight && seen.insert(site.node->weight).second) sites.push_back(site);
  }
  std::vector<WeightInspection> weights(sites.size());
  QWT_RETURN_IF_ERROR(ParallelFor(sites.size(), threads, [&](int64_t i) -> absl::Status {
    const at::Tensor& weight = parameters.at(sites[i].node->weight);
    QWT_ASSIGN_OR_RETURN(const WeightStatistics statistics, StatisticsOfWeight(sites[i].name, weight));
    weights[i] = {sites[i].node->weight, weight.sizes().vec(), sites[i].at_border, statistics};
    return absl::OkStatus();
  }));
  network->weights = std::move(weights);
  return absl::OkStatus();
}

std::vector<const WeightInspection*> HardestWeights(const NetworkInspection& network, size_t count) {
  std::vector<const WeightInspection*> hardest;
  for (const WeightInspection& weight : network.weights) {
    if (!weight.at_border && weight.statistics.snr_db.has_value()) hardest.push_back(&weight);
  }
  std::stable_sort(hardest.begin(), hardest.end(), [](const WeightInspection* a, const WeightInspection* b) {
    return *a->statistics.snr_db < *b->statistics.snr_db;
  });
  if (hardest.size() > count) hardest.resize(count);
  return hardest;
}

}  // namespace qwt
