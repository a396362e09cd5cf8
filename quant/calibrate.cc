#include "quant/calibrate.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "models/executor.h"
#include "quant/search.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"

namespace qwt {
namespace {

// The values of one segment for all of this rank's micro-batches.
class Calibration {
 public:
  Calibration(const TensorMap& weights, const QuantSpecs& specs, Communicator& comm, int threads, QuantPlan* plan)
      : weights_(weights), specs_(specs), comm_(comm), threads_(threads), plan_(plan) {}

  // Replaces each batch, the segment's input, by its output.
  absl::Status RunSegment(const Segment& segment, std::vector<at::Tensor>* batches,
                          const std::function<void()>& node_done) {
    const std::vector<int> last_uses = LastUses(segment);
    values_.assign(segment.nodes.size() + 1, {});
    values_[0] = std::move(*batches);
    for (size_t i = 0; i < segment.nodes.size(); ++i) {
      const Node& node = segment.nodes[i];
      QWT_RETURN_IF_ERROR(SearchInputs(node));
      QWT_RETURN_IF_ERROR(Evaluate(node, &values_[i + 1]));
      for (int input : node.inputs) {
        if (last_uses[input] == static_cast<int>(i)) values_[input].clear();
      }
      node_done();
    }
    *batches = std::move(values_.back());
    return absl::OkStatus();
  }

 private:
  absl::Status SearchInputs(const Node& node) {
    const std::vector<std::string> sites = InputSites(node);
    for (size_t i = 0; i < sites.size(); ++i) {
      const auto spec = specs_.find(sites[i]);
      if (spec == specs_.end()) continue;
      QWT_ASSIGN_OR_RETURN(SiteQuantization found,
                           SearchScale(sites[i], spec->second, values_[node.inputs[i]], comm_, threads_));
      plan_->insert_or_assign(sites[i], std::move(found));
    }
    return absl::OkStatus();
  }

  absl::Status Evaluate(const Node& node, std::vector<at::Tensor>* outputs) {
    const std::vector<std::string> sites = InputSites(node);
    std::map<size_t, SiteQuantizer> quantizers;  // by operand
    for (size_t i = 0; i < sites.size(); ++i) {
      const auto found = plan_->find(sites[i]);
      if (found == plan_->end()) continue;
      QWT_ASSIGN_OR_RETURN(SiteQuantizer quantizer, SiteQuantizer::Make(sites[i], found->second, DeviceOf(weights_)));
      quantizers.emplace(i, std::move(quantizer));
    }
    const int64_t batches = static_cast<int64_t>(values_[node.inputs[0]].size());
    outputs->resize(batches);
    const absl::Status status = ParallelFor(batches, threads_, [&](int64_t batch) {
      std::vector<at::Tensor> inputs;
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const at::Tensor& input = values_[node.inputs[i]][batch];
        const auto quantizer = quantizers.find(i);
        inputs.push_back(quantizer == quantizers.end() ? input : quantizer->second.Apply(input));
      }
      (*outputs)[batch] = EvaluateNode(node, inputs, weights_);
      return absl::OkStatus();
    });
    return Annotate(status, absl::StrCat("calibrating node '", node.name, "'"));
  }

  const TensorMap& weights_;  // quantised
  const QuantSpecs& specs_;
  Communicator& comm_;
  const int threads_;
  QuantPlan* plan_;
  std::vector<std::vector<at::Tensor>> values_;  // [value][batch]
};

}  // namespace

absl::StatusOr<QuantPlan> Calibrate(const Graph& graph, const TensorMap& parameters, const QuantSpecs& specs,
                                    const std::vector<at::Tensor>& batches, Communicator& comm, int threads,
                                    const std::function<void(int64_t done, int64_t total)>& progress) {
  QuantPlan plan;
  // Weights do not depend on the images.
  QWT_RETURN_IF_ERROR(SolveWeights(graph, parameters, specs, threads, &plan));
  QWT_ASSIGN_OR_RETURN(const TensorMap weights, QuantizeWeights(graph, parameters, plan, threads));
  int64_t done = 0, total = 0;
  for (const Segment* segment : graph.Segments()) total += static_cast<int64_t>(segment->nodes.size());
  const auto node_done = [&] {
    ++done;
    if (progress) progress(done, total);
  };
  Calibration calibration(weights, specs, comm, threads, &plan);
  std::vector<at::Tensor> values = batches;
  for (const Segment* segment : graph.Segments()) {
    QWT_RETURN_IF_ERROR(calibration.RunSegment(*segment, &values, node_done));
  }
  return plan;
}

absl::Status SolveWeights(const Graph& graph, const TensorMap& parameters, const QuantSpecs& specs, int threads,
                          QuantPlan* plan) {
  std::vector<const Node*> nodes;
  for (const Site& site : QuantSites(graph)) {
    if (site.role == SiteRole::kWeight && specs.count(site.name) && !plan->count(site.name)) nodes.push_back(site.node);
  }
  std::vector<SiteQuantization> found(nodes.size());
  QWT_RETURN_IF_ERROR(ParallelFor(nodes.size(), threads, [&](int64_t i) -> absl::Status {
    const std::string site = WeightSite(*nodes[i]);
    QWT_ASSIGN_OR_RETURN(const at::Tensor weight, FindWeight(*nodes[i], parameters));
    const auto comm = MakeLocalCommunicator();
    QWT_ASSIGN_OR_RETURN(found[i], SearchScale(site, specs.at(site), {weight}, *comm, /*threads=*/1));
    return absl::OkStatus();
  }));
  for (size_t i = 0; i < nodes.size(); ++i) plan->emplace(WeightSite(*nodes[i]), std::move(found[i]));
  return absl::OkStatus();
}

}  // namespace qwt
