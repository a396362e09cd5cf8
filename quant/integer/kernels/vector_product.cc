#include "quant/integer/kernels/vector_product.h"

#include <algorithm>
#include <bit>

#include "ATen/cpu/Utils.h"
#include "ATen/ops/_int_mm.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/from_blob.h"
#include "quant/integer/kernels/rows.h"
#include "quant/integer/kernels/vector_rows.h"
#include "quant/integer/kernels/vectors.h"

namespace qwt {
namespace {

constexpr int64_t kRows = VectorProduct::kRows;
constexpr int64_t kActivatedRows = 64;  // activated at once: calling LibTorch costs some thousand elements
constexpr int64_t kMostEnds = 255;      // whose weights' sum fits an int16

QWT_WIDE_CLONES void Flip(const uint8_t* __restrict__ codes, int64_t n, int8_t* __restrict__ flipped) {
  for (int64_t i = 0; i < n; ++i) flipped[i] = static_cast<int8_t>(codes[i] ^ 0x80);
}

QWT_WIDE_CLONES int32_t SumOf(const uint8_t* x, int64_t n) {
  int32_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

QWT_WIDE_CLONES int32_t SumOfWeights(const int8_t* x, int64_t n) {
  int32_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum;
}

QWT_WIDE_CLONES void AddFour(const int8_t* __restrict__ a, const int8_t* __restrict__ b, const int8_t* __restrict__ c,
                             const int8_t* __restrict__ d, int64_t n, int16_t* __restrict__ sums) {
  for (int64_t i = 0; i < n; ++i) {
    const auto ab = static_cast<int16_t>(a[i] + b[i]), cd = static_cast<int16_t>(c[i] + d[i]);
    sums[i] = static_cast<int16_t>(sums[i] + static_cast<int16_t>(ab + cd));
  }
}

QWT_WIDE_CLONES void AddOne(const int8_t* __restrict__ a, int64_t n, int16_t* __restrict__ sums) {
  for (int64_t i = 0; i < n; ++i) sums[i] = static_cast<int16_t>(sums[i] + a[i]);
}

QWT_WIDE_CLONES void AddWide(const int16_t* __restrict__ a, int64_t n, int32_t* __restrict__ sums) {
  for (int64_t i = 0; i < n; ++i) sums[i] += a[i];
}

// v of one row. ends: of each output the sum over ends; null: there are none.
QWT_WIDE_CLONES void Values(const ProductArguments& p, const int32_t* __restrict__ sums,
                            const int32_t* __restrict__ flips, const int32_t* __restrict__ ends, float row_sum,
                            float end_count, float* __restrict__ v) {
  const float* __restrict__ scale = p.scale;
  const float* __restrict__ bias = p.bias;
  const int64_t columns = p.columns;
  if (ends == nullptr) {
    for (int64_t n = 0; n < columns; ++n) v[n] = static_cast<float>(sums[n] + flips[n]) * scale[n] + bias[n];
  } else {
    const int32_t multiplier = p.end_multiplier, code = p.end_code;
    for (int64_t n = 0; n < columns; ++n) {
      v[n] = static_cast<float>((sums[n] + flips[n]) * multiplier + ends[n] * code) * scale[n] + bias[n];
    }
  }
  const float* __restrict__ row_sum_scale = p.row_sum_scale;
  const float* __restrict__ end_count_scale = p.end_count_scale;
  for (int64_t n = 0; n < columns && row_sum_scale != nullptr; ++n) v[n] += row_sum * row_sum_scale[n];
  for (int64_t n = 0; n < columns && end_count_scale != nullptr; ++n) v[n] += end_count * end_count_scale[n];
}

QWT_WIDE_CLONES void Add(const float* __restrict__ a, const float* __restrict__ b, int64_t n, float* __restrict__ sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] = a[i] + b[i];
}

}  // namespace

VectorProduct::VectorProduct(const ProductArguments& p)
    : p_(p),
      depth_((p.depth + 15) / 16 * 16),
      weights_(
          at::from_blob(const_cast<int8_t*>(p.w), {depth_, p.columns}, {1, p.w_pitch}, at::TensorOptions(at::kChar))),
      codes_(at::empty({std::min(kRows, p.rows), depth_}, at::kChar)),
      sums_(at::empty({std::min(kRows, p.rows), p.columns}, at::kInt)),
      values_(kActivatedRows * p.columns),
      flips_(p.columns),
      end_sums_(p.ends_offset > 0 ? p.columns : 0),
      few_end_sums_(end_sums_.size()) {
  for (int64_t n = 0; n < p.columns; ++n) flips_[n] = 128 * SumOfWeights(p.w + n * p.w_pitch, p.depth);
}

void VectorProduct::Run(const uint8_t* a, int64_t rows, float* out, const float* residual) {
  p_.a = a;
  p_.out = out;
  p_.residual = residual;
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t some = std::min(kRows, rows - first);
    Multiply(first, some);
    for (int64_t row = 0; row < some; row += kActivatedRows) {
      const int64_t count = std::min(kActivatedRows, some - row);
      for (int64_t i = 0; i < count; ++i) SetValues(first + row + i, row + i, values_.data() + i * p_.columns);
      if (p_.codes != nullptr) Activate(p_.activation, values_.data(), count * p_.columns);
      for (int64_t i = 0; i < count; ++i) Write(first + row + i, values_.data() + i * p_.columns);
    }
  }
}

