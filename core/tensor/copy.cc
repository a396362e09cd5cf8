#include "core/tensor/copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/from_blob.h"

namespace qwt {
namespace {

constexpr int64_t kScratchBytes = int64_t{1} << 20;  // stays in a core's cache

// The dimensions by stride, the largest first: so parts of the first dimension are compact in memory.
std::vector<int64_t> ByStride(const at::Tensor& tensor) {
  std::vector<int64_t> order(tensor.dim());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return tensor.stride(a) > tensor.stride(b); });
  return order;
}

int64_t ByteCount(const at::Tensor& tensor) {
  const ByteRange bytes = BytesOf(tensor);
  return bytes.end - bytes.begin;
}

}  // namespace

ByteRange BytesOf(const at::Tensor& tensor) {
  const char* begin = static_cast<const char*>(tensor.const_data_ptr());
  if (tensor.numel() == 0) return {begin, begin};
  int64_t last = 0;
  for (int64_t i = 0; i < tensor.dim(); ++i) last += (tensor.size(i) - 1) * tensor.stride(i);
  return {begin, begin + (last + 1) * tensor.element_size()};
}

at::Tensor AlignedCopy(const at::Tensor& source) {
  at::Tensor copy = at::empty(source.sizes(), source.options());
  CopyUnaligned(source, copy);
  return copy;
}

void CopyUnaligned(const at::Tensor& source, const at::Tensor& target) {
  if (reinterpret_cast<uintptr_t>(source.const_data_ptr()) % source.element_size() == 0) {
    target.copy_(source);
    return;
  }
  if (source.numel() == 0) return;
  if (source.dim() == 0) return CopyUnaligned(source.unsqueeze(0), target.unsqueeze(0));
  const std::vector<int64_t> order = ByStride(source);
  const at::Tensor from = source.permute(order), to = target.permute(order);
  const int64_t row_bytes = std::max(ByteCount(from.narrow(0, 0, 1)), from.stride(0) * from.element_size());
  const int64_t rows = std::clamp<int64_t>(kScratchBytes / std::max<int64_t>(row_bytes, 1), 1, from.size(0));
  const at::Tensor scratch = at::empty({ByteCount(from.narrow(0, 0, rows))}, at::kByte);
  for (int64_t row = 0; row < from.size(0); row += rows) {
    const int64_t count = std::min(rows, from.size(0) - row);
    const at::Tensor part = from.narrow(0, row, count);
    std::memcpy(scratch.mutable_data_ptr(), part.const_data_ptr(), ByteCount(part));
    to.narrow(0, row, count)
        .copy_(at::from_blob(scratch.mutable_data_ptr(), part.sizes(), part.strides(), part.options()));
  }
}

}  // namespace qwt
