// Which of a checkpoint's classes a run has, and in which order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/checkpoints/layout.h"
#include "models/graph.h"

namespace qwt {

// A text file, one line for each class of the dataset in its order: the class's row in the checkpoint's head, counted
// from 0, and after a space whatever says which class that is. Lines that begin with # and empty ones are left out.
// NotFound; InvalidArgument naming file and line.
absl::StatusOr<std::vector<int64_t>> ReadClassMap(const std::string& path);

// The weights and biases of the linear layers of the head that make the graph's classes.
std::vector<std::string> ClassifierParameters(const Graph& graph);

// Takes these rows of every one of them. InvalidArgument naming `path` where the map has not as many lines as the graph
// has classes or a row is not there.
absl::Status SelectClasses(const std::string& path, const std::vector<int64_t>& rows, const Graph& graph,
                           Parameters* parameters);

}  // namespace qwt
