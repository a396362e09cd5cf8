// What calibrate and fit share: which training images they take.
#pragma once

#include <string>
#include <vector>

#include "pipelines/stage.h"

namespace qwt {

// images, order, transform.
Schema ImagesSchema(int64_t default_images);
ImageList PlanTrainImages(Planning& planning, const std::string& section, Problems* problems);
int64_t ImagesOfRank(const ImageList& images, const Planning& planning);
// All of this rank's images at once: one tensor a batch, [n, 3, height, width]. Keeps in the store which were skipped.
absl::StatusOr<std::vector<at::Tensor>> LoadBatches(RunContext& context, const ImageList& images,
                                                    StageOutcome* outcome);
// For a stage whose values came from the store: what was skipped when they were made.
absl::Status RecallSkipped(RunContext& context, const ImageList& images, StageOutcome* outcome);

}  // namespace qwt
