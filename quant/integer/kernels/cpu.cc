// The kernels as plain loops, one thread: what they compute.
#include "quant/integer/kernels/cpu.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "quant/integer/kernels/rows.h"
#include "quant/kernels/clones.h"

namespace qwt {
namespace {

bool IsEnd(float x, const Carrier& c) { return Rounded(x, c) <= c.low || Rounded(x, c) >= c.high; }

bool IsSet(const uint32_t* ends, int64_t i) { return ends[EndWord(i)] >> EndBit(i) & 1; }

// p̂ over its unit.
float Probability(float p, const AttentionArguments& a) {
  if (!a.log_sqrt2) return static_cast<float>(CarrierOf(p, a.uniform)) - a.uniform.zero;
  const float position = -2 * std::log2(std::max(p / a.log_scale, a.log_floor));
  const int code = static_cast<int>(std::nearbyint(std::clamp(position, 0.0f, 1000.0f)));
  if (code >= a.zero_code) return 0;
  return std::ldexp(code % 2 == 0 ? 1.0f : 1.41421356f, -(code + 1) / 2);
}

// One query's probabilities over the window's keys.
std::vector<float> Attend(const AttentionArguments& a, int64_t window, int64_t head, int64_t row) {
  const uint8_t* query = a.codes + (window * a.tokens + row) * a.pitch + head * a.head_width;
  const uint8_t* keys = a.codes + window * a.tokens * a.pitch + (a.heads + head) * a.head_width;
  std::vector<float> p(a.tokens);
  for (int64_t key = 0; key < a.tokens; ++key) {
    float sum = 0;
    for (int64_t d = 0; d < a.head_width; ++d)
      sum += (query[d] - a.query_zero) * (keys[key * a.pitch + d] - a.key_zero);
    p[key] = sum * a.score_scale;
    if (a.bias != nullptr) p[key] += a.bias[(head * a.tokens + row) * a.tokens + key];
    if (a.mask != nullptr) p[key] += a.mask[(window % a.masks * a.tokens + row) * a.tokens + key];
  }
  const float most = *std::max_element(p.begin(), p.end());
  float total = 0;
  for (float& score : p) total += score = std::exp(score - most);
  for (float& score : p) score /= total;
  return p;
}

}  // namespace

QWT_VECTOR_CLONES int32_t Dot(const uint8_t* a, const int8_t* w, int64_t depth) {
  int32_t sum = 0;
  for (int64_t k = 0; k < depth; ++k) sum += a[k] * w[k];
  return sum;
}

void QuantizeOnCpu(const QuantizeArguments& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    for (int64_t c = 0; c < a.columns; ++c) {
      a.out[row * a.pitch + c] = CarrierOf(Activate(a.x[row * a.columns + c], a.activation), a.carrier);
    }
  }
}

void NormQuantizeOnCpu(const NormQuantizeArguments& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const float* x = a.x + MappedRow(a.map, row) * a.columns;
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < a.columns; ++c) sum += x[c];
    const double mean = sum / a.columns;
    for (int64_t c = 0; c < a.columns; ++c) squares += (x[c] - mean) * (x[c] - mean);
    const double inverse = 1 / std::sqrt(squares / a.columns + a.epsilon);
    uint8_t* out = a.out + row * a.pitch;
    uint32_t* ends = reinterpret_cast<uint32_t*>(out + a.ends_offset);
    if (a.ends_offset > 0) std::fill_n(ends, EndWords(a.columns), 0);
    for (int64_t c = 0; c < a.columns; ++c) {
      const auto y = static_cast<float>((x[c] - mean) * inverse * a.weight[c] + a.bias[c]);
      out[c] = CarrierOf(y, a.carrier);
      if (a.ends_offset > 0 && IsEnd(y, a.carrier)) ends[EndWord(c)] |= 1u << EndBit(c);
    }
  }
}

