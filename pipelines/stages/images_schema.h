// What calibrate and fit share: which training images they take.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipelines/stage.h"

namespace qwt {

// images, order, transform.
Schema ImagesSchema(int64_t default_images);
ImageList PlanTrainImages(Planning& planning, const std::string& section, Problems* problems);
int64_t ImagesOfRank(const ImageList& images, const Planning& planning);
// All of this rank's batches at once, without those of which every image was skipped; the first `sharers` ranks have
// some (0: all ranks). Every rank calls. Keeps in the store which were skipped.
absl::StatusOr<std::vector<Batch>> LoadBatches(RunContext& context, const ImageList& images, StageOutcome* outcome,
                                               int sharers = 0);
// The same one after another, in order.
absl::Status ForEachBatch(RunContext& context, const ImageList& images, StageOutcome* outcome,
                          const std::function<absl::Status(Batch batch)>& function, int sharers = 0);
// For a stage whose values came from the store: what was skipped when they were made.
absl::Status RecallSkipped(RunContext& context, const ImageList& images, StageOutcome* outcome);

}  // namespace qwt
