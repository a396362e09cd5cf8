// Diagnose(): one pass in float that looks at every site, beside it the quantised network, the compensated one, and
// each segment quantised by itself.
#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/bincount.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"
#include "core/comm/exact_sum.h"
#include "core/tensor/device.h"
#include "core/tensor/parallel.h"
#include "quant/quantizer.h"
#include "quant/site_quantizer.h"
#include "quant/sites.h"
#include "qwt/diagnosis.h"

namespace qwt {
namespace {

// Columns of what is summed: of a site and of a segment.
enum { kSignal, kNoise, kSiteColumns };
enum { kOutput, kAlone, kQuantized, kCompensated, kElements, kSegmentColumns };
// Beside the bins: values below and above them, and those outside the codes.
enum { kBelow = kHistogramBins, kAbove, kClipped, kCountColumns };

at::Tensor SumOfSquares(const at::Tensor& x) { return x.to(at::kDouble).square().sum(); }

// A site of the plan, ready to be measured.
struct MeasuredSite {
  std::string name;
  SiteQuantization quantization;  // on the device
  SiteQuantizer apply;
  std::shared_ptr<const Quantizer> quantizer;
  int64_t levels = 0;
  double low = 0, high = 0;  // edges of the bins

  // float64 [kSiteColumns] and int64 [kCountColumns], where x lies.
  at::Tensor Sums(const at::Tensor& x) const {
    return at::stack({SumOfSquares(x), SumOfSquares(x.to(at::kDouble) - apply.Apply(x).to(at::kDouble))});
  }
  at::Tensor Counts(const at::Tensor& x) const {
    const at::Tensor positions = quantizer->Positions(x, quantization).flatten().nan_to_num();  // told of later
    const at::Tensor bins = ((positions - low) * (kHistogramBins / (high - low))).floor();
    const at::Tensor below = bins.lt(0), above = bins.ge(kHistogramBins);
    const at::Tensor columns =
        bins.clamp(0, kHistogramBins - 1).to(at::kLong).masked_fill(below, kBelow).masked_fill(above, kAbove);
    at::Tensor counts = at::bincount(columns, {}, kCountColumns);
    counts[kClipped] = positions.lt(-0.5).logical_or(positions.gt(levels - 0.5)).sum();
    return counts;
  }
};

absl::StatusOr<MeasuredSite> Measured(const std::string& name, const SiteQuantization& quantization,
                                      at::Device device) {
  MeasuredSite site;
  site.name = name;
  site.quantization = {quantization.spec, quantization.scale.to(device), quantization.zero_point.to(device)};
  QWT_ASSIGN_OR_RETURN(site.apply, SiteQuantizer::Make(name, quantization, device));
  QWT_ASSIGN_OR_RETURN(site.quantizer, MakeQuantizer(quantization.spec.quantizer));
  site.levels = site.quantizer->Levels(quantization.spec);
  const double margin = (site.levels - 1) / 4.0 + 0.5;
  site.low = -margin;
  site.high = site.levels - 1 + margin;
  return site;
}

// What is summed over images.
struct Sums {
  at::Tensor sites;     // float64 [inputs, kSiteColumns]
  at::Tensor counts;    // int64 [inputs, kCountColumns]
  at::Tensor segments;  // float64 [segments, kSegmentColumns]

  Sums(int64_t inputs, int64_t number_of_segments)
      : sites(at::zeros({inputs, kSiteColumns}, at::kDouble)),
        counts(at::zeros({inputs, kCountColumns}, at::kLong)),
        segments(at::zeros({number_of_segments, kSegmentColumns}, at::kDouble)) {}
  void Add(const Sums& other) {
    sites += other.sites;
    counts += other.counts;
    segments += other.segments;
  }
};

class Diagnoser {
 public:
  // `whole`: what does not depend on the compensation, too.
  static absl::StatusOr<std::unique_ptr<Diagnoser>> Make(const QuantizedModel& model, bool whole, at::Device device) {
    auto diagnoser = std::unique_ptr<Diagnoser>(new Diagnoser(model));
    diagnoser->parameters_ = ToDevice(model.parameters, device);
    if (!model.compensation.empty()) {
      QWT_ASSIGN_OR_RETURN(diagnoser->compensated_, MakeQuantizedExecutor(model, true, device));
    }
    if (!whole) return diagnoser;
    QWT_ASSIGN_OR_RETURN(diagnoser->quantized_, MakeQuantizedExecutor(model, false, device));
    for (const Site& site : QuantSites(model.graph)) {
      const auto planned = model.plan.find(site.name);
      if (planned == model.plan.end() || site.role == SiteRole::kWeight) continue;
      diagnoser->index_[site.name] = diagnoser->inputs_.size();
      QWT_ASSIGN_OR_RETURN(MeasuredSite measured, Measured(site.name, planned->second, device));
      diagnoser->inputs_.push_back(std::move(measured));
    }
    return diagnoser;
  }

