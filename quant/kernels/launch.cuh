// How kernels are launched, and what is said where one cannot be.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace qwt {

inline void CheckKernel(cudaError_t error, const char* kernel) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(kernel) + " on the GPU: " + cudaGetErrorString(error));
  }
}
inline void CheckLaunch(const char* kernel) { CheckKernel(cudaGetLastError(), kernel); }

// Lets blocks of the kernel have so many bytes of shared memory of their launch.
template <auto kKernel>
void AllowSharedMemory(int bytes, const char* kernel) {
  static const cudaError_t error = cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  CheckKernel(error, kernel);
}

}  // namespace qwt
