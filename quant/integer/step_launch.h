// How steps reach kernels.
#pragma once

#include "ATen/core/Tensor.h"
#include "ATen/ops/empty.h"
#include "core/tensor/stream.h"
#include "quant/integer/product_weights.h"

namespace qwt {

// Where x lies.
template <typename Arguments>
void Launch(const at::Tensor& x, const Arguments& arguments, void (*on_cpu)(const Arguments&),
            void (*on_gpu)(const Arguments&, void*)) {
  if (x.is_cpu()) return on_cpu(arguments);
  RunOnStreamOf(x, [&](void* stream) { on_gpu(arguments, stream); });
}

// uint8 [rows, CodePitch(columns)] beside `like`.
inline at::Tensor Codes(const at::Tensor& like, int64_t rows, int64_t columns) {
  return at::empty({rows, CodePitch(columns)}, like.options().dtype(at::kByte));
}

}  // namespace qwt
