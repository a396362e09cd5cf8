// SHA-256 in lower-case hex: the store's keys and checksums, fingerprints, config_sha256.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qwt {

std::string Sha256(absl::string_view bytes);
absl::StatusOr<std::string> Sha256OfFile(const std::string& path);

}  // namespace qwt
