// What //pipelines:store prints and does: the store of runs as its user sees it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/store/inventory.h"

namespace qwt {

// A line for each kind of entry, the largest first; or, with `what` a kind or the beginning of a hash (6 digits or
// more) or with `each`, a line for each entry. One entry alone: its whole key. NotFound with what there is.
absl::StatusOr<std::string> StoreToText(const std::string& root, const std::string& what, bool each);

struct Verification {
  std::string text;
  int damaged = 0;  // that are still there
};
// Reads every entry; drop: and removes the damaged ones.
absl::StatusOr<Verification> VerifyStore(const std::string& root, bool drop);

// "20GB", "1.5TB", "800MB" (powers of ten), "20GiB" or bytes; "30d", "12h", "2w". InvalidArgument with what is allowed.
absl::StatusOr<Keep> ParseKeep(const std::vector<std::string>& values);

// Says what it removes, or would.
absl::StatusOr<std::string> CollectToText(const std::string& root, const Keep& keep, bool dry_run);

}  // namespace qwt
