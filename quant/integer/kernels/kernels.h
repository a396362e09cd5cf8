// What the integer executor is made of: uint8 carriers of quantised activations, products of them with int8 weights in
// exact int32 sums, and all that lies between two products, so that float activations are met only where the network
// adds a residual.
//
// Every function exists twice: OnCpu, plain loops that say what is computed, and OnGpu, which queues the same on
// `stream` (a cudaStream_t) and throws std::runtime_error where a kernel cannot be launched. Pointers are the device's.
// Both compute the same integers; floats between them differ in their last bits. Networks on a CPU run on vectors.h.
#pragma once

#include <cstdint>

namespace qwt {

// A uniform quantiser's codes as they are carried: a = clamp(round(x / scale) + zero, 0, top), which stands for
// (a - zero) · scale.
//
// Where the zero point z is whole, zero is z. A fractional z (re-parameterised sites) leaves the codes 0 and top of
// values that are clamped to them off the grid of all others: zero is z rounded, and such ends stand for
// (a - zero + end) · scale, end = zero - z. They are where round(x / scale) + zero is at most low or at least high.
struct Carrier {
  float inverse_scale = 1, scale = 1, zero = 0, top = 255;
  float end = 0, low = -1, high = 256;  // end 0: there are none
};

// Where row m of a matrix is in another: m / period · span + of[m % period]; of null: at m.
struct RowMap {
  const int32_t* of = nullptr;  // [period]
  int64_t period = 1, span = 1;
};

enum class Activation { kNone, kGelu, kRelu };

// Carriers of activation(x). x: float32 [rows, columns] without gaps; out: uint8 [rows, pitch].
struct QuantizeArguments {
  int64_t rows = 0, columns = 0, pitch = 0;
  const float* x = nullptr;
  Activation activation = Activation::kNone;
  Carrier carrier;
  uint8_t* out = nullptr;
};

// Which of a row's codes are ends stands behind them in uint32 words, in the order in which matrix units read codes: of
// 128 codes word t holds those of each four whose place is t modulo 4, so that a shift and a mask bring four bits to
// four bytes.
inline int64_t EndWords(int64_t columns) { return (columns + 127) / 128 * 4; }
inline int64_t EndWord(int64_t column) { return column / 128 * 4 + column / 4 % 4; }
inline int EndBit(int64_t column) { return static_cast<int>(column % 4 * 8 + column / 16 % 8); }

// Carriers of LayerNorm(x): row m of out is that of row map(m) of x.
struct NormQuantizeArguments {
  int64_t rows = 0, columns = 0, pitch = 0;  // columns: at most 4096, divisible by 4
  const float* x = nullptr;                  // float32 [rows, columns]
  const float *weight = nullptr, *bias = nullptr;
  float epsilon = 0;
  RowMap map;
  Carrier carrier;
  uint8_t* out = nullptr;   // [rows, pitch]
  int64_t ends_offset = 0;  // bytes of a row before the words of its ends; 0: they are not written
  void* half = nullptr;     // float16 [rows, columns]: x, for GPUs alone; null: it is not written
};

// Carriers of the patches that a convolution multiplies: out [N·h'·w', pitch], a row's columns by (channel, y, x) of
// the kernel. Beyond the image lie zeros.
struct PatchQuantizeArguments {
  int64_t images = 0, channels = 0, height = 0, width = 0;
  int64_t kernel = 0, stride = 1, padding = 0, out_height = 0, out_width = 0, pitch = 0;
  const float* x = nullptr;  // float32 [N, C, h, w]
  Carrier carrier;
  uint8_t* out = nullptr;
};

// Weights' rows are a multiple of so many.
inline constexpr int64_t kWeightRows = 128;

// v = scale[n] · (end_multiplier · Σ_k a[m,k] · w[n,k] + end_code · Σ_k∈ends(m) w[n,k]) + row_sum_scale[n] · Σ_k a[m,k]
//     + end_count_scale[n] · |ends(m)| + bias[n].
struct ProductArguments {
  int64_t rows = 0, columns = 0, depth = 0;  // M, N, K
  const uint8_t* a = nullptr;                // [M, a_pitch]
  const int8_t* w = nullptr;                 // [N rounded up to kWeightRows, w_pitch], 0 beyond N and K
  const int8_t* w_by_input = nullptr;        // w as [K, N], for ends on CPUs (vectors.h)
  int64_t a_pitch = 0, w_pitch = 0;          // bytes, divisible by 16
  const float *scale = nullptr, *bias = nullptr;
  const float* row_sum_scale = nullptr;      // null: zeros
  int64_t ends_offset = 0;                   // of a's rows; 0: there are no ends
  int32_t end_multiplier = 1, end_code = 0;  // the sum of both fits an int32; end_code at most 255
  const float* end_count_scale = nullptr;    // null: zeros; else row_sum_scale is there, too
  // One of two outputs. Float: out[map(m), n] = v + residual[map(m), n] + addend[map(m), n], all [rows, N].
  float* out = nullptr;
  const float* residual = nullptr;  // null: zeros
  int64_t residual_period = 0;      // row map(m) takes residual[map(m) % residual_period]; 0: residual[map(m)]
  const void* addend = nullptr;     // float16; null: zeros. For GPUs alone
  RowMap map;
  // Codes, uint8 [M, code_pitch]; a third of the columns each by carriers[0], [1], [2], or all by carriers[0] where
  // groups is 1. Without an activation v is in steps already (InSteps): clamp(round(v) + zero, 0, top); else carriers
  // of activation(v), in one group.
  uint8_t* codes = nullptr;
  int64_t code_pitch = 0;
  Activation activation = Activation::kNone;
  int groups = 1;  // 1 or 3
  Carrier carriers[3];
};

// Attention of B·W windows (or images) of T tokens: codes [B·W·T, pitch] hold query, key and value, H · D columns each;
// out, carriers [B·W·T, out_pitch], heads side by side.
//   p = softmax(score_scale · Σ (q - zq)(k - zk) + bias + mask), quantised; out = Σ p̂ (v - zv) · value_unit.
struct AttentionArguments {
  int64_t windows = 0, tokens = 0, heads = 0, head_width = 0;
  const uint8_t* codes = nullptr;
  int64_t pitch = 0;
  float query_zero = 0, key_zero = 0, value_zero = 0;  // whole
  float score_scale = 1, value_unit = 1;
  const float* bias = nullptr;  // [H, T, T]; null: zeros
  const float* mask = nullptr;  // [W, T, T] for window m % W; null: zeros
  int64_t masks = 1;            // W
  bool log_sqrt2 = true;        // p̂ as quant/kernels/log_sqrt2.h has it; else by `uniform`, whose zero is whole
  float log_scale = 1, log_floor = 0;
  int zero_code = 16;
  Carrier uniform;
  Carrier carrier;  // of the output
  uint8_t* out = nullptr;
  int64_t out_pitch = 0;
};
// Windows of pixels that a convolution or a pooling sees: one for each output position, kernel x kernel of [h, w].
struct PixelWindows {
  int64_t images = 0, height = 0, width = 0;
  int64_t kernel = 1, stride = 1, padding = 0, out_height = 0, out_width = 0;
};

// Carriers of x, pixel by pixel: out, uint8 [N·h·w, pitch]; 0 beyond the channels.
struct PixelQuantizeArguments {
  int64_t images = 0, channels = 0, positions = 0, pitch = 0;  // positions: h·w; pitch: divisible by 4
  const float* x = nullptr;                                    // float32 [N, C, h, w]
  Carrier carrier;
  uint8_t* out = nullptr;
};

// The largest value of each window; what lies beyond the image counts for nothing.
struct MaxPoolArguments {
  PixelWindows windows;
  int64_t channels = 0;
  const float* x = nullptr;  // float32 [N, h, w, C]
  float* out = nullptr;      // [N, h', w', C]
};

// Bytes of a pixel's codes: a pixel of few channels takes no more than it must.
inline int64_t PixelPitch(int64_t channels) { return channels <= 4 ? 4 : (channels + 15) / 16 * 16; }
// Of one line of a convolution's kernel.
inline int64_t KernelLineBytes(int64_t kernel, int64_t pitch) { return (kernel * pitch + 15) / 16 * 16; }

// A convolution of carriers [N·h·w, a_pitch], pixel by pixel, as a product: a row is an output position, and the depth
// is by (y, x, channel) of the kernel, each line of it KernelLineBytes long, in all product.depth = product.w_pitch.
//   y = activation(v + residual) + addend + addend_bias,
// v as in ProductArguments, without ends, maps and groups. product.out, where it is not null, holds y, product.codes,
// where it is not null, y's carriers by carriers[0]: both may be wanted.
//
// Where residual_weight is given, the addend is made of the residual, in groups of kResidualGroup channels: of output n
// Σ_k residual[m, n - n % kResidualGroup + k] · residual_weight[n, k], factors and sum rounded to float16.
struct ConvolutionArguments {
  ProductArguments product;  // a_pitch: PixelPitch(channels)
  PixelWindows windows;
  int64_t channels = 0;
  const uint8_t* border = nullptr;        // 16 bytes: what lies beyond the image, the code of 0 in each channel
  const float* addend_bias = nullptr;     // [N]; null: zeros
  const void* residual_weight = nullptr;  // float16 [N, kResidualGroup]; null, or product.addend is
};
inline constexpr int64_t kResidualGroup = 64;

// What AttentionOnGpu takes: more tokens or wider heads it does not.
inline constexpr int64_t kMostAttentionTokens = 256, kMostHeadWidth = 64;

void QuantizeOnCpu(const QuantizeArguments& arguments);
void NormQuantizeOnCpu(const NormQuantizeArguments& arguments);
void PatchQuantizeOnCpu(const PatchQuantizeArguments& arguments);
void ProductOnCpu(const ProductArguments& arguments);
void AttentionOnCpu(const AttentionArguments& arguments);
void PixelQuantizeOnCpu(const PixelQuantizeArguments& arguments);
void MaxPoolOnCpu(const MaxPoolArguments& arguments);
void ConvolutionOnCpu(const ConvolutionArguments& arguments);

void QuantizeOnGpu(const QuantizeArguments& arguments, void* stream);
void NormQuantizeOnGpu(const NormQuantizeArguments& arguments, void* stream);
void PatchQuantizeOnGpu(const PatchQuantizeArguments& arguments, void* stream);
void ProductOnGpu(const ProductArguments& arguments, void* stream);
void AttentionOnGpu(const AttentionArguments& arguments, void* stream);
void PixelQuantizeOnGpu(const PixelQuantizeArguments& arguments, void* stream);
void MaxPoolOnGpu(const MaxPoolArguments& arguments, void* stream);
void ConvolutionOnGpu(const ConvolutionArguments& arguments, void* stream);

}  // namespace qwt
