// What the communicators over c10d share: checks, and errors that name the collective.
#pragma once

#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/comm/rank_settings.h"

namespace qwt {

// Whether AllReduceSum can take it, and whether it lies as collectives need it.
bool CanBeSummed(const at::Tensor& tensor);

// "all-reduce of float64 [3, 197]".
std::string NameCollective(absl::string_view operation, const at::Tensor& tensor);

// Unavailable: "rank 1 of 4: COLLECTIVE failed: another rank has ended or is more than 300 s late
// (QWT_COMM_TIMEOUT_SECONDS): WHY".
absl::Status CollectiveFailed(const RankSettings& settings, absl::string_view collective, absl::string_view why);

}  // namespace qwt
