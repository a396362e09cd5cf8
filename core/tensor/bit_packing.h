// Codes of few bits side by side, without gaps: what a saved model's weights are stored as.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

namespace qwt {

// Bytes of `count` codes: of two codes of 4 bits one, of eight codes of 3 bits three; the last one filled with zeros.
int64_t PackedBytes(int64_t count, int bits);
// codes: uint8, any shape, each below 2^bits; bits 1 to 8. Makes uint8 [PackedBytes]: code i has the bits i * bits …
// (i + 1) * bits - 1, where bit k is bit k % 8 of byte k / 8; so of two 4-bit codes the first is the low half.
at::Tensor PackBits(const at::Tensor& codes, int bits);
// Its inverse. DataLoss where there are not as many bytes as the shape needs.
absl::StatusOr<at::Tensor> UnpackBits(const at::Tensor& packed, int bits, at::IntArrayRef shape);

}  // namespace qwt
