// Swin transformers (Liu et al., arXiv 2103.14030), names as in timm 0.4.12.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/graph.h"

namespace qwt {

struct SwinConfig {
  int64_t image = 224;                          // pixels of a side
  int64_t patch = 4;                            // pixels of a side
  int64_t window = 7;                           // tokens of a side; a stage with fewer has one window of all its tokens
  int64_t width = 96;                           // channels of a token in the first stage; each later one doubles them
  std::vector<int64_t> depths = {2, 2, 6, 2};   // blocks of each stage
  std::vector<int64_t> heads = {3, 6, 12, 24};  // of each stage
  double mlp_ratio = 4;                         // hidden channels of the MLP over the stage's width
  int64_t classes = 1000;
  bool qkv_bias = true;
  double epsilon = 1e-5;  // of every LayerNorm
};

// One stage: a square of resolution * resolution tokens.
struct SwinStage {
  int64_t resolution, width, depth, heads, window;
};
// `depths` and `heads` must have one length.
std::vector<SwinStage> SwinStages(const SwinConfig& config);

// patch must divide image, every stage's window its resolution and heads its width, and 2 the resolution of every stage
// but the last. Each odd block shifts its windows by half a window where there are several. The patch merging at a
// stage's end is a transition, "layers.0.downsample".
Graph BuildSwin(const std::string& name, const SwinConfig& config);

}  // namespace qwt
