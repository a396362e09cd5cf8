#include <array>
#include <cstdint>

#include "ATen/ops/empty.h"
#include "data/transform.h"

namespace qwt {

void NormaliseInto(const at::Tensor& crop, const Preset& preset, float* target) {
  const at::Tensor source = crop.contiguous();
  const int64_t area = source.size(0) * source.size(1);
  const uint8_t* input = source.const_data_ptr<uint8_t>();
  for (int c = 0; c < 3; ++c) {
    const float mean = static_cast<float>(preset.mean[c]), std = static_cast<float>(preset.std[c]);
    std::array<float, 256> values;
    for (int byte = 0; byte < 256; ++byte) values[byte] = (static_cast<float>(byte) / 255.0f - mean) / std;
    float* output = target + c * area;
    for (int64_t i = 0; i < area; ++i) output[i] = values[input[3 * i + c]];
  }
}

at::Tensor Normalise(const at::Tensor& crop, const Preset& preset) {
  at::Tensor result = at::empty({3, crop.size(0), crop.size(1)}, at::kFloat);
  NormaliseInto(crop, preset, result.mutable_data_ptr<float>());
  return result;
}

}  // namespace qwt
