#include "quant/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <mutex>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/full.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/exact_sum.h"
#include "core/tensor/parallel.h"
#include "quant/batch_statistics.h"
#include "quant/kernels/statistics.h"
#include "quant/quantizer.h"

namespace qwt {
namespace {

// What is known of the values over all ranks before any statistic is taken.
struct Extent {
  int64_t channels = 0;
  int64_t count = 0;  // values a channel
};

absl::Status CheckSpec(const std::string& site, const QuantSpec& spec) {
  if (spec.bits < 2 || spec.bits > 8) {
    return absl::InvalidArgumentError(absl::StrCat(site, ": ", spec.bits, " bits; a quantiser has 2 to 8"));
  }
  if (spec.percentiles.empty() || spec.fractions.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(site, ": no range to try; percentile 1, fraction 1 is the whole one"));
  }
  for (double p : spec.percentiles) {
    if (!(p >= 0.5 && p <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(site, ": percentile ", p, "; it must be 0.5 to 1"));
    }
  }
  for (double fraction : spec.fractions) {
    if (!(fraction > 0 && fraction <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(site, ": fraction ", fraction, "; it must be above 0, up to 1"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Extent> FindExtent(const std::string& site, const QuantSpec& spec,
                                  const std::vector<at::Tensor>& batches, Communicator& comm, int threads) {
  std::vector<char> finite(batches.size());
  QWT_RETURN_IF_ERROR(ParallelFor(batches.size(), threads, [&](int64_t i) {
    finite[i] = AllFinite(batches[i]);
    return absl::OkStatus();
  }));
  at::Tensor mine = at::zeros({3}, at::kLong);  // values a channel, channels, batches with NaN or infinity
  int64_t* counts = mine.data_ptr<int64_t>();
  for (size_t i = 0; i < batches.size(); ++i) {
    const ChannelLayout layout = LayoutOf(batches[i], spec);
    counts[0] += layout.outer * layout.inner;
    counts[1] = layout.channels;
    counts[2] += !finite[i];
  }
  QWT_ASSIGN_OR_RETURN(const at::Tensor all, AllGather(mine, comm));
  Extent extent;
  int64_t damaged = 0;
  for (int64_t rank = 0; rank < comm.size(); ++rank) {
    const int64_t* of_rank = all.data_ptr<int64_t>() + 3 * rank;
    extent.count += of_rank[0];
    extent.channels = std::max(extent.channels, of_rank[1]);
    damaged += of_rank[2];
  }
  if (damaged > 0) {
    return absl::InvalidArgumentError(absl::StrCat(site, ": NaN or infinity in ", damaged,
                                                   " of the batches to quantise; check the parameters and the images"));
  }
  if (extent.count == 0) return absl::InvalidArgumentError(absl::StrCat(site, ": no values to find a scale from"));
  return extent;
}

// parts: [channels, any]. The `kept` largest of all, -infinity where there are fewer.
at::Tensor MergeLargest(const std::vector<at::Tensor>& parts, int64_t channels, int64_t kept) {
  at::Tensor merged = at::full({channels, kept}, -std::numeric_limits<float>::infinity());
  for (int64_t c = 0; c < channels; ++c) {
    LargestValues largest(kept);
    for (const at::Tensor& part : parts) {
      const float* row = part.const_data_ptr<float>() + c * part.size(1);
      for (int64_t i = 0; i < part.size(1); ++i) largest.Add(row[i]);
    }
    const std::vector<float>& sorted = largest.Sorted();
    std::copy(sorted.begin(), sorted.end(), merged.mutable_data_ptr<float>() + c * kept);
  }
  return merged;
}

// Of this rank's extremes those of all ranks, in one collective.
absl::StatusOr<Extremes> MergeOverRanks(const Extremes& mine, const Extent& extent, Communicator& comm) {
  if (comm.size() == 1) return mine;
  const int64_t largest = mine.largest.size(1), smallest = mine.smallest_negated.size(1);
  QWT_ASSIGN_OR_RETURN(const at::Tensor all, AllGather(at::cat({mine.largest, mine.smallest_negated}, 1), comm));
  std::vector<at::Tensor> largest_of, smallest_of;
  for (int64_t rank = 0; rank < comm.size(); ++rank) {
    largest_of.push_back(all[rank].narrow(1, 0, largest).contiguous());
    smallest_of.push_back(all[rank].narrow(1, largest, smallest).contiguous());
  }
  return Extremes{MergeLargest(largest_of, extent.channels, largest),
                  MergeLargest(smallest_of, extent.channels, smallest)};
}

absl::StatusOr<Extremes> FindExtremes(const QuantSpec& spec, const std::vector<at::Tensor>& batches,
                                      const Extent& extent, Communicator& comm, int threads) {
  int64_t kept_largest = 1, kept_smallest = 1;
  for (double p : spec.percentiles) {
    kept_largest = std::max(kept_largest, extent.count - PositionOfQuantile(p, extent.count).below);
    kept_smallest = std::max(kept_smallest, std::min(PositionOfQuantile(1 - p, extent.count).below + 2, extent.count));
  }
  std::vector<Extremes> parts(batches.size());
  QWT_RETURN_IF_ERROR(ParallelFor(batches.size(), threads, [&](int64_t i) {
    parts[i] = ExtremesOf(batches[i], LayoutOf(batches[i], spec), kept_largest, kept_smallest);
    return absl::OkStatus();
  }));
  std::vector<at::Tensor> largest, smallest;
  for (const Extremes& part : parts) {
    largest.push_back(part.largest);
    smallest.push_back(part.smallest_negated);
  }
  return MergeOverRanks(
      {MergeLargest(largest, extent.channels, kept_largest), MergeLargest(smallest, extent.channels, kept_smallest)},
      extent, comm);
}

// at::lerp's formula. Adding 0 turns -0, which a sum over ranks cannot carry, into 0.
float Interpolate(float from, float to, float fraction) {
  const float step = to - from;
  if (!std::isfinite(step)) return from * (1.0f - fraction) + to * fraction;
  return (fraction < 0.5f ? from + fraction * step : to - step * (1.0f - fraction)) + 0.0f;
}

at::Tensor LowQuantile(const Extremes& extremes, double p, int64_t count) {
  const QuantilePosition position = PositionOfQuantile(1 - p, count);
  const int64_t channels = extremes.smallest_negated.size(0), kept = extremes.smallest_negated.size(1);
  at::Tensor quantile = at::empty({channels}, at::kFloat);
  for (int64_t c = 0; c < channels; ++c) {
    const float* row = extremes.smallest_negated.data_ptr<float>() + c * kept;
    quantile.data_ptr<float>()[c] =
        Interpolate(-row[position.below], -row[std::min(position.below + 1, count - 1)], position.fraction);
  }
  return quantile;
}

at::Tensor HighQuantile(const Extremes& extremes, double p, int64_t count) {
  const QuantilePosition position = PositionOfQuantile(p, count);
  const int64_t channels = extremes.largest.size(0), kept = extremes.largest.size(1);
  const int64_t from = count - 1 - position.below;
  at::Tensor quantile = at::empty({channels}, at::kFloat);
  for (int64_t c = 0; c < channels; ++c) {
    const float* row = extremes.largest.data_ptr<float>() + c * kept;
    quantile.data_ptr<float>()[c] = Interpolate(row[from], row[std::max<int64_t>(from - 1, 0)], position.fraction);
  }
  return quantile;
}

std::vector<ScaleCandidate> Candidates(const Quantizer& quantizer, const QuantSpec& spec, const Extremes& extremes,
                                       int64_t count) {
  std::vector<ScaleCandidate> candidates;
  for (double p : spec.percentiles) {
    const at::Tensor low = LowQuantile(extremes, p, count), high = HighQuantile(extremes, p, count);
    for (double fraction : spec.fractions) {
      candidates.push_back(fraction == 1 ? quantizer.Candidate(spec, low, high)
                                         : quantizer.Candidate(spec, low * fraction, high * fraction));
    }
  }
  return candidates;
}

SiteQuantization MakeSite(const QuantSpec& spec, const ScaleCandidate& candidate) {
  return {spec, candidate.scale, candidate.zero_point};
}

// The candidates' scales and zero points, each [candidates, channels], where the values lie.
struct CandidateTensors {
  at::Tensor scales, zero_points;

  CandidateTensors(const std::vector<ScaleCandidate>& candidates, at::Device device) {
    std::vector<at::Tensor> scale, zero_point;
    for (const ScaleCandidate& candidate : candidates) {
      scale.push_back(candidate.scale);
      zero_point.push_back(candidate.zero_point);
    }
    scales = at::stack(scale).to(device);
    zero_points = at::stack(zero_point).to(device);
  }
};

// Σ (x - x̂)² over all ranks: float64 [candidates, channels].
absl::StatusOr<at::Tensor> Scores(const Quantizer& quantizer, const QuantSpec& spec,
                                  const std::vector<at::Tensor>& batches, const std::vector<ScaleCandidate>& candidates,
                                  const Extent& extent, Communicator& comm, int threads) {
  const int64_t count = static_cast<int64_t>(candidates.size());
  const at::Device device = batches.empty() ? at::Device(at::kCPU) : batches[0].device();
  const CandidateTensors tensors(candidates, device);
  ExactSum sum;
  std::mutex mutex;
  QWT_RETURN_IF_ERROR(ParallelFor(batches.size(), threads, [&](int64_t i) {
    std::vector<at::Tensor> errors;
    const ChannelLayout layout = LayoutOf(batches[i], spec);
    for (int64_t j = 0; j < count; ++j) {
      const SiteQuantization site = {spec, tensors.scales[j], tensors.zero_points[j]};
      errors.push_back(SquaredErrors(batches[i], quantizer.Apply(batches[i], site), layout));
    }
    const at::Tensor of_batch = at::stack(errors).cpu();
    std::lock_guard<std::mutex> lock(mutex);
    sum.Add(of_batch);
    return absl::OkStatus();
  }));
  QWT_RETURN_IF_ERROR(sum.Reduce(comm, {count, extent.channels}));
  return sum.Value();
}

// The first candidate with the strictly lowest score; `fallback` where all are degenerate (the reference's are NaN
// there).
ScaleCandidate Choose(const std::vector<ScaleCandidate>& candidates, const ScaleCandidate& fallback,
                      const at::Tensor& scores) {
  const int64_t channels = fallback.scale.numel();
  ScaleCandidate chosen{at::empty_like(fallback.scale), at::empty_like(fallback.scale), fallback.degenerate};
  for (int64_t c = 0; c < channels; ++c) {
    const ScaleCandidate* best = &fallback;
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t j = 0; j < candidates.size(); ++j) {
      const double score = scores.data_ptr<double>()[j * channels + c];
      if (candidates[j].degenerate.data_ptr<bool>()[c] || !(score < lowest)) continue;
      lowest = score;
      best = &candidates[j];
    }
    chosen.scale.data_ptr<float>()[c] = best->scale.data_ptr<float>()[c];
    chosen.zero_point.data_ptr<float>()[c] = best->zero_point.data_ptr<float>()[c];
  }
  return chosen;
}

void LogConstants(const std::string& site, const at::Tensor& low, const at::Tensor& high) {
  int64_t constant = 0;
  for (int64_t c = 0; c < low.numel(); ++c) constant += low.data_ptr<float>()[c] == high.data_ptr<float>()[c];
  if (constant > 0) {
    QWT_LOG(INFO) << site << ": " << constant << " of " << low.numel() << (low.numel() == 1 ? " tensor" : " channels")
                  << " constant, kept exactly";
  }
}

}  // namespace

const std::vector<double>& ReferencePercentiles() {
  static const auto* percentiles = new std::vector<double>{0.999, 0.9999, 0.99999};
  return *percentiles;
}

QuantilePosition PositionOfQuantile(double p, int64_t n) {
  constexpr int64_t kLargestOfTorch = 16'000'000;
  if (n > kLargestOfTorch) {
    const double position = p * static_cast<double>(n - 1);
    const double below = std::floor(position);
    return {static_cast<int64_t>(below), static_cast<float>(position - below)};
  }
  const float position = static_cast<float>(p) * static_cast<float>(n - 1);
  const float below = std::floor(position);
  return {static_cast<int64_t>(below), position - below};
}

absl::StatusOr<SiteQuantization> SearchScale(const std::string& site, const QuantSpec& spec,
                                             const std::vector<at::Tensor>& batches, Communicator& comm, int threads) {
  QWT_RETURN_IF_ERROR(CheckSpec(site, spec));
  QWT_ASSIGN_OR_RETURN(const std::unique_ptr<Quantizer> quantizer, MakeQuantizer(spec.quantizer));
  std::vector<at::Tensor> values;
  for (const at::Tensor& batch : batches) values.push_back(batch.contiguous());
  QWT_ASSIGN_OR_RETURN(const Extent extent, FindExtent(site, spec, values, comm, threads));
  QWT_ASSIGN_OR_RETURN(const Extremes extremes, FindExtremes(spec, values, extent, comm, threads));
  const std::vector<ScaleCandidate> candidates = Candidates(*quantizer, spec, extremes, extent.count);
  const at::Tensor low = LowQuantile(extremes, 1, extent.count), high = HighQuantile(extremes, 1, extent.count);
  LogConstants(site, low, high);
  QWT_ASSIGN_OR_RETURN(const at::Tensor scores, Scores(*quantizer, spec, values, candidates, extent, comm, threads));
  return MakeSite(spec, Choose(candidates, quantizer->Candidate(spec, low, high), scores));
}

}  // namespace qwt
