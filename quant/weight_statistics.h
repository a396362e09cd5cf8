// How the values of a weight are spread, and what four bits cost it.
#pragma once

#include <optional>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

namespace qwt {

// Every figure is finite.
struct WeightStatistics {
  double min = 0, max = 0, mean_abs = 0;
  double std = 0;             // of all values, around their mean
  double peak = 0;            // the farthest value's distance from the mean, in std; 0 for a constant weight
  double outlier_share = 0;   // of the values, those farther than kOutlierStds from the mean
  double channel_spread = 1;  // the largest range (max - min) of an output channel over the median one's, those that
                              // are constant left aside; 1 where all are
  // 10 log10(Σ w² / Σ (w - ŵ)²), ŵ: w at kSnrBits bits as the methods quantise it, uniform with a scale for each output
  // channel that the search of quant/search.h finds. None: no error at all.
  std::optional<double> snr_db;
};
inline constexpr double kOutlierStds = 6;
inline constexpr int kSnrBits = 4;

// weight: float32 [Co, ...]. InvalidArgument, naming `site`, for NaN, infinity or no values.
absl::StatusOr<WeightStatistics> StatisticsOfWeight(const std::string& site, const at::Tensor& weight);

}  // namespace qwt
