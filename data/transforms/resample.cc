#include "data/transforms/resample.h"

#include <algorithm>
#include <cstring>

#include "data/transforms/avx2.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qwt {
namespace {

constexpr int kChannels = kResampleChannels;
constexpr int32_t kHalf = 1 << (kResampleBits - 1);
constexpr int kLowerBits = 11;  // so that both parts of a weight below 16 are 16-bit numbers
constexpr int64_t kGroup = 4;   // taps of one vector step
constexpr int64_t kVectorBytes = 16;

uint8_t ToByte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kResampleBits, 0, 255)); }

// Four 16-bit numbers in one word, the first lowest.
int64_t Pack(const int32_t (&values)[kGroup]) {
  uint64_t word = 0;
  for (int i = 0; i < kGroup; ++i) word |= static_cast<uint64_t>(static_cast<uint16_t>(values[i])) << (16 * i);
  return static_cast<int64_t>(word);
}

}  // namespace

RowResampler::RowResampler(const std::vector<Taps>& taps, int64_t inputs)
    : taps_(taps), inputs_(inputs), vectorised_(HasAvx2()) {
  if (!vectorised_) return;
  int64_t most = 0;
  for (const Taps& output : taps_) {
    const int64_t count = output.weights.size();
    most = std::max(most, count);
    for (int64_t i = 0; i < count; i += kGroup) {
      int32_t upper[kGroup] = {}, lower[kGroup] = {};
      for (int64_t k = i; k < std::min(count, i + kGroup); ++k) {
        upper[k - i] = output.weights[k] >> kLowerBits;
        lower[k - i] = output.weights[k] & ((1 << kLowerBits) - 1);
      }
      upper_.push_back(Pack(upper));
      lower_.push_back(Pack(lower));
    }
    groups_.push_back((count + kGroup - 1) / kGroup);
  }
  row_.resize(inputs * kChannels + kGroup * kChannels + kVectorBytes);
}

void RowResampler::Run(const uint8_t* source, uint8_t* target) {
  vectorised_ ? RunAvx2(source, target) : RunScalar(source, target);
}

void RowResampler::RunScalar(const uint8_t* source, uint8_t* target) const {
  for (const Taps& taps : taps_) {
    int32_t sums[kChannels] = {kHalf, kHalf, kHalf};
    const uint8_t* pixel = source + taps.first * kChannels;
    for (int32_t weight : taps.weights) {
      for (int c = 0; c < kChannels; ++c) sums[c] += weight * pixel[c];
      pixel += kChannels;
    }
    for (int c = 0; c < kChannels; ++c) *target++ = ToByte(sums[c]);
  }
}

#if defined(__x86_64__)

// Four taps a step: their bytes are spread to 16-bit pairs (two taps of a channel side by side), red and green in the
// lower half, blue in the upper one, so that the weights 0 1 2 3 lie against all of them; multiplied with the weights'
// parts and added up in pairs.
__attribute__((target("avx2"))) void RowResampler::RunAvx2(const uint8_t* source, uint8_t* target) {
  std::memcpy(row_.data(), source, inputs_ * kChannels);
  const char z = -1;
  const __m256i spread = _mm256_setr_epi8(0, z, 3, z, 6, z, 9, z, 1, z, 4, z, 7, z, 10, z,  //
                                          2, z, 5, z, 8, z, 11, z, z, z, z, z, z, z, z, z);
  const int64_t *upper = upper_.data(), *lower = lower_.data();
  const int64_t outputs = taps_.size();
  for (int64_t x = 0; x < outputs; ++x) {
    const uint8_t* pixel = &row_[taps_[x].first * kChannels];
    __m256i upper_sums = _mm256_setzero_si256(), lower_sums = _mm256_setzero_si256();
    for (int64_t i = 0; i < groups_[x]; ++i, pixel += kGroup * kChannels) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel));
      const __m256i pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
      upper_sums = _mm256_add_epi32(upper_sums, _mm256_madd_epi16(pairs, _mm256_set1_epi64x(*upper++)));
      lower_sums = _mm256_add_epi32(lower_sums, _mm256_madd_epi16(pairs, _mm256_set1_epi64x(*lower++)));
    }
    const __m256i pairs = _mm256_add_epi32(_mm256_slli_epi32(upper_sums, kLowerBits), lower_sums);
    const __m256i added = _mm256_hadd_epi32(pairs, pairs);  // red, green, … | blue, 0, …
    __m128i sums = _mm_unpacklo_epi64(_mm256_castsi256_si128(added), _mm256_extracti128_si256(added, 1));
    sums = _mm_srai_epi32(_mm_add_epi32(sums, _mm_set1_epi32(kHalf)), kResampleBits);
    const __m128i words = _mm_packs_epi32(sums, sums);
    const int32_t rgb = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    // One store of four bytes is faster; the next pixel overwrites the fourth.
    std::memcpy(target + x * kChannels, &rgb, x + 1 < outputs ? sizeof(rgb) : kChannels);
  }
}

// Eight bytes at a time; of each product with 22-bit weights only the lower 32 bits matter.
__attribute__((target("avx2"))) int64_t ResampleColumnsAvx2(const std::vector<int32_t>& weights, const uint8_t* source,
                                                            int64_t bytes, uint8_t* target) {
  int64_t x = 0;
  for (; x + 2 * 8 <= bytes; x += 2 * 8) {
    __m256i left = _mm256_set1_epi32(kHalf), right = left;
    const uint8_t* row = source + x;
    for (int32_t weight : weights) {
      const __m128i pixels = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row));
      const __m256i factor = _mm256_set1_epi32(weight);
      left = _mm256_add_epi32(left, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(pixels), factor));
      right = _mm256_add_epi32(right, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(pixels, 8)), factor));
      row += bytes;
    }
    const __m256i words =
        _mm256_packs_epi32(_mm256_srai_epi32(left, kResampleBits), _mm256_srai_epi32(right, kResampleBits));
    // packs works on each half by itself: 0-3 8-11 | 4-7 12-15.
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    const __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target + x), packed);
  }
  return x;
}

#else

void RowResampler::RunAvx2(const uint8_t* source, uint8_t* target) { RunScalar(source, target); }
int64_t ResampleColumnsAvx2(const std::vector<int32_t>&, const uint8_t*, int64_t, uint8_t*) { return 0; }

#endif

void ResampleColumns(const std::vector<int32_t>& weights, const uint8_t* source, int64_t bytes, uint8_t* target) {
  int64_t x = HasAvx2() ? ResampleColumnsAvx2(weights, source, bytes, target) : 0;
  for (; x < bytes; ++x) {
    int32_t sum = kHalf;
    for (size_t i = 0; i < weights.size(); ++i) sum += weights[i] * source[i * bytes + x];
    target[x] = ToByte(sum);
  }
}

}  // namespace qwt
