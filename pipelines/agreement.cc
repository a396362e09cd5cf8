#include "pipelines/agreement.h"

#include <cstring>
#include <string>
#include <vector>

#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status.h"

namespace qwt {
namespace {

// The text that each rank gives, by rank.
absl::StatusOr<std::vector<std::string>> GatherText(const std::string& text, Communicator& comm) {
  at::Tensor size = at::zeros({1}, at::kLong).fill_(static_cast<int64_t>(text.size()));
  QWT_ASSIGN_OR_RETURN(const at::Tensor sizes, AllGather(size, comm));
  at::Tensor bytes = at::zeros({std::max<int64_t>(1, sizes.max().item<int64_t>())}, at::kByte);
  std::memcpy(bytes.mutable_data_ptr(), text.data(), text.size());
  QWT_ASSIGN_OR_RETURN(const at::Tensor all, AllGather(bytes, comm));
  std::vector<std::string> texts;
  for (int rank = 0; rank < comm.size(); ++rank) {
    const at::Tensor row = all.select(0, rank);
    texts.emplace_back(static_cast<const char*>(row.const_data_ptr()), sizes.const_data_ptr<int64_t>()[rank]);
  }
  return texts;
}

// The ranks' texts where they differ from rank 0's: the first such rank; 0 for none.
int FirstOther(const std::vector<std::string>& texts) {
  for (size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank] != texts[0]) return static_cast<int>(rank);
  }
  return 0;
}

std::string KeysOf(const PlannedStage& stage) {
  std::string text;
  for (const StoreKey& key : stage.keys) absl::StrAppend(&text, key.hash(), "\n");
  return Sha256(text);
}

// A rank that found no fault must not go on without those that did.
absl::Status AgreeOnStatus(const absl::Status& status, Communicator& comm) {
  const std::string message(status.message());
  at::Tensor code = at::zeros({1}, at::kLong).fill_(static_cast<int64_t>(status.code()));
  QWT_ASSIGN_OR_RETURN(const at::Tensor codes, AllGather(code, comm));
  QWT_ASSIGN_OR_RETURN(const std::vector<std::string> messages, GatherText(message, comm));
  for (int rank = 0; rank < comm.size(); ++rank) {
    const auto found = static_cast<absl::StatusCode>(codes.const_data_ptr<int64_t>()[rank]);
    if (found == absl::StatusCode::kOk) continue;
    // What rank 0 finds is most often found by all.
    return absl::Status(found,
                        rank == 0 ? messages[rank] : absl::StrCat("on rank ", rank, " alone:\n", messages[rank]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AgreeOnPlan(const absl::StatusOr<Plan>& plan, Communicator& comm) {
  if (comm.size() == 1) return plan.status();
  QWT_RETURN_IF_ERROR(AgreeOnStatus(plan.status(), comm));
  for (const PlannedStage& stage : plan->stages) {
    QWT_ASSIGN_OR_RETURN(const std::vector<std::string> images, GatherText(stage.images.fingerprint, comm));
    if (const int rank = FirstOther(images)) {
      return absl::InvalidArgumentError(absl::StrCat(
          stage.name, ": rank ", rank, " sees other images than rank 0 (", images[rank].substr(0, 12), " and ",
          images[0].substr(0, 12), " for the same ", stage.images.indices.size(),
          "): all ranks need the same files under dataset.root, with the same sizes and times of last change"));
    }
    QWT_ASSIGN_OR_RETURN(const std::vector<std::string> keys, GatherText(KeysOf(stage), comm));
    if (const int rank = FirstOther(keys)) {
      return absl::InvalidArgumentError(absl::StrCat(stage.name, ": rank ", rank,
                                                     " would compute something else than rank 0: all ranks need the "
                                                     "same config, weights and version of the program"));
    }
  }
  return absl::OkStatus();
}

}  // namespace qwt
