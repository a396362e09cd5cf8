#include "core/base/random.h"

#include <cmath>
#include <numbers>

namespace qwt {
namespace {

// The finaliser of SplitMix64: a bijection of 64-bit words.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t RandomWord(uint64_t seed, uint64_t index) { return Mix(Mix(seed + 0x9e3779b97f4a7c15) ^ Mix(index + 1)); }

double RandomUniform(uint64_t seed, uint64_t index) {
  return static_cast<double>(RandomWord(seed, index) >> 11) * 0x1p-53;
}

int64_t RandomBelow(uint64_t seed, uint64_t index, int64_t count) {
  return static_cast<int64_t>(RandomUniform(seed, index) * static_cast<double>(count));
}

double RandomNormal(uint64_t seed, uint64_t index) {
  const uint64_t word = RandomWord(seed, index);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - RandomUniform(word, 0)));
  return radius * std::cos(2.0 * std::numbers::pi * RandomUniform(word, 1));
}

}  // namespace qwt