void PatchQuantizeOnCpu(const PatchQuantizeArguments& a) {
  const int64_t depth = a.channels * a.kernel * a.kernel, positions = a.out_height * a.out_width;
  for (int64_t row = 0; row < a.images * positions; ++row) {
    const int64_t top = row % positions / a.out_width * a.stride - a.padding;
    const int64_t left = row % a.out_width * a.stride - a.padding;
    for (int64_t k = 0; k < depth; ++k) {
      const int64_t channel = k / (a.kernel * a.kernel), y = top + k / a.kernel % a.kernel, x = left + k % a.kernel;
      const bool inside = y >= 0 && y < a.height && x >= 0 && x < a.width;
      const int64_t at = ((row / positions * a.channels + channel) * a.height + y) * a.width + x;
      a.out[row * a.pitch + k] = CarrierOf(inside ? a.x[at] : 0.0f, a.carrier);
    }
  }
}

void ProductOnCpu(const ProductArguments& a) {
  for (int64_t m = 0; m < a.rows; ++m) {
    const uint8_t* row = a.a + m * a.a_pitch;
    const uint32_t* ends = reinterpret_cast<const uint32_t*>(row + a.ends_offset);
    int32_t row_sum = 0;
    for (int64_t k = 0; k < a.depth; ++k) row_sum += row[k];
    int32_t end_count = 0;
    for (int64_t k = 0; k < a.depth && a.ends_offset > 0; ++k) end_count += IsSet(ends, k);
    for (int64_t n = 0; n < a.columns; ++n) {
      const int8_t* w = a.w + n * a.w_pitch;
      int32_t sum = Dot(row, w, a.depth), end_sum = 0;
      for (int64_t k = 0; k < a.depth && a.ends_offset > 0; ++k) end_sum += IsSet(ends, k) ? w[k] : 0;
      if (a.ends_offset > 0) sum = sum * a.end_multiplier + end_sum * a.end_code;
      float v = static_cast<float>(sum) * a.scale[n] + a.bias[n];
      if (a.row_sum_scale != nullptr) v += static_cast<float>(row_sum) * a.row_sum_scale[n];
      if (a.end_count_scale != nullptr) v += static_cast<float>(end_count) * a.end_count_scale[n];
      if (a.codes != nullptr) {
        const Carrier& carrier = a.carriers[n / (a.columns / a.groups)];
        a.codes[m * a.code_pitch + n] =
            a.activation == Activation::kNone
                ? static_cast<uint8_t>(std::clamp(std::nearbyint(v) + carrier.zero, 0.0f, carrier.top))
                : CarrierOf(Activate(v, a.activation), carrier);
      } else {
        const int64_t to = MappedRow(a.map, m), from = ResidualRow(a, to);
        a.out[to * a.columns + n] = v + (a.residual != nullptr ? a.residual[from * a.columns + n] : 0.0f);
      }
    }
  }
}

void AttentionOnCpu(const AttentionArguments& a) {
  const float unit = a.value_unit * (a.log_sqrt2 ? a.log_scale : a.uniform.scale);
  for (int64_t i = 0; i < a.windows * a.heads * a.tokens; ++i) {
    const int64_t window = i / (a.heads * a.tokens), head = i / a.tokens % a.heads, row = i % a.tokens;
    std::vector<float> p = Attend(a, window, head, row);
    for (float& probability : p) probability = Probability(probability, a);
    const uint8_t* values = a.codes + window * a.tokens * a.pitch + (2 * a.heads + head) * a.head_width;
    uint8_t* out = a.out + (window * a.tokens + row) * a.out_pitch + head * a.head_width;
    for (int64_t d = 0; d < a.head_width; ++d) {
      float sum = 0;
      for (int64_t key = 0; key < a.tokens; ++key) sum += p[key] * (values[key * a.pitch + d] - a.value_zero);
      out[d] = CarrierOf(sum * unit, a.carrier);
    }
  }
}

}  // namespace qwt
