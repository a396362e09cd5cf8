#include <cuda_profiler_api.h>

#include "ATen/cuda/CUDAContext.h"
#include "core/tensor/gpu.h"

namespace qwt {

std::string GpuName(int index) { return at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(index))->name; }

void BeginProfile() { cudaProfilerStart(); }
void EndProfile() { cudaProfilerStop(); }

}  // namespace qwt
