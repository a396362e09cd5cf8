#include "data/transforms/resample.h"

#include <algorithm>

#include "core/base/random.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

std::vector<uint8_t> Bytes(uint64_t seed, int64_t count) {
  std::vector<uint8_t> bytes(count);
  for (int64_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(RandomWord(seed, i));
  return bytes;
}

// Of both signs; their sizes add up to less than 2, so that sums stay within 32 bits as those of a filter do.
std::vector<int32_t> Weights(uint64_t seed, int64_t count) {
  std::vector<int32_t> weights(count);
  const double most = 3.0 * (1 << kResampleBits) / static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) weights[i] = static_cast<int32_t>((RandomUniform(seed, i) - 0.4) * most);
  return weights;
}

TEST(RowResamplerTest, VectorsGiveTheBytesOfScalars) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const int64_t inputs = 1 + RandomWord(seed, 1000) % 90, outputs = 1 + RandomWord(seed, 1001) % 40;
    std::vector<Taps> taps(outputs);
    for (int64_t x = 0; x < outputs; ++x) {
      taps[x].first = RandomWord(seed, 2000 + x) % inputs;
      taps[x].weights = Weights(seed * 1000 + x, 1 + RandomWord(seed, 3000 + x) % (inputs - taps[x].first));
    }
    const std::vector<uint8_t> source = Bytes(seed, inputs * kResampleChannels);
    std::vector<uint8_t> vector(outputs * kResampleChannels), scalar(vector);
    RowResampler resampler(taps, inputs);
    resampler.Run(source.data(), vector.data());
    resampler.RunScalar(source.data(), scalar.data());
    ASSERT_EQ(vector, scalar) << seed;
  }
}

TEST(ResampleColumnsTest, EachByteIsTheRoundedSumOfItsColumn) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const int64_t bytes = 1 + RandomWord(seed, 1000) % 100, rows = 1 + RandomWord(seed, 1001) % 20;
    const std::vector<uint8_t> source = Bytes(seed, rows * bytes);
    const std::vector<int32_t> weights = Weights(seed, rows);
    std::vector<uint8_t> result(bytes);
    ResampleColumns(weights, source.data(), bytes, result.data());
    for (int64_t x = 0; x < bytes; ++x) {
      int64_t sum = int64_t{1} << (kResampleBits - 1);
      for (int64_t y = 0; y < rows; ++y) sum += int64_t{weights[y]} * source[y * bytes + x];
      const int64_t rounded = sum >> kResampleBits;
      ASSERT_EQ(result[x], std::min<int64_t>(std::max<int64_t>(rounded, 0), 255)) << seed << " " << x;
    }
  }
}

}  // namespace
}  // namespace qwt
