// The two passes of a resize on rows of 8-bit RGB, in the arithmetic of Pillow: 22-bit weights, sums in 32 bits, each
// pass rounded to 8 bits. The results are the same bytes with and without vector instructions.
#pragma once

#include <cstdint>
#include <vector>

namespace qwt {

inline constexpr int kResampleChannels = 3;
inline constexpr int kResampleBits = 22;  // after the point, of a weight

// One output is the weighted sum of the inputs [first, first + weights.size()).
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

// Horizontal passes over many rows with the same taps.
class RowResampler {
 public:
  // Every tap lies in [0, inputs).
  RowResampler(const std::vector<Taps>& taps, int64_t inputs);
  // source: `inputs` pixels; target: one pixel for each of the taps.
  void Run(const uint8_t* source, uint8_t* target);
  // The definition that Run() follows, one pixel at a time.
  void RunScalar(const uint8_t* source, uint8_t* target) const;

 private:
  void RunAvx2(const uint8_t* source, uint8_t* target);

  const std::vector<Taps>& taps_;
  const int64_t inputs_;
  bool vectorised_ = false;
  // For groups of four taps, padded with zeros: the weights' upper and lower parts, w = upper * 2^11 + lower.
  std::vector<int64_t> groups_, upper_, lower_;
  std::vector<uint8_t> row_;  // a copy of the source with room behind it for reading whole vectors
};

// The vertical pass for one output row: rows of `bytes` bytes, the first of them at `source`, one after another.
void ResampleColumns(const std::vector<int32_t>& weights, const uint8_t* source, int64_t bytes, uint8_t* target);

}  // namespace qwt
