// What only LibTorch's CUDA library can tell. gpu_cuda.cc is linked with --config=cuda, gpu_none.cc without.
#pragma once

#include <string>

namespace qwt {

// "NVIDIA H100 80GB HBM3". `index` must be one of GpuCount().
std::string GpuName(int index);

}  // namespace qwt
