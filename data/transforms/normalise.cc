#include <array>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "ATen/ops/empty.h"
#include "data/transform.h"
#include "data/transforms/avx2.h"

namespace qwt {
namespace {

#if defined(__x86_64__)

// One channel of pixels [0, done), eight at a time, each operation rounded as in NormaliseInto. Returns done; reads no
// byte behind the last pixel.
__attribute__((target("avx2"))) int64_t NormaliseAvx2(const uint8_t* pixels, int64_t area, int channel, float mean,
                                                      float std, float* output) {
  const char z = -1;
  // The channel's bytes of eight pixels: five are in the first 16 bytes, three in the 16 from the ninth on.
  const __m128i first = _mm_setr_epi8(0, 3, 6, 9, 12, z, z, z, z, z, z, z, z, z, z, z);
  const __m128i second = _mm_setr_epi8(z, z, z, z, z, 7, 10, 13, z, z, z, z, z, z, z, z);
  const __m256 scale = _mm256_set1_ps(255.0f), means = _mm256_set1_ps(mean), stds = _mm256_set1_ps(std);
  int64_t i = 0;
  for (; 3 * i + channel + 24 <= 3 * area; i += 8) {
    const uint8_t* bytes = pixels + 3 * i + channel;
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 8));
    const __m128i chosen = _mm_or_si128(_mm_shuffle_epi8(low, first), _mm_shuffle_epi8(high, second));
    const __m256 values = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(chosen));
    _mm256_storeu_ps(output + i, _mm256_div_ps(_mm256_sub_ps(_mm256_div_ps(values, scale), means), stds));
  }
  return i;
}

#else

int64_t NormaliseAvx2(const uint8_t*, int64_t, int, float, float, float*) { return 0; }

#endif

}  // namespace

void NormaliseInto(const at::Tensor& crop, const Preset& preset, float* target) {
  const at::Tensor source = crop.contiguous();
  const int64_t area = source.size(0) * source.size(1);
  const uint8_t* input = source.const_data_ptr<uint8_t>();
  for (int c = 0; c < 3; ++c) {
    const float mean = static_cast<float>(preset.mean[c]), std = static_cast<float>(preset.std[c]);
    float* output = target + c * area;
    int64_t i = HasAvx2() ? NormaliseAvx2(input, area, c, mean, std, output) : 0;
    std::array<float, 256> values;
    for (int byte = 0; byte < 256; ++byte) values[byte] = (static_cast<float>(byte) / 255.0f - mean) / std;
    for (; i < area; ++i) output[i] = values[input[3 * i + c]];
  }
}

at::Tensor Normalise(const at::Tensor& crop, const Preset& preset) {
  at::Tensor result = at::empty({3, crop.size(0), crop.size(1)}, at::kFloat);
  NormaliseInto(crop, preset, result.mutable_data_ptr<float>());
  return result;
}

}  // namespace qwt
