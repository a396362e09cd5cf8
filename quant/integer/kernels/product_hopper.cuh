// Products on sm_90, whose warps divide the work. Of product.cu alone.
#pragma once

#include <cuda_runtime.h>

#include "quant/integer/kernels/kernels.h"

namespace qwt {

// Whether this GPU has what it takes and the product no row sums; if so it is queued. Float outputs: columns divisible
// by 4.
bool ProductOnHopper(const ProductArguments& p, cudaStream_t stream);

}  // namespace qwt
