// Copies of tensors that lie in a mapped file as they were written there.
#pragma once

#include "ATen/core/Tensor.h"

namespace qwt {

// target.copy_(source), for a source on the CPU whose numbers need not be aligned for their dtype: LibTorch's operators
// may fail on those. The sizes must be the same.
void CopyUnaligned(const at::Tensor& source, const at::Tensor& target);

// The same numbers in memory of their own, contiguous and aligned.
at::Tensor AlignedCopy(const at::Tensor& source);

// The bytes from a tensor's first element to its last.
struct ByteRange {
  const char* begin;
  const char* end;
};
ByteRange BytesOf(const at::Tensor& tensor);

}  // namespace qwt
