// Images by formula: for measurements of speed, and for trying a network without a file of images.
#pragma once

#include <cstdint>
#include <memory>

#include "data/dataset.h"

namespace qwt {

struct GeneratedOptions {
  int64_t images = 10000, train_images = 2048;  // in the evaluation and the training split
  int64_t classes = 1000;                       // labels are the index modulo this
  int64_t side = 256;                           // images are side x side, at most 4096
};

// Smooth blobs of colour: each channel is a sum of three products of a wave down and a wave across, whose lengths,
// phases and strengths are drawn by split and index. The same picture at any side, coarser or finer.
std::unique_ptr<Dataset> MakeGenerated(const GeneratedOptions& options, Split split);

}  // namespace qwt