void VectorProduct::Multiply(int64_t first, int64_t rows) {
  int8_t* codes = codes_.mutable_data_ptr<int8_t>();
  for (int64_t i = 0; i < rows; ++i) Flip(p_.a + (first + i) * p_.a_pitch, depth_, codes + i * depth_);
  at::Tensor sums = sums_.narrow(0, 0, rows);
  at::_int_mm_out(sums, codes_.narrow(0, 0, rows), weights_);
}

void VectorProduct::SetValues(int64_t m, int64_t row, float* v) {
  const uint8_t* codes = p_.a + m * p_.a_pitch;
  const int32_t row_sum = p_.row_sum_scale != nullptr ? SumOf(codes, p_.depth) : 0;
  if (p_.ends_offset > 0) AddEnds(reinterpret_cast<const uint32_t*>(codes + p_.ends_offset));
  Values(p_, sums_.const_data_ptr<int32_t>() + row * p_.columns, flips_.data(),
         end_sums_.empty() ? nullptr : end_sums_.data(), static_cast<float>(row_sum), static_cast<float>(ends_.size()),
         v);
}

void VectorProduct::AddEnds(const uint32_t* words) {
  ends_.clear();
  for (int64_t i = 0; i < EndWords(p_.depth); ++i) {
    for (uint32_t word = words[i]; word != 0; word &= word - 1) {
      const int bit = std::countr_zero(word);
      ends_.push_back(i / 4 * 128 + bit % 8 * 16 + i % 4 * 4 + bit / 8);  // EndWord and EndBit, backwards
    }
  }
  std::fill(end_sums_.begin(), end_sums_.end(), 0);
  const auto weights = [&](size_t i) { return p_.w_by_input + ends_[i] * p_.columns; };
  for (size_t first = 0; first < ends_.size(); first += kMostEnds) {
    const size_t last = std::min(first + kMostEnds, ends_.size());
    std::fill(few_end_sums_.begin(), few_end_sums_.end(), 0);
    size_t i = first;
    for (; i + 4 <= last; i += 4) {
      AddFour(weights(i), weights(i + 1), weights(i + 2), weights(i + 3), p_.columns, few_end_sums_.data());
    }
    for (; i < last; ++i) AddOne(weights(i), p_.columns, few_end_sums_.data());
    AddWide(few_end_sums_.data(), p_.columns, end_sums_.data());
  }
}

void VectorProduct::Write(int64_t m, const float* v) const {
  if (p_.codes == nullptr) {
    const int64_t to = MappedRow(p_.map, m), from = ResidualRow(p_, to);
    float* out = p_.out + to * p_.columns;
    if (p_.residual == nullptr) {
      std::copy_n(v, p_.columns, out);
    } else {
      Add(v, p_.residual + from * p_.columns, p_.columns, out);
    }
    return;
  }
  const int64_t width = p_.columns / p_.groups;
  for (int group = 0; group < p_.groups; ++group) {
    Carrier carrier = p_.carriers[group];
    if (p_.activation == Activation::kNone) carrier.inverse_scale = 1;  // v is in steps
    CarriersOf(v + group * width, width, carrier, p_.codes + m * p_.code_pitch + group * width);
  }
}

bool HasInt8Products() {
  static const bool has = at::cpu::is_avx512_vnni_supported();
  return has;
}

void ProductOnVectors(const ProductArguments& arguments) {
  if (!HasInt8Products()) return ProductOnCpu(arguments);
  VectorProduct(arguments).Run(arguments.a, arguments.rows, arguments.out, arguments.residual);
}

}  // namespace qwt
