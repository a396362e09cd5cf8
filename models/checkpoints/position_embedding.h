// Position embeddings for another image size than the network was trained with.
#pragma once

#include <cstdint>

#include "ATen/core/Tensor.h"
#include "models/graph.h"

namespace qwt {

// Whether `spec` is the embedding of `prefix` tokens and a square grid of patches, and `shape` that of another grid.
bool IsOtherGrid(const ParameterSpec& spec, at::IntArrayRef shape, int64_t prefix);

// [1, prefix + s², C] -> [1, tokens, C]: the first `prefix` tokens as they are, the grid by bicubic interpolation
// (a = -0.75, half-pixel centres, no antialiasing), as timm 0.4.12 does. float32.
at::Tensor ResizePositionEmbedding(const at::Tensor& embedding, int64_t prefix, int64_t tokens);

// How many tokens stand before the patches, and the embedding's name: "" for a network without one.
struct PositionEmbedding {
  std::string name;
  int64_t prefix = 0;
};
PositionEmbedding FindPositionEmbedding(const Graph& graph);

}  // namespace qwt
