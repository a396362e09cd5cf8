// Networks by name. What registers them: //models:all_components.
#pragma once

#include "core/registry/registry.h"
#include "models/graph.h"

namespace qwt {

inline constexpr char kModelKind[] = "model";
using ModelRegistry = Registry<Graph, kModelKind>;

}  // namespace qwt
