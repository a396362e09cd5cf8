#include <stdexcept>

#include "quant/kernels/gpu.h"

namespace qwt {
namespace {

[[noreturn]] void Fail() { throw std::runtime_error("there are no kernels for GPUs in a build without --config=cuda"); }

}  // namespace

void UniformApplyOnGpu(const UniformArguments&, const float*, float*, void*) { Fail(); }
void LogSqrt2ApplyOnGpu(const LogSqrt2Arguments&, const float*, float*, void*) { Fail(); }
int64_t SquaredErrorParts(int64_t, int64_t, int64_t) { Fail(); }
void SquaredErrorsOnGpu(const float*, const float*, int64_t, int64_t, int64_t, double*, void*) { Fail(); }

}  // namespace qwt