  const std::vector<MeasuredSite>& inputs() const { return inputs_; }
  Sums NoSums() const { return Sums(inputs_.size(), model_.graph.Segments().size()); }

  // In halves where there is no memory for the whole.
  absl::StatusOr<Sums> Batch(const at::Tensor& images) const {
    absl::StatusOr<Sums> sums = absl::InternalError("");
    const absl::Status status = CatchExceptions("diagnosis", [&] {
      sums = Whole(images);
      return sums.status();
    });
    const int64_t half = images.size(0) / 2;
    if (!absl::IsResourceExhausted(status) || half == 0) {
      QWT_RETURN_IF_ERROR(status);
      return sums;
    }
    if (!images.is_cpu()) ReleaseCachedMemory(images.device());
    QWT_ASSIGN_OR_RETURN(Sums first, Batch(images.narrow(0, 0, half)));
    QWT_ASSIGN_OR_RETURN(const Sums second, Batch(images.narrow(0, half, images.size(0) - half)));
    first.Add(second);
    return first;
  }

 private:
  explicit Diagnoser(const QuantizedModel& model) : model_(model) {}

  absl::StatusOr<Sums> Whole(const at::Tensor& images) const {
    Sums sums = NoSums();
    at::Tensor exact = images, quantized = images, compensated = images;
    int64_t row = 0;
    for (const Segment* segment : model_.graph.Segments()) {
      at::Tensor alone;
      if (quantized_ != nullptr) {
        QWT_ASSIGN_OR_RETURN(alone, quantized_->Run(*segment, exact));
        QWT_ASSIGN_OR_RETURN(quantized, quantized_->Run(*segment, quantized));
      }
      QWT_ASSIGN_OR_RETURN(exact, Observe(*segment, exact, &sums));
      const at::Tensor wanted = exact.to(at::kDouble);
      const auto error = [&](const at::Tensor& output) { return SumOfSquares(output.to(at::kDouble) - wanted); };
      at::Tensor columns = at::zeros({kSegmentColumns}, wanted.options());
      columns[kOutput] = SumOfSquares(wanted);
      columns[kElements] = wanted.numel();
      if (quantized_ != nullptr) {
        columns[kAlone] = error(alone);
        columns[kQuantized] = error(quantized);
      }
      if (compensated_ != nullptr) {
        QWT_ASSIGN_OR_RETURN(compensated, compensated_->Run(*segment, compensated));
        columns[kCompensated] = error(compensated);
      }
      sums.segments[row++] = columns.cpu();
    }
    return sums;
  }

  // The segment in float; what its sites see goes into *sums.
  absl::StatusOr<at::Tensor> Observe(const Segment& segment, const at::Tensor& batch, Sums* sums) const {
    return RunNodes(segment, batch, [&](const Node& node, const std::vector<at::Tensor>& inputs) {
      const std::vector<std::string> names = InputSites(node);
      for (size_t i = 0; i < names.size(); ++i) {
        const auto found = index_.find(names[i]);
        if (found == index_.end()) continue;
        const MeasuredSite& site = inputs_[found->second];
        sums->sites[found->second] = site.Sums(inputs[i]).cpu();
        sums->counts[found->second] = site.Counts(inputs[i]).cpu();
      }
      return EvaluateNode(node, inputs, parameters_);
    });
  }

