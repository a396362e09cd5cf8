#include "quant/search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "ATen/TensorOperators.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/isfinite.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/comm/exact_sum.h"
#include "core/tensor/parallel.h"
#include "quant/extremes.h"
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
                                  const std::vector<at::Tensor>& batches, Communicator& comm) {
  at::Tensor mine = at::zeros({2}, at::kLong);  // values a channel, channels
  int64_t* counts = mine.data_ptr<int64_t>();
  for (const at::Tensor& batch : batches) {
    const ChannelLayout layout = LayoutOf(batch, spec);
    counts[0] += layout.outer * layout.inner;
    counts[1] = layout.channels;
  }
  QWT_ASSIGN_OR_RETURN(const at::Tensor all, AllGather(mine, comm));
  Extent extent;
  for (int64_t rank = 0; rank < comm.size(); ++rank) {
    extent.count += all.data_ptr<int64_t>()[2 * rank];
    extent.channels = std::max(extent.channels, all.data_ptr<int64_t>()[2 * rank + 1]);
  }
  if (extent.count == 0) return absl::InvalidArgumentError(absl::StrCat(site, ": no values to find a scale from"));
  return extent;
}

// How many of each channel's largest and smallest values the spec's quantiles lie among.
int64_t KeptOf(const QuantSpec& spec, int64_t count) {
  int64_t kept = 1;
  for (double p : spec.percentiles) {
    kept = std::max(kept, count - PositionOfQuantile(p, count).below);
    kept = std::max(kept, std::min(PositionOfQuantile(1 - p, count).below + 2, count));
  }
  return kept;
}

absl::Status NotFinite(const std::string& site, const std::vector<at::Tensor>& batches, Communicator& comm) {
  at::Tensor mine = at::zeros({1}, at::kLong);
  for (const at::Tensor& batch : batches) mine.data_ptr<int64_t>()[0] += !AllFinite(batch);
  QWT_ASSIGN_OR_RETURN(const at::Tensor all, AllGather(mine, comm));
  return absl::InvalidArgumentError(absl::StrCat(site, ": NaN or infinity in ", all.sum().item<int64_t>(),
                                                 " of the batches to quantise; check the parameters and the images"));
}

// Of all ranks' values: float32 [2, channels, kept] on the CPU, finite.
absl::StatusOr<at::Tensor> FindExtremes(const std::string& site, const QuantSpec& spec,
                                        const std::vector<at::Tensor>& batches, const Extent& extent,
                                        Communicator& comm, int threads) {
  const int64_t kept = KeptOf(spec, extent.count);
  std::vector<at::Tensor> parts(batches.size());
  QWT_RETURN_IF_ERROR(ParallelFor(batches.size(), threads, [&](int64_t i) {
    parts[i] = ExtremesOf(batches[i], LayoutOf(batches[i], spec), kept);
    return absl::OkStatus();
  }));
  at::Tensor extremes = MergeExtremes(parts, extent.channels, kept);
  if (comm.size() > 1) {
    QWT_ASSIGN_OR_RETURN(const at::Tensor of_ranks, AllGather(extremes, comm));
    extremes = MergeExtremes(of_ranks.unbind(0), extent.channels, kept);
  }
  if (!extremes.isfinite().all().item<bool>()) return NotFinite(site, batches, comm);
  return extremes;
}

// at::lerp's formula. Adding 0 turns -0, which a sum over ranks cannot carry, into 0.
float Interpolate(float from, float to, float fraction) {
  const float step = to - from;
  if (!std::isfinite(step)) return from * (1.0f - fraction) + to * fraction;
  return (fraction < 0.5f ? from + fraction * step : to - step * (1.0f - fraction)) + 0.0f;
}

