#include "data/transforms/normalise.h"

#include <array>
#include <cstdint>

#include "ATen/ops/empty.h"

namespace qwt {

at::Tensor Normalise(const at::Tensor& pixels, const Preset& preset) {
  const at::Tensor source = pixels.contiguous();
  const int64_t area = source.size(0) * source.size(1);
  at::Tensor result = at::empty({3, source.size(0), source.size(1)}, at::kFloat);
  const uint8_t* input = source.const_data_ptr<uint8_t>();
  for (int c = 0; c < 3; ++c) {
    const float mean = static_cast<float>(preset.mean[c]), std = static_cast<float>(preset.std[c]);
    std::array<float, 256> values;
    for (int byte = 0; byte < 256; ++byte) values[byte] = (static_cast<float>(byte) / 255.0f - mean) / std;
    float* output = result.mutable_data_ptr<float>() + c * area;
    for (int64_t i = 0; i < area; ++i) output[i] = values[input[3 * i + c]];
  }
  return result;
}

}  // namespace qwt
