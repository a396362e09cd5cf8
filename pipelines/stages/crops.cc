#include "pipelines/stages/crops.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_format.h"
#include "core/base/disk.h"

namespace qwt {

std::shared_ptr<CropCache> PlanCrops(const Planning& planning, const ImageList& images, const std::string& where,
                                     Problems* problems) {
  if (images.fingerprint.empty()) return nullptr;  // its problem is told
  auto planned = CropCache::Plan(*images.dataset, images.indices, images.input);
  if (!planned.ok()) {
    problems->Add(where, std::string(planned.status().message()));
    return nullptr;
  }
  const std::string& store = planning.request.Of("runtime").String("store");
  const int64_t missing_bytes = planned->MissingBytes(store), free_bytes = FreeBytes(store);
  if (missing_bytes > free_bytes) {
    problems->Add(where,
                  absl::StrFormat("the decoded crops take %.2f GB in the store '%s', whose disk has %.2f GB free; "
                                  "make room, choose another store with runtime.store=DIR or evaluate without",
                                  missing_bytes / 1e9, store, free_bytes / 1e9));
  }
  return std::make_shared<CropCache>(*std::move(planned));
}

absl::Status FillCrops(const PlannedStage& plan, RunContext& context, StageOutcome* outcome) {
  const auto start = std::chrono::steady_clock::now();
  const Communicator& comm = context.comm;
  context.progress.Begin("decode into the crop cache", plan.images.indices.size(), "images");
  const CropCache::Share share = {comm.rank(), comm.size(), context.threads, SkipsBadImages(context.request),
                                  [&](int64_t images) { context.progress.Advance(images * comm.size()); }};
  QWT_RETURN_IF_ERROR(plan.crops->Make(context.store, share));
  QWT_RETURN_IF_ERROR(context.comm.Barrier());
  QWT_RETURN_IF_ERROR(plan.crops->Open(context.store));
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  outcome->load_seconds += elapsed.count();
  return absl::OkStatus();
}

}  // namespace qwt
