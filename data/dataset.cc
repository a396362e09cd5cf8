#include "data/dataset.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/random.h"

namespace qwt {

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
  for (int64_t i = 0; i < size; ++i) draws[i] = {RandomWord(seed, i), i};
  std::partial_sort(draws.begin(), draws.begin() + count, draws.end());
  for (int64_t i = 0; i < count; ++i) indices[i] = draws[i].second;
  return indices;
}

}  // namespace qwt
