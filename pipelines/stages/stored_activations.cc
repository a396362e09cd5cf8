#include "pipelines/stages/stored_activations.h"

#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/mapped_file.h"
#include "core/store/inventory.h"
#include "core/tensor/safetensors.h"

namespace qwt {
namespace {

constexpr char kKind[] = "activations", kInput[] = "input", kQuantizedOutput[] = "quantized", kFloatOutput[] = "float";

}  // namespace

StoredActivations::StoredActivations(RunContext& context, const PlannedStage& plan) : context_(context), plan_(plan) {}

std::vector<int64_t> StoredActivations::Batches() const {
  const int64_t images = plan_.images.indices.size(), size = plan_.images.batch_size;
  std::vector<int64_t> batches;
  for (int64_t batch = context_.comm.rank(); batch * size < images; batch += context_.comm.size()) {
    batches.push_back(batch);
  }
  return batches;
}

StoreKey StoredActivations::KeyOf(const BlockPlace& place, int64_t batch) const {
  return StoreKey(kKind, 1)
      .Add("of", plan_.values_key)
      .Add("cut", absl::StrCat("batches of ", plan_.images.batch_size))
      .Add("after", place.applied)
      .Add("batch", absl::StrCat(batch))
      .Add("block", place.block);
}

// Of this rank alone.
absl::StatusOr<BlockValues> StoredActivations::FindOwn(const BlockPlace& place) {
  BlockValues values;
  const std::vector<int64_t> batches = Batches();
  // All, before the checksums of any are read.
  for (const int64_t batch : batches) {
    if (!context_.store.Contains(KeyOf(place, batch))) return values;
  }
  for (const int64_t batch : batches) {
    pinned_.push_back(KeyOf(place, batch));
    QWT_ASSIGN_OR_RETURN(const auto payload, context_.store.Lookup(pinned_.back()));
    if (!payload.has_value()) return values;
    QWT_ASSIGN_OR_RETURN(const std::shared_ptr<MappedFile> mapped, MappedFile::Open(*payload));
    QWT_ASSIGN_OR_RETURN(const TensorFile file, ParseSafetensors(mapped, *payload));
    values.inputs[batch] = {file.tensors.at(kInput), mapped};
    if (file.tensors.count(kQuantizedOutput) == 0) continue;
    values.quantized[batch] = {file.tensors.at(kQuantizedOutput), mapped};
    values.floats[batch] = {file.tensors.at(kFloatOutput), mapped};
  }
  values.inputs_found = true;
  values.outputs_found = values.quantized.size() == batches.size();
  return values;
}

absl::StatusOr<BlockValues> StoredActivations::Find(const BlockPlace& place) {
  for (const StoreKey& key : pinned_) context_.store.Unpin(key);
  pinned_.clear();
  // Which images a batch has is known only where none is left out.
  if (SkipsBadImages(context_.request)) return BlockValues();
  QWT_ASSIGN_OR_RETURN(BlockValues values, FindOwn(place));
  at::Tensor lacking = at::zeros({2}, at::kLong);
  lacking[0] = values.inputs_found ? 0 : 1;
  lacking[1] = values.outputs_found ? 0 : 1;
  QWT_RETURN_IF_ERROR(context_.comm.AllReduceSum(lacking));
  values.inputs_found = lacking[0].item<int64_t>() == 0;
  values.outputs_found = lacking[1].item<int64_t>() == 0;
  return values;
}

absl::Status StoredActivations::Begin(const BlockPlace& place, int64_t input_bytes) {
  place_ = place;
  keeps_ = false;
  const int64_t budget = plan_.cache.store_bytes;
  if (budget == 0 || SkipsBadImages(context_.request)) return absl::OkStatus();
  at::Tensor room = at::zeros({1}, at::kLong);
  const int64_t needed = input_bytes * (place.applied.empty() ? 3 : 1) * context_.comm.size();
  if (context_.comm.rank() == 0 && needed <= budget) {
    const auto left = CollectStore(context_.store.root(), {budget - needed, {}, kKind}, /*dry_run=*/false);
    if (left.ok() && left->left_bytes + needed <= budget) room[0] = 1;
  }
  QWT_RETURN_IF_ERROR(context_.comm.Broadcast(room, 0));
  keeps_ = room[0].item<int64_t>() == 1;
  if (!keeps_) {
    QWT_LOG(INFO) << "fit: runtime.stored_cache_bytes has no room for the values of " << place.block;
  }
  return absl::OkStatus();
}

void StoredActivations::Keep(int64_t batch, const at::Tensor& input, const at::Tensor& quantized,
                             const at::Tensor& y_float) {
  if (!keeps_) return;
  TensorFile file;
  file.tensors[kInput] = input.cpu();
  if (place_.applied.empty()) {
    file.tensors[kQuantizedOutput] = quantized.cpu();
    file.tensors[kFloatOutput] = y_float.cpu();
  }
  const StoreKey key = KeyOf(place_, batch);
  const absl::Status status =
      context_.store.Put(key, [&](const std::string& path) { return WriteSafetensors(path, file); }).status();
  context_.store.Unpin(key);
  if (!status.ok() && keeps_.exchange(false)) QWT_LOG(WARNING) << "fit: " << status.message();
}

}  // namespace qwt
