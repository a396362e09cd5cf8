#include "models/windows.h"

#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/roll.h"

namespace qwt {
namespace {

// What made it, and the device's index (-1: the CPU).
using Key = std::array<int64_t, 5>;

// Constants that stay: a copy to a GPU in the middle of a forward pass would make it wait.
at::Tensor Constant(Key key, at::Device device, const std::function<at::Tensor()>& make) {
  static std::mutex mutex;
  static auto* constants = new std::map<Key, at::Tensor>;
  key.back() = device.index();
  std::lock_guard<std::mutex> lock(mutex);
  at::Tensor& constant = (*constants)[key];
  if (!constant.defined()) constant = make().to(device);
  return constant;
}

at::Tensor MakeRelativePositionIndex(int64_t window) {
  at::Tensor index = at::empty({window * window * window * window}, at::kLong);
  int64_t* next = index.mutable_data_ptr<int64_t>();
  for (int64_t query = 0; query < window * window; ++query) {
    for (int64_t key = 0; key < window * window; ++key) {
      const int64_t rows = query / window - key / window, columns = query % window - key % window;
      *next++ = (rows + window - 1) * (2 * window - 1) + columns + window - 1;
    }
  }
  return index;
}

at::Tensor MakeWindowMask(const WindowGrid& grid) {
  // Before the last window; in it, but not rolled over; rolled over from the other side.
  const auto band = [&grid](int64_t position, int64_t size) {
    return position < size - grid.window ? 0 : (position < size - grid.shift ? 1 : 2);
  };
  at::Tensor regions = at::empty({1, grid.height * grid.width, 1}, at::kFloat);
  float* next = regions.mutable_data_ptr<float>();
  for (int64_t row = 0; row < grid.height; ++row) {
    for (int64_t column = 0; column < grid.width; ++column) {
      *next++ = static_cast<float>(3 * band(row, grid.height) + band(column, grid.width));
    }
  }
  const at::Tensor windows = SplitWindows(regions, {grid.height, grid.width, grid.window, /*shift=*/0});
  return windows.ne(windows.transpose(1, 2)).to(at::kFloat) * -100;
}

}  // namespace

at::Tensor SplitWindows(const at::Tensor& x, const WindowGrid& grid) {
  const int64_t window = grid.window, channels = x.size(2);
  at::Tensor image = x.reshape({x.size(0), grid.height, grid.width, channels});
  if (grid.shift > 0) image = at::roll(image, {-grid.shift, -grid.shift}, {1, 2});
  return image.reshape({x.size(0), grid.height / window, window, grid.width / window, window, channels})
      .transpose(2, 3)
      .reshape({x.size(0) * grid.windows(), window * window, channels});
}

at::Tensor MergeWindows(const at::Tensor& x, const WindowGrid& grid) {
  const int64_t window = grid.window, images = x.size(0) / grid.windows(), channels = x.size(2);
  at::Tensor image = x.reshape({images, grid.height / window, grid.width / window, window, window, channels})
                         .transpose(2, 3)
                         .reshape({images, grid.height, grid.width, channels});
  if (grid.shift > 0) image = at::roll(image, {grid.shift, grid.shift}, {1, 2});
  return image.reshape({images, grid.height * grid.width, channels});
}

at::Tensor RelativePositionIndex(int64_t window, at::Device device) {
  return Constant({window, 0, 0, 0, 0}, device, [&] { return MakeRelativePositionIndex(window); });
}

at::Tensor WindowMask(const WindowGrid& grid, at::Device device) {
  // No grid has height 0: these keys are never those of an index.
  return Constant({grid.window, grid.height, grid.width, grid.shift, 0}, device, [&] { return MakeWindowMask(grid); });
}

at::Tensor MergePatches(const at::Tensor& x, int64_t height, int64_t width) {
  // Column before row in the four: the first two are of the left column.
  return x.reshape({x.size(0), height / 2, 2, width / 2, 2, x.size(2)})
      .permute({0, 1, 3, 4, 2, 5})
      .reshape({x.size(0), height * width / 4, 4 * x.size(2)});
}

}  // namespace qwt
