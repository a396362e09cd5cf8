#include <stdexcept>

#include "quant/kernels/gpu.h"

namespace qwt {
namespace {

[[noreturn]] void Fail() { throw std::runtime_error("there are no kernels for GPUs in a build without --config=cuda"); }

}  // namespace

void UniformApplyOnGpu(const UniformArguments&, const float*, float*, void*) { Fail(); }
void LogSqrt2ApplyOnGpu(const LogSqrt2Arguments&, const float*, float*, void*) { Fail(); }
int64_t ErrorParts(const ErrorLayout&) { Fail(); }
void UniformErrorsOnGpu(const UniformArguments&, int64_t, const float*, double*, void*) { Fail(); }
void LogSqrt2ErrorsOnGpu(const LogSqrt2Arguments&, int64_t, const float*, double*, void*) { Fail(); }
void SquaredErrorsOnGpu(const float*, const float*, int64_t, int64_t, int64_t, double*, void*) { Fail(); }
void ExtremesOnGpu(const float*, int64_t, int64_t, int64_t, void*, float*, void*) { Fail(); }
int64_t ExtremesWorkspace(int64_t, int64_t) { Fail(); }

}  // namespace qwt
