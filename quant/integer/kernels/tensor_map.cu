#include "quant/integer/kernels/tensor_map.cuh"

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace qwt {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// The driver's function, without linking the driver.
Encode FindEncode() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result;
  constexpr unsigned kSince = 12000;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, kSince, cudaEnableDefault, &result) != cudaSuccess ||
      result != cudaDriverEntryPointSuccess) {
    throw std::runtime_error("the CUDA driver has no cuTensorMapEncodeTiled: it must be of CUDA 12.0 or newer");
  }
  return reinterpret_cast<Encode>(found);
}

}  // namespace

CUtensorMap MakeTensorMap(const void* data, std::initializer_list<MapDimension> dimensions) {
  static const Encode encode = FindEncode();
  constexpr int kMost = 5;
  const auto rank = static_cast<cuuint32_t>(dimensions.size());
  cuuint64_t sizes[kMost], pitches[kMost];
  cuuint32_t boxes[kMost], steps[kMost];
  int i = 0;
  for (const MapDimension& dimension : dimensions) {
    sizes[i] = static_cast<cuuint64_t>(dimension.size);
    if (i > 0) pitches[i - 1] = static_cast<cuuint64_t>(dimension.pitch_bytes);
    boxes[i] = static_cast<cuuint32_t>(dimension.box);
    steps[i++] = 1;
  }
  constexpr cuuint32_t kSwizzled = 128;
  CUtensorMap map;
  const CUresult result =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, rank, const_cast<void*>(data), sizes, pitches, boxes, steps,
             CU_TENSOR_MAP_INTERLEAVE_NONE,
             boxes[0] == kSwizzled ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
             CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    throw std::runtime_error("cuTensorMapEncodeTiled: error " + std::to_string(static_cast<int>(result)));
  }
  return map;
}

}  // namespace qwt