  const QuantizedModel& model_;
  TensorMap parameters_;
  std::unique_ptr<Executor> quantized_, compensated_;  // null: not measured
  std::vector<MeasuredSite> inputs_;
  std::map<std::string, int64_t> index_;  // of the sites
};

absl::Status AddBatches(const Diagnoser& diagnoser, const std::vector<at::Tensor>& batches, Communicator& comm,
                        int threads, Sums* total) {
  ExactSum sites, segments;
  std::mutex mutex;
  QWT_RETURN_IF_ERROR(ParallelFor(batches.size(), threads, [&](int64_t i) -> absl::Status {
    QWT_ASSIGN_OR_RETURN(const Sums sums, diagnoser.Batch(batches[i]));
    std::lock_guard<std::mutex> lock(mutex);
    sites.Add(sums.sites);
    segments.Add(sums.segments);
    total->counts += sums.counts;
    return absl::OkStatus();
  }));
  QWT_RETURN_IF_ERROR(sites.Reduce(comm, total->sites.sizes()));
  QWT_RETURN_IF_ERROR(segments.Reduce(comm, total->segments.sizes()));
  total->sites = sites.Value();
  total->segments = segments.Value();
  return comm.AllReduceSum(total->counts);
}

// Codes' positions and values. The rounding of a fractional zero point moves the grid against whole positions; applying
// the quantiser to the codes' own values shows where it really is.
void AddGrid(const MeasuredSite& site, GridHistogram* histogram) {
  constexpr int64_t kAllShown = 32, kShown = 8;
  const bool per_tensor = site.quantization.spec.granularity == Granularity::kPerTensor;
  const int64_t step = site.levels <= kAllShown ? 1 : site.levels / kShown;
  for (int64_t code = 0; code < site.levels; code += step) histogram->grid.push_back(code);
  if (!per_tensor) return;
  const SiteQuantization there = {site.quantization.spec, site.quantization.scale.cpu(),
                                  site.quantization.zero_point.cpu()};
  const at::Tensor codes = at::arange(0, site.levels, step, at::kByte);
  const at::Tensor values = site.quantizer->Apply(site.quantizer->Dequantize(codes, there), there);
  const at::Tensor positions = site.quantizer->Positions(values, there);
  for (size_t i = 0; i < histogram->grid.size(); ++i) {
    histogram->grid[i] = positions.const_data_ptr<float>()[i] + 0.0;  // no negative zero
    histogram->grid_values.push_back(values.const_data_ptr<float>()[i]);
  }
}

SiteNoise NoiseOf(const MeasuredSite& site, const at::Tensor& sums, const at::Tensor& counts) {
  SiteNoise noise;
  noise.site = site.name;
  noise.bits = site.quantization.spec.bits;
  noise.levels = site.levels;
  noise.sqnr_db = SqnrDb(sums[kSignal].item<double>(), sums[kNoise].item<double>());
  const int64_t* count = counts.const_data_ptr<int64_t>();
  GridHistogram histogram;
  histogram.low = site.low;
  histogram.high = site.high;
  histogram.counts.assign(count, count + kHistogramBins);
  histogram.below = count[kBelow];
  histogram.above = count[kAbove];
  int64_t values = histogram.below + histogram.above;
  for (int64_t bin : histogram.counts) values += bin;
  noise.clipped = values == 0 ? 0 : static_cast<double>(count[kClipped]) / values;
  AddGrid(site, &histogram);
  noise.histogram = std::move(histogram);
  return noise;
}

absl::StatusOr<SiteNoise> NoiseOfWeight(const Site& site, const QuantizedModel& model) {
  QWT_ASSIGN_OR_RETURN(const at::Tensor weight, FindWeight(*site.node, model.parameters));
  QWT_ASSIGN_OR_RETURN(const MeasuredSite measured, Measured(site.name, model.plan.at(site.name), at::kCPU));
  return NoiseOf(measured, measured.Sums(weight.contiguous()), measured.Counts(weight.contiguous()));
}

// Histograms are kept of the noisiest site of each kind, and of no more kinds than can be looked at.
void KeepShownHistograms(std::vector<SiteNoise>* sites) {
  std::vector<SiteNoise*> order;
  for (SiteNoise& site : *sites) {
    if (site.sqnr_db.has_value()) order.push_back(&site);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return *a->sqnr_db < *b->sqnr_db; });
  std::set<std::string> shown, kinds;
  int room[] = {kShownInputs, kShownWeights};
  for (const SiteNoise* site : order) {
    if (room[site->weight] == 0 || !kinds.insert(site->kind).second) continue;
    --room[site->weight];
    shown.insert(site->site);
  }
  for (SiteNoise& site : *sites) {
    if (!shown.count(site.site)) site.histogram.reset();
  }
}

// The name within a block. Nodes of stem and head are not named after these; they get "stem." before their own last
// name, so that the stem's "conv1.input" is not taken for a block's.
std::string KindOf(const std::string& site, const std::string& segment) {
  const std::string prefix = segment + ".";
  if (segment != "stem" && segment != "head") return std::string(absl::StripPrefix(site, prefix));
  if (absl::StartsWith(site, prefix)) return site;
  const size_t operand = site.rfind('.'), node = site.rfind('.', operand - 1);
  return absl::StrCat(prefix, node == std::string::npos ? site : site.substr(node + 1));
}

absl::StatusOr<std::vector<SiteNoise>> Sites(const QuantizedModel& model, const Diagnoser& diagnoser, const Sums& sums,
                                             int threads) {
  std::map<std::string, std::string> segment_of;  // by node
  for (const Segment* segment : model.graph.Segments()) {
    for (const Node& node : segment->nodes) segment_of[node.name] = segment->name;
  }
  std::vector<Site> planned;
  for (Site& site : QuantSites(model.graph)) {
    if (model.plan.count(site.name)) planned.push_back(std::move(site));
  }
  std::map<std::string, int64_t> row;
  for (const MeasuredSite& site : diagnoser.inputs()) row.emplace(site.name, row.size());
  std::vector<SiteNoise> sites(planned.size());
  QWT_RETURN_IF_ERROR(ParallelFor(planned.size(), threads, [&](int64_t i) -> absl::Status {
    const Site& site = planned[i];
    if (site.role == SiteRole::kWeight) {
      QWT_ASSIGN_OR_RETURN(sites[i], NoiseOfWeight(site, model));
    } else {
      const int64_t index = row.at(site.name);
      sites[i] = NoiseOf(diagnoser.inputs()[index], sums.sites[index], sums.counts[index]);
    }
    sites[i].weight = site.role == SiteRole::kWeight;
    sites[i].segment = segment_of.at(site.node->name);
    sites[i].kind = KindOf(site.name, sites[i].segment);
    return absl::OkStatus();
  }));
  KeepShownHistograms(&sites);
  return sites;
}

std::vector<SegmentError> Segments(const QuantizedModel& model, const at::Tensor& sums) {
  std::vector<SegmentError> segments;
  for (const Segment* segment : model.graph.Segments()) {
    const double* row = sums.const_data_ptr<double>() + segments.size() * kSegmentColumns;
    SegmentError error;
    error.segment = segment->name;
    error.block = std::any_of(model.graph.blocks.begin(), model.graph.blocks.end(),
                              [&](const Segment& block) { return &block == segment; });
    error.signal = row[kOutput] / row[kElements];
    error.mse_alone = row[kAlone] / row[kElements];
    error.mse_quantized = row[kQuantized] / row[kElements];
    if (!model.compensation.empty()) error.mse_compensated = row[kCompensated] / row[kElements];
    segments.push_back(error);
  }
  return segments;
}

}  // namespace

