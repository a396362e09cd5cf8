#include "core/comm/collective.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "c10/core/ScalarType.h"

namespace qwt {

bool CanBeSummed(const at::Tensor& tensor) {
  const at::ScalarType type = tensor.scalar_type();
  return tensor.is_contiguous() && (type == at::kFloat || type == at::kDouble || type == at::kLong);
}

std::string NameCollective(absl::string_view operation, const at::Tensor& tensor) {
  return absl::StrCat(operation, " of ", absl::AsciiStrToLower(c10::toString(tensor.scalar_type())), " [",
                      absl::StrJoin(tensor.sizes(), ", "), "]");
}

absl::Status CollectiveFailed(const RankSettings& settings, absl::string_view collective, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("rank ", settings.rank, " of ", settings.size, ": ", collective,
                                             " failed: another rank has ended or is more than ",
                                             settings.timeout_seconds, " s late (QWT_COMM_TIMEOUT_SECONDS): ", why));
}

}  // namespace qwt