at::Tensor LowQuantile(const at::Tensor& extremes, double p, int64_t count) {
  const QuantilePosition position = PositionOfQuantile(1 - p, count);
  const int64_t channels = extremes.size(1), kept = extremes.size(2);
  at::Tensor quantile = at::empty({channels}, at::kFloat);
  float* to = quantile.mutable_data_ptr<float>();
  const float* row = extremes.const_data_ptr<float>() + channels * kept;
  for (int64_t c = 0; c < channels; ++c, row += kept) {
    to[c] = Interpolate(-row[position.below], -row[std::min(position.below + 1, count - 1)], position.fraction);
  }
  return quantile;
}

at::Tensor HighQuantile(const at::Tensor& extremes, double p, int64_t count) {
  const QuantilePosition position = PositionOfQuantile(p, count);
  const int64_t channels = extremes.size(1), kept = extremes.size(2);
  const int64_t from = count - 1 - position.below;
  at::Tensor quantile = at::empty({channels}, at::kFloat);
  float* to = quantile.mutable_data_ptr<float>();
  const float* row = extremes.const_data_ptr<float>();
  for (int64_t c = 0; c < channels; ++c, row += kept) {
    to[c] = Interpolate(row[from], row[std::max<int64_t>(from - 1, 0)], position.fraction);
  }
  return quantile;
}

std::vector<ScaleCandidate> Candidates(const Quantizer& quantizer, const QuantSpec& spec, const at::Tensor& extremes,
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

// The candidates' scales and zero points where the values lie: [2, candidates, channels].
at::Tensor Stacked(const std::vector<ScaleCandidate>& candidates, at::Device device) {
  std::vector<at::Tensor> scales, zero_points;
  for (const ScaleCandidate& candidate : candidates) {
    scales.push_back(candidate.scale);
    zero_points.push_back(candidate.zero_point);
  }
  return at::stack({at::stack(scales), at::stack(zero_points)}).to(device);
}

// tried: of Stacked. A few at a time, since a GPU's memory for partial sums grows with their number.
at::Tensor ErrorsOf(const at::Tensor& x, const Quantizer& quantizer, const QuantSpec& spec, const at::Tensor& tried) {
  std::vector<at::Tensor> errors;
  for (const at::Tensor& some : tried.split(16, 1)) errors.push_back(quantizer.Errors(x, spec, some[0], some[1]));
  return at::cat(errors);
}

// Σ (x - x̂)² over all ranks: float64 [candidates, channels]. Errors found on a GPU leave it together.
absl::StatusOr<at::Tensor> Scores(const Quantizer& quantizer, const QuantSpec& spec,
                                  const std::vector<at::Tensor>& batches, const std::vector<ScaleCandidate>& candidates,
                                  const Extent& extent, Communicator& comm, int threads) {
  ExactSum sum;
  if (!batches.empty()) {
    const at::Tensor tried = Stacked(candidates, batches[0].device());
    std::vector<at::Tensor> errors(batches.size());
    QWT_RETURN_IF_ERROR(ParallelFor(batches.size(), threads, [&](int64_t i) {
      errors[i] = ErrorsOf(batches[i], quantizer, spec, tried);
      return absl::OkStatus();
    }));
    const at::Tensor of_batches = at::stack(errors).cpu();
    for (const at::Tensor& of_batch : of_batches.unbind(0)) sum.Add(of_batch);
  }
  QWT_RETURN_IF_ERROR(sum.Reduce(comm, {static_cast<int64_t>(candidates.size()), extent.channels}));
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
  QWT_ASSIGN_OR_RETURN(const Extent extent, FindExtent(site, spec, values, comm));
  QWT_ASSIGN_OR_RETURN(const at::Tensor extremes, FindExtremes(site, spec, values, extent, comm, threads));
  const std::vector<ScaleCandidate> candidates = Candidates(*quantizer, spec, extremes, extent.count);
  const at::Tensor low = LowQuantile(extremes, 1, extent.count), high = HighQuantile(extremes, 1, extent.count);
  LogConstants(site, low, high);
  QWT_ASSIGN_OR_RETURN(const at::Tensor scores, Scores(*quantizer, spec, values, candidates, extent, comm, threads));
  return MakeSite(spec, Choose(candidates, quantizer->Candidate(spec, low, high), scores));
}

}  // namespace qwt
