// Functions that the compiler builds twice, with and without AVX2, and chooses between when the program starts. Kernels
// built so must not depend on the order of floating-point operations, so that both give the same bits.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define QWT_VECTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define QWT_VECTOR_CLONES
#endif
