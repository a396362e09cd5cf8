#include <algorithm>

#include "ATen/ops/bmm.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/softmax.h"
#include "quant/integer/kernels/vector_rows.h"
#include "quant/integer/kernels/vectors.h"
#include "quant/kernels/log_sqrt2.h"

namespace qwt {
namespace {

constexpr int64_t kScores = 1 << 18;  // at once, so that they stay in the second-level cache

QWT_WIDE_CLONES void LessZero(const uint8_t* __restrict__ codes, int64_t n, float zero, float* __restrict__ values) {
  for (int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(codes[i]) - zero;
}

QWT_WIDE_CLONES void Scale(float* x, int64_t n, float scale) {
  for (int64_t i = 0; i < n; ++i) x[i] *= scale;
}

QWT_WIDE_CLONES void Add(const float* __restrict__ a, int64_t n, float* __restrict__ sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += a[i];
}

// Some windows from `first`.
class Windows {
 public:
  Windows(const AttentionArguments& a, int64_t first, int64_t count) : a_(a), first_(first), count_(count) {}

  void Run() const {
    // Sums of at most kMostHeadWidth products of two codes: exact.
    at::Tensor scores = at::bmm(Part(0, a_.query_zero), Part(1, a_.key_zero).transpose(1, 2));
    Finish(scores.mutable_data_ptr<float>());
    const at::Tensor softmax = at::softmax(scores, -1);
    Quantize(softmax.const_data_ptr<float>(), scores);
    Write(at::bmm(scores, Part(2, a_.value_zero)));
  }

 private:
  // Queries (0), keys (1) or values (2) less their zero point, [windows · H, T, D].
  at::Tensor Part(int64_t part, float zero) const {
    at::Tensor out = at::empty({count_ * a_.heads, a_.tokens, a_.head_width}, at::kFloat);
    float* to = out.mutable_data_ptr<float>();
    for (int64_t i = 0; i < count_ * a_.heads * a_.tokens; ++i) {
      const int64_t window = first_ + i / (a_.heads * a_.tokens), head = i / a_.tokens % a_.heads;
      const uint8_t* codes = a_.codes + (window * a_.tokens + i % a_.tokens) * a_.pitch;
      LessZero(codes + (part * a_.heads + head) * a_.head_width, a_.head_width, zero, to + i * a_.head_width);
    }
    return out;
  }

  // Sums to what softmax reads.
  void Finish(float* scores) const {
    const int64_t matrix = a_.tokens * a_.tokens;
    for (int64_t i = 0; i < count_ * a_.heads; ++i, scores += matrix) {
      Scale(scores, matrix, a_.score_scale);
      if (a_.bias != nullptr) Add(a_.bias + i % a_.heads * matrix, matrix, scores);
      if (a_.mask != nullptr) Add(a_.mask + (first_ + i / a_.heads) % a_.masks * matrix, matrix, scores);
    }
  }

  void Quantize(const float* softmax, at::Tensor& quantized) const {
    float* to = quantized.mutable_data_ptr<float>();
    const int64_t n = quantized.numel();
    if (a_.log_sqrt2) return LogSqrt2Apply({1, 1, n, &a_.log_scale, a_.log_floor, a_.zero_code}, softmax, to);
    at::Tensor codes = at::empty({n}, at::kByte);
    CarriersOf(softmax, n, a_.uniform, codes.mutable_data_ptr<uint8_t>());
    LessZero(codes.const_data_ptr<uint8_t>(), n, a_.uniform.zero, to);
  }

  // values: [windows · H, T, D].
  void Write(const at::Tensor& values) const {
    const float* from = values.const_data_ptr<float>();
    Carrier carrier = a_.carrier;
    carrier.inverse_scale *= a_.value_unit * (a_.log_sqrt2 ? 1 : a_.uniform.scale);
    for (int64_t i = 0; i < count_ * a_.heads * a_.tokens; ++i) {
      const int64_t window = first_ + i / (a_.heads * a_.tokens), head = i / a_.tokens % a_.heads;
      CarriersOf(from + i * a_.head_width, a_.head_width, carrier,
                 a_.out + (window * a_.tokens + i % a_.tokens) * a_.out_pitch + head * a_.head_width);
    }
  }

  const AttentionArguments& a_;
  const int64_t first_, count_;
};

}  // namespace

void AttentionOnVectors(const AttentionArguments& a) {
  const int64_t count = std::max<int64_t>(1, kScores / (a.heads * a.tokens * a.tokens));
  for (int64_t first = 0; first < a.windows; first += count) {
    Windows(a, first, std::min(count, a.windows - first)).Run();
  }
}

}  // namespace qwt
