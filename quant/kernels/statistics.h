// The sums and order statistics of the scale search, over contiguous float32, one thread, in a fixed order of
// operations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace qwt {

// Σ (x - y)² of each channel, added to sums [channels]. x, y: [outer, channels, inner].
void AddSquaredErrors(const float* x, const float* y, int64_t outer, int64_t channels, int64_t inner, double* sums);

bool AllFinite(const float* x, int64_t n);

// The `count` largest values of a stream; time proportional to the stream, memory to `count`.
class LargestValues {
 public:
  explicit LargestValues(int64_t count);
  void Add(float value) {
    if (!(value > threshold_)) return;
    kept_.push_back(value);
    if (kept_.size() == capacity_) Shrink();
  }
  float threshold() const { return threshold_; }  // a value up to this changes nothing
  // Largest first; fewer than `count` if the stream was shorter.
  const std::vector<float>& Sorted();

 private:
  void Shrink();
  size_t count_, capacity_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<float> kept_;
};

// Adds n finite values to `largest` and, negated, to `smallest`.
void AddExtremes(const float* x, int64_t n, LargestValues* largest, LargestValues* smallest);

}  // namespace qwt
