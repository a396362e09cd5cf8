// What the vectorised kernels share: loops over one row.
#pragma once

#include <cstdint>

#include "quant/integer/kernels/kernels.h"

// As QWT_VECTOR_CLONES (quant/kernels/clones.h), and a third time with AVX-512: here bits may differ.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define QWT_WIDE_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define QWT_WIDE_CLONES
#endif

namespace qwt {

// Carriers of x[0 .. n - 1].
void CarriersOf(const float* x, int64_t n, const Carrier& carrier, uint8_t* codes);
// The same, and which of them are ends: 1, else 0.
void CarriersAndEndsOf(const float* x, int64_t n, const Carrier& carrier, uint8_t* codes, uint8_t* ends);
// Activation of x[0 .. n - 1], in place. What it costs to call is worth some thousand elements.
void Activate(Activation activation, float* x, int64_t n);

}  // namespace qwt
