// How a program ends.
#pragma once

#include "absl/status/status.h"

namespace qwt {

enum ExitCode { kDone = 0, kRunFailed = 1, kRequestWrong = 2, kInterrupted = 130 };

// Whether what was asked for is at fault: an option, a missing file or a damaged one.
inline bool IsRequestWrong(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsNotFound(status) || absl::IsDataLoss(status) ||
         absl::IsPermissionDenied(status);
}

}  // namespace qwt
