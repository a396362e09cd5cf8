// Products on sm_90, whose warps divide the work. Of product.cu alone.
#pragma once

#include <cuda_runtime.h>

#include "quant/integer/kernels/kernels.h"

namespace qwt {

// Whether this GPU has what it takes, and the product a kernel here: without both row sums and ends or codes, float outputs
// of columns divisible by 4. If so it is queued.
bool ProductOnHopper(const ProductArguments& p, cudaStream_t stream);

}  // namespace qwt
