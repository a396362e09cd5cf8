// The fit of every compensator that is a layer found by least squares, R ≈ XW + b: the same sums, gate and record; what
// the rows of X and R are is the layer's own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "qwt/compensator.h"
#include "qwt/compensators/common/fit_options.h"

namespace qwt {

// A layer of groups: each maps its own C inputs to its own K outputs.
struct LeastSquaresLayer {
  int64_t groups = 1;
  bool ridge_of_bias = false;  // whether the ridge is of b too
  // Where set, R² is about the mean over images at each value of one image's residual, which has this shape; else about
  // each channel's mean over all rows.
  std::vector<int64_t> mean_by_position = {};
  // Of one image or more, any strides; the same sizes between the groups and the last.
  std::function<at::Tensor(const at::Tensor& x)> inputs;              // -> [groups, ..., C]
  std::function<at::Tensor(const at::Tensor& residual)> targets;      // -> [groups, ..., K]
  std::function<at::Tensor(const at::Tensor& weight)> stored_weight;  // [groups, C, K] -> as it is applied
};

std::unique_ptr<BlockFit> MakeLeastSquaresFit(std::string block, int index, const FitOptions& options,
                                              LeastSquaresLayer layer);

// What such a fit holds at most: the sums of `groups` groups of `inputs` to `targets` and of `positions` values, twice:
// of the images that a gate keeps aside and of the others; what is solved from them; and `rows` rows of every group in
// float64 beside the float32 ones they are made of, of which a large batch holds a part at a time.
int64_t LeastSquaresBytes(const FitOptions& options, int64_t groups, int64_t inputs, int64_t targets, int64_t positions,
                          int64_t rows);

}  // namespace qwt
