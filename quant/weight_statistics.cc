#include "quant/weight_statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/status.h"
#include "core/comm/communicator.h"
#include "quant/search.h"
#include "quant/site_quantizer.h"

namespace qwt {
namespace {

struct Values {
  const float* data;
  int64_t count, channels;  // channels: one run of values after the other
};

void AddMoments(const Values& weight, WeightStatistics* statistics) {
  const double count = static_cast<double>(weight.count);
  double sum = 0, sum_abs = 0, sum_squares = 0;
  for (int64_t i = 0; i < weight.count; ++i) {
    sum += weight.data[i];
    sum_abs += std::abs(weight.data[i]);
  }
  const double mean = sum / count;
  for (int64_t i = 0; i < weight.count; ++i) {
    const double deviation = weight.data[i] - mean;
    sum_squares += deviation * deviation;
  }
  statistics->mean_abs = sum_abs / count;
  // The rounding of a constant's mean is no deviation.
  if (statistics->min == statistics->max) return;
  statistics->std = std::sqrt(sum_squares / count);
  if (statistics->std == 0) return;  // denormal values
  int64_t outliers = 0;
  for (int64_t i = 0; i < weight.count; ++i) {
    outliers += std::abs(weight.data[i] - mean) > kOutlierStds * statistics->std;
  }
  statistics->peak = std::max(statistics->max - mean, mean - statistics->min) / statistics->std;
  statistics->outlier_share = static_cast<double>(outliers) / count;
}

void AddRanges(const Values& weight, WeightStatistics* statistics) {
  const int64_t size = weight.count / weight.channels;
  std::vector<double> ranges;
  statistics->min = statistics->max = weight.data[0];
  for (int64_t c = 0; c < weight.channels; ++c) {
    const auto [low, high] = std::minmax_element(weight.data + c * size, weight.data + (c + 1) * size);
    statistics->min = std::min<double>(statistics->min, *low);
    statistics->max = std::max<double>(statistics->max, *high);
    if (*low < *high) ranges.push_back(static_cast<double>(*high) - *low);
  }
  if (ranges.empty()) return;
  std::sort(ranges.begin(), ranges.end());
  const double median = (ranges[(ranges.size() - 1) / 2] + ranges[ranges.size() / 2]) / 2;
  statistics->channel_spread = ranges.back() / median;
}

absl::StatusOr<at::Tensor> AtFewBits(const std::string& site, const at::Tensor& weight) {
  QuantSpec spec;
  spec.bits = kSnrBits;
  spec.granularity = Granularity::kPerChannel;
  spec.channel_dim = 0;
  spec.percentiles = ReferencePercentiles();
  const auto comm = MakeLocalCommunicator();
  QWT_ASSIGN_OR_RETURN(const SiteQuantization found, SearchScale(site, spec, {weight}, *comm, /*threads=*/1));
  QWT_ASSIGN_OR_RETURN(const SiteQuantizer quantizer, SiteQuantizer::Make(site, found));
  return quantizer.Apply(weight);
}

std::optional<double> SnrDb(const Values& weight, const float* approximation) {
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < weight.count; ++i) {
    const double value = weight.data[i], error = value - approximation[i];
    signal += value * value;
    noise += error * error;
  }
  if (noise == 0) return std::nullopt;
  return 10 * std::log10(signal / noise);
}

}  // namespace

absl::StatusOr<WeightStatistics> StatisticsOfWeight(const std::string& site, const at::Tensor& weight) {
  const at::Tensor contiguous = weight.contiguous();
  QWT_ASSIGN_OR_RETURN(const at::Tensor approximation, AtFewBits(site, contiguous));
  const Values values{contiguous.const_data_ptr<float>(), contiguous.numel(), contiguous.size(0)};
  WeightStatistics statistics;
  AddRanges(values, &statistics);
  AddMoments(values, &statistics);
  statistics.snr_db = SnrDb(values, approximation.const_data_ptr<float>());
  return statistics;
}

}  // namespace qwt
