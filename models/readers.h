// Which nodes read a segment's values.
#pragma once

#include <vector>

#include "models/graph.h"

namespace qwt {

// By value: the indices of the nodes that read it, in their order, a node as often as it does.
std::vector<std::vector<int>> ReadersOf(const Segment& segment);

}  // namespace qwt
