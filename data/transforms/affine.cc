#include "data/transforms/affine.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "ATen/ops/empty.h"

namespace qwt {
namespace {

constexpr int kChannels = 3;
constexpr int kTaps = 4;

// Source x = m[0] x + m[1] y + m[2], source y = m[3] x + m[4] y + m[5].
using Matrix = std::array<double, 6>;

// Through v[1] at d = 0 and v[2] at d = 1. The order of the sums is Pillow's: it decides the last bit.
double Cubic(const double (&v)[kTaps], double d) {
  const double p2 = v[2] - v[0];
  const double p3 = 2 * (v[0] - v[1]) + v[2] - v[3];
  const double p4 = v[1] - v[0] - v[2] + v[3];
  return v[1] + d * (p2 + d * (p3 + d * p4));
}

uint8_t Truncate(double value) { return static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)); }

// The pixels around a coordinate of the source, in bytes from the start of a row or of the image, and how far behind
// the second of them it lies.
struct Taps {
  std::array<int64_t, kTaps> offsets;
  double fraction;
};

Taps MakeTaps(double source, int64_t size, int64_t stride) {
  source -= 0.5;
  const double floor = std::floor(source);
  const int64_t first = static_cast<int64_t>(floor) - 1;
  Taps taps;
  for (int i = 0; i < kTaps; ++i) taps.offsets[i] = std::clamp<int64_t>(first + i, 0, size - 1) * stride;
  taps.fraction = source - floor;
  return taps;
}

void Interpolate(const uint8_t* input, const Taps& columns, const Taps& rows, uint8_t* target) {
  for (int c = 0; c < kChannels; ++c) {
    double along_rows[kTaps];
    for (int i = 0; i < kTaps; ++i) {
      const uint8_t* row = input + rows.offsets[i] + c;
      const double values[kTaps] = {
          static_cast<double>(row[columns.offsets[0]]), static_cast<double>(row[columns.offsets[1]]),
          static_cast<double>(row[columns.offsets[2]]), static_cast<double>(row[columns.offsets[3]])};
      along_rows[i] = Cubic(values, columns.fraction);
    }
    target[c] = Truncate(Cubic(along_rows, rows.fraction));
  }
}

at::Tensor Transform(const at::Tensor& pixels, const Matrix& m, const Colour& fill) {
  const at::Tensor source = pixels.contiguous();
  const int64_t height = source.size(0), width = source.size(1);
  const uint8_t* input = source.const_data_ptr<uint8_t>();
  at::Tensor result = at::empty({height, width, kChannels}, at::kByte);
  uint8_t* target = result.mutable_data_ptr<uint8_t>();
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x, target += kChannels) {
      const double source_x = m[0] * (x + 0.5) + m[1] * (y + 0.5) + m[2];
      const double source_y = m[3] * (x + 0.5) + m[4] * (y + 0.5) + m[5];
      if (source_x < 0 || source_x >= width || source_y < 0 || source_y >= height) {
        std::copy(fill.begin(), fill.end(), target);
      } else {
        Interpolate(input, MakeTaps(source_x, width, kChannels), MakeTaps(source_y, height, width * kChannels), target);
      }
    }
  }
  return result;
}

// As Python's round(value, 15): the nearest decimal fraction, exactly.
double RoundTo15Decimals(double value) {
  char text[32];  // |value| <= 1
  const auto written = std::to_chars(text, text + sizeof(text), value, std::chars_format::fixed, 15);
  double rounded = 0;
  std::from_chars(text, written.ptr, rounded);
  return rounded;
}

Matrix RotationMatrix(double degrees, int64_t height, int64_t width) {
  const double angle = -(degrees * (std::numbers::pi / 180));
  const double cosine = RoundTo15Decimals(std::cos(angle)), sine = RoundTo15Decimals(std::sin(angle));
  const double x = width / 2.0, y = height / 2.0;
  return {cosine, sine, cosine * -x + sine * -y + x, -sine, cosine, -sine * -x + cosine * -y + y};
}

}  // namespace

at::Tensor Rotate(const at::Tensor& pixels, double degrees, const Colour& fill) {
  double turn = std::fmod(degrees, 360.0);
  if (turn < 0) turn += 360.0;
  return Transform(pixels, RotationMatrix(turn, pixels.size(0), pixels.size(1)), fill);
}

at::Tensor ShearX(const at::Tensor& pixels, double factor, const Colour& fill) {
  return Transform(pixels, {1, factor, 0, 0, 1, 0}, fill);
}

at::Tensor ShearY(const at::Tensor& pixels, double factor, const Colour& fill) {
  return Transform(pixels, {1, 0, 0, factor, 1, 0}, fill);
}

at::Tensor TranslateXRel(const at::Tensor& pixels, double part, const Colour& fill) {
  return Transform(pixels, {1, 0, part * pixels.size(1), 0, 1, 0}, fill);
}

at::Tensor TranslateYRel(const at::Tensor& pixels, double part, const Colour& fill) {
  return Transform(pixels, {1, 0, 0, 0, 1, part * pixels.size(0)}, fill);
}

}  // namespace qwt
