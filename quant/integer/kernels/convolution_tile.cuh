// How a convolution's left operand reaches shared memory: as a matrix's pieces do (product_tile.cuh), but that a row is
// what the kernel sees at one output position. Of convolution.cu alone.
#pragma once

#include "quant/integer/kernels/product_tile.cuh"

namespace qwt {
namespace {

// A kernel of one pixel at every pixel: the codes are the matrix.
struct PixelCopier : Copier {
  static constexpr bool kPadded = true;  // whether anything lies behind a pixel's channels

  __device__ __forceinline__ PixelCopier(const ConvolutionArguments& c, int64_t first_row)
      : Copier(c.product.a, first_row, c.product.rows, c.product.a_pitch, static_cast<int>(c.product.depth)) {}
};

// 4 bytes from global to shared memory; zeros where there is nothing to read.
__device__ __forceinline__ void CopyWordAsync(uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(there ? 4 : 0));
}

__device__ __forceinline__ void StoreWord(uint32_t to, uint32_t word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(word) : "memory");
}
__device__ __forceinline__ void StoreWords(uint32_t to, uint32_t word) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(to), "r"(word) : "memory");
}

// Where a thread's rows begin in their images, and where it is in the kernel. The border is written, not copied: all
// threads that see it would read the same bytes, which one part of the GPU's second-level cache holds.
struct WindowOrigins {
  static constexpr int kItems = Copier::kItems, kRowStep = Copier::kRowStep;
  const ConvolutionArguments& c;
  uint32_t border;  // of four channels
  int pixel[kItems], y[kItems], x[kItems];  // of the window's first pixel, which may lie outside
  int ky = 0, kx = 0;
  uint32_t to;  // in a buffer

  __device__ __forceinline__ WindowOrigins(const ConvolutionArguments& c, int64_t first_row)
      : c(c), border(*reinterpret_cast<const uint32_t*>(c.border)) {
    const PixelWindows& w = c.windows;
    const int row = threadIdx.x / 8, chunk = threadIdx.x % 8;
    const auto positions = static_cast<uint32_t>(w.out_height * w.out_width), wide = static_cast<uint32_t>(w.out_width);
    to = row * kDepth + ((chunk ^ (row & 7)) << 4);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const auto m = static_cast<uint32_t>(first_row + row + i * kRowStep);
      const uint32_t image = m / positions, position = m - image * positions, line = position / wide;
      y[i] = static_cast<int>(line) * static_cast<int>(w.stride) - static_cast<int>(w.padding);
      x[i] = static_cast<int>(position - line * wide) * static_cast<int>(w.stride) - static_cast<int>(w.padding);
      pixel[i] = (static_cast<int>(image) * static_cast<int>(w.height) + y[i]) * static_cast<int>(w.width) + x[i];
      if (m >= c.product.rows) y[i] = -(1 << 24);  // sees nothing of an image
    }
  }
  // Of row i, `right` pixels from where the kernel's pixel is; null: outside.
  __device__ __forceinline__ const uint8_t* Pixel(int i, int right, int channel) const {
    const auto height = static_cast<uint32_t>(c.windows.height), width = static_cast<uint32_t>(c.windows.width);
    const bool inside = static_cast<uint32_t>(y[i] + ky) < height && static_cast<uint32_t>(x[i] + kx + right) < width;
    const int at = pixel[i] + ky * static_cast<int>(width) + kx + right;
    return inside ? c.product.a + at * c.product.a_pitch + channel : nullptr;
  }
};

// Pixels of whole pieces of 16 bytes. Pieces come in their order.
struct WindowCopier : WindowOrigins {
  static constexpr bool kPadded = true;
  int channel;

  __device__ __forceinline__ WindowCopier(const ConvolutionArguments& c, int64_t first_row)
      : WindowOrigins(c, first_row), channel(threadIdx.x % 8 * 16) {
    Normalise();
  }
  __device__ __forceinline__ void Normalise() {
    const auto pitch = static_cast<int>(c.product.a_pitch), kernel = static_cast<int>(c.windows.kernel);
    while (channel >= pitch) {
      channel -= pitch;
      if (++kx < kernel) continue;
      kx = 0;
      ++ky;
    }
  }
  __device__ __forceinline__ void Copy(uint32_t buffer, int) {
    const bool there = ky < static_cast<int>(c.windows.kernel);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const uint32_t at = buffer + to + i * kRowStep * kDepth;
      const uint8_t* pixel = Pixel(i, 0, channel);
      if (pixel != nullptr) {
        CopyAsync(at, pixel, there);
      } else {
        StoreWords(at, there ? border : 0);
      }
    }
    channel += kDepth;
    Normalise();
  }
};

// Pixels of four bytes, 0 behind the channels: 16 bytes are four of a line.
struct NarrowWindowCopier : WindowOrigins {
  static constexpr bool kPadded = false;

  __device__ __forceinline__ NarrowWindowCopier(const ConvolutionArguments& c, int64_t first_row)
      : WindowOrigins(c, first_row) {
    kx = threadIdx.x % 8 * 4;
    Normalise();
  }
  __device__ __forceinline__ void Normalise() {
    const int line = (static_cast<int>(c.windows.kernel) + 3) / 4 * 4;
    while (kx >= line) {
      kx -= line;
      ++ky;
    }
  }
  __device__ __forceinline__ void Copy(uint32_t buffer, int) {
    const int kernel = static_cast<int>(c.windows.kernel);
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
#pragma unroll
      for (int right = 0; right < 4; ++right) {
        const uint32_t at = buffer + to + i * kRowStep * kDepth + right * 4;
        const bool there = ky < kernel && kx + right < kernel;
        const uint8_t* pixel = Pixel(i, right, 0);
        if (pixel != nullptr) {
          CopyWordAsync(at, pixel, there);
        } else {
          StoreWord(at, there ? border : 0);
        }
      }
    }
    kx += kDepth / 4;
    Normalise();
  }
};

// RowSum: of what lies behind a pixel's channels nothing counts.
template <bool kPadded>
__device__ __forceinline__ int32_t WindowSum(const ConvolutionArguments& c, const char* buffer, int piece, int32_t sum) {
  const uint32_t* half = reinterpret_cast<const uint32_t*>(buffer) + threadIdx.x * 16;
  const int row = threadIdx.x / 2, pitch = static_cast<int>(c.product.a_pitch);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int chunk = (threadIdx.x % 2 * 4 + i) ^ (row & 7);
    const int left = static_cast<int>(c.channels) - (piece * kDepth + chunk * 16) % pitch;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int here = left - j * 4;
      const uint32_t ones = !kPadded || here >= 4 ? 0x01010101u : here <= 0 ? 0 : 0x01010101u >> (8 * (4 - here));
      sum = __dp4a(half[i * 4 + j], ones, static_cast<uint32_t>(sum));
    }
  }
  return sum;
}

}  // namespace
}  // namespace qwt
