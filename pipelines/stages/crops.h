// The crop cache of a stage that evaluates.
#pragma once

#include <memory>
#include <string>

#include "pipelines/stage.h"

namespace qwt {

// The cache of these images' crops; a problem at `where` where the store's disk has no room for it.
std::shared_ptr<CropCache> PlanCrops(const Planning& planning, const ImageList& images, const std::string& where,
                                     Problems* problems);

// Decodes what the stage's crop cache lacks, each rank its share, then maps it.
absl::Status FillCrops(const PlannedStage& plan, RunContext& context, StageOutcome* outcome);

}  // namespace qwt
