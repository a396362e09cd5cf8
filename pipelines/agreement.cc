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

}  // namespace

// A rank that found no fault must not go on without those that did.
absl::Status AgreeOnStatus(const absl::Status& status, Communicator& comm) {
  if (comm.size() == 1) return status;
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

absl::Status AgreeOnDevice(at::Device device, Communicator& comm) {
  if (comm.size() == 1) return absl::OkStatus();
  const auto name = [](bool is_gpu) { return is_gpu ? "a GPU" : "the CPU"; };
  QWT_ASSIGN_OR_RETURN(const std::vector<std::string> kinds, GatherText(name(device.is_cuda()), comm));
  const int rank = FirstOther(kinds);
  if (rank == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " computes on ", kinds[rank], " and rank 0 on ",
                                                 kinds[0],
                                                 ": results would depend on who computes what; runtime.device: cpu, or "
                                                 "cuda with a GPU for each, makes them alike"));
}

absl::Status AgreeOnBatchSizes(Plan* plan, Communicator& comm) {
  if (comm.size() == 1) return absl::OkStatus();
  at::Tensor own = at::zeros({static_cast<int64_t>(plan->stages.size())}, at::kLong);
  for (size_t i = 0; i < plan->stages.size(); ++i) {
    own.mutable_data_ptr<int64_t>()[i] = plan->stages[i].images.batch_size;
  }
  QWT_ASSIGN_OR_RETURN(const at::Tensor all, AllGather(own, comm));
  const at::Tensor smallest = all.amin(0);
  for (size_t i = 0; i < plan->stages.size(); ++i) {
    plan->stages[i].images.batch_size = smallest.const_data_ptr<int64_t>()[i];
  }
  return absl::OkStatus();
}

absl::Status AgreeOnPlan(const absl::StatusOr<Plan>& plan, Communicator& comm) {
  QWT_RETURN_IF_ERROR(AgreeOnStatus(plan.status(), comm));
  if (comm.size() == 1) return absl::OkStatus();
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
