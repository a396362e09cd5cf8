#include "quant/kernels/statistics.h"

#include <algorithm>
#include <functional>

#include "quant/kernels/clones.h"

namespace qwt {
namespace {

constexpr int kLanes = 16;
constexpr int kBlock = 32;

// Sums of every kLanes-th square, added lane by lane: the same order whatever the vector width.
QWT_VECTOR_CLONES double SquaredErrorOfRun(const float* x, const float* y, int64_t n) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const double error = static_cast<double>(x[i + lane]) - static_cast<double>(y[i + lane]);
      lanes[lane] += error * error;
    }
  }
  double sum = 0;
  for (; i < n; ++i) {
    const double error = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    sum += error * error;
  }
  for (double lane : lanes) sum += lane;
  return sum;
}

QWT_VECTOR_CLONES void AddSquaredErrorsOfRow(const float* x, const float* y, int64_t n, double* sums) {
  for (int64_t i = 0; i < n; ++i) {
    const double error = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    sums[i] += error * error;
  }
}

// Whether any of kBlock values lies outside [low, high].
QWT_VECTOR_CLONES bool AnyOutside(const float* x, float low, float high) {
  int32_t outside = 0;
  for (int i = 0; i < kBlock; ++i) outside += (x[i] < low) | (x[i] > high);
  return outside > 0;
}

}  // namespace

void AddSquaredErrors(const float* x, const float* y, int64_t outer, int64_t channels, int64_t inner, double* sums) {
  for (int64_t o = 0; o < outer; ++o) {
    if (inner == 1) {
      AddSquaredErrorsOfRow(x, y, channels, sums);
      x += channels;
      y += channels;
      continue;
    }
    for (int64_t c = 0; c < channels; ++c) {
      sums[c] += SquaredErrorOfRun(x, y, inner);
      x += inner;
      y += inner;
    }
  }
}

QWT_VECTOR_CLONES bool AllFinite(const float* x, int64_t n) {
  float lanes[kLanes] = {};  // x·0 is 0 for what is finite, otherwise NaN, which stays
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane] * 0.0f;
  }
  float sum = 0;
  for (; i < n; ++i) sum += x[i] * 0.0f;
  for (float lane : lanes) sum += lane;
  return sum == 0.0f;
}

LargestValues::LargestValues(int64_t count)
    : count_(static_cast<size_t>(count)), capacity_(2 * static_cast<size_t>(count) + 64) {
  kept_.reserve(capacity_);
}

void LargestValues::Shrink() {
  std::nth_element(kept_.begin(), kept_.begin() + (count_ - 1), kept_.end(), std::greater<float>());
  kept_.resize(count_);
  threshold_ = kept_.back();
}

const std::vector<float>& LargestValues::Sorted() {
  if (kept_.size() > count_) Shrink();
  std::sort(kept_.begin(), kept_.end(), std::greater<float>());
  return kept_;
}

void AddExtremes(const float* x, int64_t n, LargestValues* largest, LargestValues* smallest) {
  const auto add = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      largest->Add(x[i]);
      smallest->Add(-x[i]);
    }
  };
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    if (AnyOutside(x + i, -smallest->threshold(), largest->threshold())) add(i, i + kBlock);
  }
  add(i, n);
}

}  // namespace qwt
