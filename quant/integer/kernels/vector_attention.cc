#include <algorithm>
#include <bit>
#include <vector>

#include "ATen/ops/bmm.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/exp.h"
#include "quant/integer/kernels/vector_rows.h"
#include "quant/integer/kernels/vectors.h"

namespace qwt {
namespace {

constexpr int64_t kScores = 1 << 16;  // at once, so that they stay in the second-level cache
constexpr int64_t kLanes = 16;
constexpr float kLeastExponent = -80;

QWT_WIDE_CLONES void LessZero(const uint8_t* __restrict__ codes, int64_t n, float zero, float* __restrict__ values) {
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(codes[i]) - zero;
}

QWT_WIDE_CLONES void Add(const float* __restrict__ a, int64_t n, float* __restrict__ sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += a[i];
}

QWT_WIDE_CLONES void Scale(float* x, int64_t n, float scale) {
  for (int64_t i = 0; i < n; ++i) x[i] *= scale;
}

// Less the largest of them, as exponentials are taken; those far below it are held where the exponential is still a
// normal float: a mask's would be others, which processors are slow at, and add as little to any sum.
QWT_WIDE_CLONES void LessLargest(float* x, int64_t n) {
  float lanes[kLanes], most = x[0];
  std::fill_n(lanes, kLanes, most);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
  }
  for (; i < n; ++i) most = x[i] > most ? x[i] : most;
  for (float lane : lanes) most = lane > most ? lane : most;
  for (i = 0; i < n; ++i) x[i] = x[i] - most > kLeastExponent ? x[i] - most : kLeastExponent;
}

QWT_WIDE_CLONES float Sum(const float* x, int64_t n) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane];
  }
  for (; i < n; ++i) lanes[0] += x[i];
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

// p̂ over the unit of p = x · factor · unit, in place: as quant/kernels/log_sqrt2.h has it, but the edges of codes are
// those of real numbers, some last bits from the float logarithm's, so that they are the same for each power of two.
QWT_WIDE_CLONES void RoundToLogSqrt2(float* x, int64_t n, float factor, float floor, int32_t zero_code) {
  constexpr int32_t kMantissa = (1 << 23) - 1;
  const int32_t first = std::bit_cast<int32_t>(1.18920712f) & kMantissa;   // 2^(1/4)
  const int32_t second = std::bit_cast<int32_t>(1.68179283f) & kMantissa;  // 2^(3/4)
  for (int64_t i = 0; i < n; ++i) {
    float ratio = x[i] * factor;
    ratio = ratio > floor ? ratio : floor;
    const auto bits = std::bit_cast<int32_t>(ratio);
    const int32_t mantissa = bits & kMantissa;
    int32_t code = 2 * (127 - (bits >> 23)) - (mantissa >= first) - (mantissa >= second);
    code = code < 0 ? 0 : code;
    const float power = std::bit_cast<float>((127 - ((code + 1) >> 1)) << 23);
    const float value = code & 1 ? power * 1.41421356f : power;
    x[i] = code < zero_code ? value : 0.0f;
  }
}

// Of pairs of a window and a head some at a time.
class Attention {
 public:
  explicit Attention(const AttentionArguments& a)
      : a_(a),
        pairs_(a.windows * a.heads),
        most_(std::min(pairs_, std::max<int64_t>(1, kScores / (a.tokens * a.tokens)))),
        query_(at::empty({most_, a.tokens, a.head_width}, at::kFloat)),
        key_(at::empty_like(query_)),
        value_(at::empty_like(query_)),
        scores_(at::empty({most_, a.tokens, a.tokens}, at::kFloat)),
        codes_(a.log_sqrt2 ? 0 : a.tokens) {}

  void Run() {
    for (int64_t first = 0; first < pairs_; first += most_) RunPairs(first, std::min(most_, pairs_ - first));
  }

 private:
  void RunPairs(int64_t first, int64_t count) {
    at::Tensor query = query_.narrow(0, 0, count), key = key_.narrow(0, 0, count), value = value_.narrow(0, 0, count);
    at::Tensor scores = scores_.narrow(0, 0, count);
    for (int64_t i = 0; i < count; ++i) {
      Unpack(first + i, 0, a_.query_zero, query_, i);
      Unpack(first + i, 1, a_.key_zero, key_, i);
      Unpack(first + i, 2, a_.value_zero, value_, i);
    }
    // Sums of at most kMostHeadWidth products of two codes: exact.
    at::bmm_out(scores, query, key.transpose(1, 2));
    float* x = scores.mutable_data_ptr<float>();
    const int64_t matrix = a_.tokens * a_.tokens;
    for (int64_t i = 0; i < count; ++i) {
      Scale(x + i * matrix, matrix, a_.score_scale);
      if (a_.bias != nullptr) Add(a_.bias + (first + i) % a_.heads * matrix, matrix, x + i * matrix);
      if (a_.mask != nullptr) Add(a_.mask + (first + i) / a_.heads % a_.masks * matrix, matrix, x + i * matrix);
    }
    for (int64_t row = 0; row < count * a_.tokens; ++row) LessLargest(x + row * a_.tokens, a_.tokens);
    at::exp_(scores);
    for (int64_t row = 0; row < count * a_.tokens; ++row) QuantizeRow(x + row * a_.tokens);
    at::bmm_out(query, scores, value);
    for (int64_t i = 0; i < count; ++i) Write(first + i, query.const_data_ptr<float>() + i * a_.tokens * a_.head_width);
  }

  // Codes of queries (0), keys (1) or values (2) less their zero point.
  void Unpack(int64_t pair, int64_t part, float zero, at::Tensor& to, int64_t at) const {
    const int64_t window = pair / a_.heads, head = pair % a_.heads;
    const uint8_t* codes = a_.codes + window * a_.tokens * a_.pitch + (part * a_.heads + head) * a_.head_width;
    float* values = to.mutable_data_ptr<float>() + at * a_.tokens * a_.head_width;
    for (int64_t token = 0; token < a_.tokens; ++token) {
      LessZero(codes + token * a_.pitch, a_.head_width, zero, values + token * a_.head_width);
    }
  }

  // Exponentials to p̂ over its unit.
  void QuantizeRow(float* x) {
    const float sum = Sum(x, a_.tokens);
    if (a_.log_sqrt2) return RoundToLogSqrt2(x, a_.tokens, 1 / (sum * a_.log_scale), a_.log_floor, a_.zero_code);
    Scale(x, a_.tokens, 1 / sum);
    CarriersOf(x, a_.tokens, a_.uniform, codes_.data());
    LessZero(codes_.data(), a_.tokens, a_.uniform.zero, x);
  }

  void Write(int64_t pair, const float* values) const {
    const int64_t window = pair / a_.heads, head = pair % a_.heads;
    Carrier carrier = a_.carrier;
    carrier.inverse_scale *= a_.value_unit * (a_.log_sqrt2 ? a_.log_scale : a_.uniform.scale);
    uint8_t* out = a_.out + window * a_.tokens * a_.out_pitch + head * a_.head_width;
    for (int64_t token = 0; token < a_.tokens; ++token) {
      CarriersOf(values + token * a_.head_width, a_.head_width, carrier, out + token * a_.out_pitch);
    }
  }

  const AttentionArguments& a_;
  const int64_t pairs_, most_;
  at::Tensor query_, key_, value_, scores_;  // of some pairs
  std::vector<uint8_t> codes_;               // of a row
};

}  // namespace

void AttentionOnVectors(const AttentionArguments& a) { Attention(a).Run(); }

}  // namespace qwt
