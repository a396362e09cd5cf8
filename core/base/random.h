// Random numbers without a state: each is a function of its key alone, so no order of calls, thread or rank can matter.
#pragma once

#include <cstdint>

namespace qwt {

// 64 uniform bits for (seed, index): SplitMix64's finaliser (Steele, Lea and Flood 2014) over both. A word can be the
// seed of numbers of its own: RandomWord(RandomWord(seed, image), draw).
uint64_t RandomWord(uint64_t seed, uint64_t index);

// Uniform in [0, 1): the word's upper 53 bits.
double RandomUniform(uint64_t seed, uint64_t index);

// Uniform in 0 .. count - 1; count in [1, 2^53].
int64_t RandomBelow(uint64_t seed, uint64_t index, int64_t count);

// Normal with mean 0 and deviation 1: Box and Muller (1958), sqrt(-2 ln(1 - u)) cos(2 pi v), u and v uniform from the
// word of (seed, index).
double RandomNormal(uint64_t seed, uint64_t index);

}  // namespace qwt
