// What only LibTorch's CUDA library can tell. gpu_cuda.cc is linked with --config=cuda, gpu_none.cc without.
#pragma once

#include <string>

namespace qwt {

// "NVIDIA H100 80GB HBM3". `index` must be one of GpuCount().
std::string GpuName(int index);

// What a profiler that was told not to begin by itself shall see lies between these two. Nothing without a GPU.
void BeginProfile();
void EndProfile();

}  // namespace qwt
