// The kernels as networks run them on a CPU: the integers of the plain loops (kernels.h), by vector instructions, one
// thread. Floats between them may differ in their last bits. Products are LibTorch's int8 ones where these are fast.
#pragma once

#include "quant/integer/kernels/kernels.h"

namespace qwt {

// Whether this CPU multiplies int8 in hardware (AVX512-VNNI, and so AMX). Products are plain loops on others.
bool HasInt8Products();

void QuantizeOnVectors(const QuantizeArguments& arguments);
void NormQuantizeOnVectors(const NormQuantizeArguments& arguments);
void PatchQuantizeOnVectors(const PatchQuantizeArguments& arguments);
// Where there are ends, w_by_input is wanted.
void ProductOnVectors(const ProductArguments& arguments);
void AttentionOnVectors(const AttentionArguments& arguments);
void PixelQuantizeOnVectors(const PixelQuantizeArguments& arguments);
void ConvolutionOnVectors(const ConvolutionArguments& arguments);

}  // namespace qwt
