#include "data/dataset.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"

namespace qwt {
namespace {

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64-bit words.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// The draw of one image: a function of seed and index alone, so that no order of calls can matter.
uint64_t Draw(uint64_t seed, uint64_t index) { return Mix(Mix(seed + 0x9e3779b97f4a7c15) ^ Mix(index + 1)); }

}  // namespace

absl::StatusOr<std::vector<int64_t>> SelectImages(const Dataset& dataset, int64_t count, Order order, uint64_t seed) {
  const int64_t size = dataset.size();
  if (count < 0) return absl::InvalidArgumentError(absl::StrCat(count, " images are asked for; must be at least 0"));
  if (count > size) {
    return absl::InvalidArgumentError(absl::StrCat("dataset has ", size, " images, ", count, " are asked for"));
  }
  std::vector<int64_t> indices(count == 0 ? size : count);
  if (order == Order::kFirst || count == 0) {
    std::iota(indices.begin(), indices.end(), 0);
    return indices;
  }
  std::vector<std::pair<uint64_t, int64_t>> draws(size);
  for (int64_t i = 0; i < size; ++i) draws[i] = {Draw(seed, i), i};
  std::partial_sort(draws.begin(), draws.begin() + count, draws.end());
  for (int64_t i = 0; i < count; ++i) indices[i] = draws[i].second;
  return indices;
}

}  // namespace qwt
