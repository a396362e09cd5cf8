// Residual networks (He et al., arXiv 1512.03385) in the form called v1.5: a bottleneck's stride is at its 3x3
// convolution. Names as in torchvision.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/graph.h"

namespace qwt {

struct ResnetConfig {
  int64_t image = 224;      // pixels of a side
  bool bottleneck = false;  // blocks of 1x1, 3x3, 1x1 that make four times their width, not of two 3x3
  std::vector<int64_t> blocks = {2, 2, 2, 2};  // of each layer; at least one layer
  int64_t width = 64;  // channels of the stem and of the first layer; each later one doubles them
  int64_t classes = 1000;
  double epsilon = 1e-5;  // of every BatchNorm
};

// Blocks "layer1.0", "layer1.1", ...; each layer but the first halves the image in its first block.
Graph BuildResnet(const std::string& name, const ResnetConfig& config);

}  // namespace qwt
