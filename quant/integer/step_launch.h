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

// uint8 [rows, pitch] beside `like`, for rows of so many codes. What lies between these and the next multiple of 16 is
// read with them, for weights that are zeros.
inline at::Tensor Codes(const at::Tensor& like, int64_t rows, int64_t columns, int64_t pitch) {
  at::Tensor codes = at::empty({rows, pitch}, like.options().dtype(at::kByte));
  if (CodePitch(columns) > columns) codes.narrow(1, columns, pitch - columns).zero_();
  return codes;
}
inline at::Tensor Codes(const at::Tensor& like, int64_t rows, int64_t columns) {
  return Codes(like, rows, columns, CodePitch(columns));
}

}  // namespace qwt
