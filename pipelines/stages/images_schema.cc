#include "pipelines/stages/images_schema.h"

#include <algorithm>

#include "ATen/ops/empty.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "core/base/interrupt.h"
#include "core/base/log.h"

namespace qwt {
namespace {

// Which of the listed images were left out when they were loaded.
StoreKey SkippedKey(const ImageList& images) { return StoreKey("skipped", 1).Add("images", images.fingerprint); }

// The bad images that any rank met.
absl::Status GatherSkipped(RunContext& context, const ImageList& images, const Loader& loader, StageOutcome* outcome) {
  const int64_t count = images.indices.size();
  at::Tensor bad = at::zeros({count}, at::kLong);
  for (const SkippedImage& image : loader.skipped()) {
    QWT_LOG(INFO) << "skipped: " << image.message;
    bad[image.position] = 1;
  }
  QWT_RETURN_IF_ERROR(context.comm.AllReduceSum(bad));
  for (int64_t i = 0; i < count; ++i) {
    if (bad.const_data_ptr<int64_t>()[i] > 0) outcome->skipped.push_back(i);
  }
  return CheckSomeAreLeft(*outcome, count);
}

}  // namespace

Schema ImagesSchema(int64_t default_images) {
  return {{Option::Int("images", "How many images of the training split.")
               .Range(1, 1e9)
               .Default(absl::StrCat(default_images)),
           Option::String("order", "Which: the first of the split, or drawn without repetition by the seed.")
               .OneOf({"first", "random"})
               .Default("random"),
           Option::String("transform",
                          "How they are prepared. train: as published for QwT, a random part of the photograph, "
                          "mirrored or not, changed by RandAugment, all drawn by seed and image. eval: as evaluation "
                          "does, which RepQ-ViT's own code calibrates with.")
               .OneOf({"train", "eval"})
               .Default("train")}};
}

ImageList PlanTrainImages(Planning& planning, const std::string& section, Problems* problems) {
  const Options& options = planning.request.Of(section);
  return PlanImages(
      planning,
      {Split::kTrain, options.Int("images"), options.String("order") == "first" ? Order::kFirst : Order::kRandom,
       options.String("transform") == "train" ? Transform::kTrain : Transform::kEval},
      section, problems);
}

int64_t ImagesOfRank(const ImageList& images, const Planning& planning) {
  const int64_t count = images.indices.size();
  return (count + planning.world_size - 1) / planning.world_size;
}

absl::Status ForEachBatch(RunContext& context, const ImageList& images, StageOutcome* outcome,
                          const std::function<absl::Status(Batch batch)>& function, int sharers) {
  std::unique_ptr<Loader> loader = MakeLoader(context, images, /*crops=*/nullptr, sharers);
  context.progress.Begin("decode", images.indices.size(), "images");
  while (true) {
    QWT_RETURN_IF_ERROR(CheckInterrupt());
    QWT_ASSIGN_OR_RETURN(std::optional<Batch> batch, loader->Next());
    if (!batch.has_value()) break;
    context.progress.Advance(batch->labels.size(0) * (sharers == 0 ? context.comm.size() : sharers));
    if (batch->labels.size(0) > 0) QWT_RETURN_IF_ERROR(function(*std::move(batch)));
  }
  outcome->load_seconds = loader->waited_seconds();
  outcome->transfer_seconds = loader->transfer_seconds();
  if (!SkipsBadImages(context.request)) return absl::OkStatus();
  QWT_RETURN_IF_ERROR(GatherSkipped(context, images, *loader, outcome));
  TensorFile file;
  file.tensors["positions"] = at::empty({static_cast<int64_t>(outcome->skipped.size())}, at::kLong);
  std::copy(outcome->skipped.begin(), outcome->skipped.end(), file.tensors["positions"].mutable_data_ptr<int64_t>());
  return StoreEntry(context, SkippedKey(images), file);
}

absl::StatusOr<std::vector<Batch>> LoadBatches(RunContext& context, const ImageList& images, StageOutcome* outcome,
                                               int sharers) {
  std::vector<Batch> batches;
  const auto add = [&](Batch batch) {
    batches.push_back(std::move(batch));
    return absl::OkStatus();
  };
  QWT_RETURN_IF_ERROR(ForEachBatch(context, images, outcome, add, sharers));
  return batches;
}

absl::Status RecallSkipped(RunContext& context, const ImageList& images, StageOutcome* outcome) {
  if (!SkipsBadImages(context.request)) return absl::OkStatus();
  QWT_ASSIGN_OR_RETURN(auto payloads, LookupEntries(context, {SkippedKey(images)}));
  // Removed, or damaged and dropped: decoding tells it again.
  if (!payloads[0].has_value()) return LoadBatches(context, images, outcome).status();
  QWT_ASSIGN_OR_RETURN(const TensorFile file, ReadSafetensors(*payloads[0]));
  const at::Tensor& positions = file.tensors.at("positions");
  const int64_t* first = positions.const_data_ptr<int64_t>();
  outcome->skipped.assign(first, first + positions.numel());
  return absl::OkStatus();
}

}  // namespace qwt
