// Whole files: written so that a reader sees the old content or the new, never a part of it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qwt {

// Writes the pieces one after another to a temporary file beside the target, syncs it, renames it over the target,
// syncs the folder. On any error (NotFound: no such folder; PermissionDenied; ResourceExhausted: disk full) the target
// is as it was and the temporary file is gone.
absl::Status WriteFileAtomically(const std::string& path, const std::vector<absl::string_view>& pieces);
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content);

// Writes a new file in place, syncing it: for a file in a folder that nobody else reads yet.
absl::Status WriteAndSync(const std::string& path, const std::vector<absl::string_view>& pieces);

// Makes what was written to a file, or the names in a folder, survive a crash of the machine.
absl::Status SyncPath(const std::string& path);

absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace qwt
