#include <stdexcept>

#include "quant/integer/kernels/kernels.h"

namespace qwt {
namespace {

[[noreturn]] void Fail() { throw std::runtime_error("there are no kernels for GPUs in a build without --config=cuda"); }

}  // namespace

void QuantizeOnGpu(const QuantizeArguments&, void*) { Fail(); }
void NormQuantizeOnGpu(const NormQuantizeArguments&, void*) { Fail(); }
void PatchQuantizeOnGpu(const PatchQuantizeArguments&, void*) { Fail(); }
void ProductOnGpu(const ProductArguments&, void*) { Fail(); }
void AttentionOnGpu(const AttentionArguments&, void*) { Fail(); }
void PixelQuantizeOnGpu(const PixelQuantizeArguments&, void*) { Fail(); }
void MaxPoolOnGpu(const MaxPoolArguments&, void*) { Fail(); }
void ConvolutionOnGpu(const ConvolutionArguments&, void*) { Fail(); }

}  // namespace qwt
