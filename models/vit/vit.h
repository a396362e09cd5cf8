// Vision transformers: ViT (Dosovitskiy et al., arXiv 2010.11929) and DeiT (Touvron et al., arXiv 2012.12877), names as
// in timm 0.4.12.
#pragma once

#include <cstdint>
#include <string>

#include "models/graph.h"

namespace qwt {

struct VitConfig {
  int64_t image = 224;  // pixels of a side
  int64_t patch = 16;   // pixels of a side; divides image
  int64_t width = 384;  // channels of a token; divisible by heads
  int64_t depth = 12;   // blocks
  int64_t heads = 6;
  double mlp_ratio = 4;  // hidden channels of the MLP over width
  int64_t classes = 1000;
  bool qkv_bias = true;
  bool distilled = false;  // a second token and head; the logits are the mean of both heads'
  double epsilon = 1e-6;   // of every LayerNorm
};

// The config's divisibility must hold. Tokens: class, (distillation,) then patches row by row.
Graph BuildVit(const std::string& name, const VitConfig& config);

}  // namespace qwt