absl::StatusOr<Diagnosis> Diagnose(const QuantizedModel& model, const std::vector<at::Tensor>& batches,
                                   Communicator& comm, int threads, at::Device device, const Diagnosis* known) {
  at::Tensor images = at::zeros({1}, at::kLong);
  for (const at::Tensor& batch : batches) images += batch.size(0);
  QWT_RETURN_IF_ERROR(comm.AllReduceSum(images));
  Diagnosis diagnosis;
  diagnosis.images = images.item<int64_t>();
  if (diagnosis.images == 0) return absl::InvalidArgumentError("there is no image to diagnose the network with");
  QWT_ASSIGN_OR_RETURN(const auto diagnoser, Diagnoser::Make(model, known == nullptr, device));
  Sums sums = diagnoser->NoSums();
  QWT_RETURN_IF_ERROR(AddBatches(*diagnoser, batches, comm, threads, &sums));
  if (!sums.segments.isfinite().all().item<bool>()) {
    return absl::InvalidArgumentError(
        "the network's values are not finite; look for NaN or infinity in the weights and images");
  }
  diagnosis.segments = Segments(model, sums.segments);
  if (known != nullptr) {
    for (size_t i = 0; i < diagnosis.segments.size(); ++i) {
      const auto compensated = diagnosis.segments[i].mse_compensated;
      diagnosis.segments[i] = known->segments.at(i);
      diagnosis.segments[i].mse_compensated = compensated;
    }
    diagnosis.sites = known->sites;
    return diagnosis;
  }
  QWT_ASSIGN_OR_RETURN(diagnosis.sites, Sites(model, *diagnoser, sums, threads));
  return diagnosis;
}

}  // namespace qwt
