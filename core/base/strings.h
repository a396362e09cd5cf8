// Small text helpers for messages.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace qwt {

// The candidate nearest to `name` by edit distance, or "" where none is near enough to be meant (more than a third of
// its letters off, unless it begins with `name`).
std::string NearestName(absl::string_view name, const std::vector<std::string>& candidates);
// The `count` candidates nearest to `name` by edit distance, however far; the nearest first, of equally near ones in
// the candidates' order.
std::vector<std::string> NearestNames(absl::string_view name, const std::vector<std::string>& candidates, size_t count);
// " (did you mean 'x'?)" or "".
std::string DidYouMean(absl::string_view name, const std::vector<std::string>& candidates);

}  // namespace qwt
