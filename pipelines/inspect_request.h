// What //models:inspect is asked for.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/graph.h"
#include "models/parameters.h"

namespace qwt {

struct InspectRequest {
  Graph graph;
  Weights weights;  // no files: the network alone
};

// `network`: a registered model, or the path of a config, of which only the model section is read. Overrides are
// model.KEY=VALUE; `weights` (may be empty) stands for model.weights=[…]. InvalidArgument with all that is wrong, in
// the words of a run.
absl::StatusOr<InspectRequest> CheckInspectRequest(const std::string& network,
                                                   const std::vector<std::string>& overrides,
                                                   const std::vector<std::string>& weights);

}  // namespace qwt
