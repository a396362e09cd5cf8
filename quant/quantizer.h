// A kind of quantiser: how a value becomes one of few codes and back. One folder in quant/quantizers/ each.
//
// Its scale is found by a search (quant/search.h) from two sufficient statistics that add up or merge over batches and
// ranks: first the extreme order statistics of a tensor or channel, which give the candidates (low, high), then Σ (x -
// x̂)² for each candidate.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/registry/registry.h"
#include "quant/plan.h"

namespace qwt {

// A scale for each channel (one channel: a whole tensor).
struct ScaleCandidate {
  at::Tensor scale;       // float32 [channels], finite and positive
  at::Tensor zero_point;  // float32 [channels]
  at::Tensor
      degenerate;  // bool [channels]: (low, high) spans no range; chosen only where every candidate is degenerate
};

// Const and thread safe. x: float32, any shape; per channel, site.spec.channel_dim has as many elements as site.scale.
// Apply, Errors and Positions run where x lies, on the CPU or a GPU, and the site's tensors lie there too; all else is
// for the CPU.
class Quantizer {
 public:
  virtual ~Quantizer() = default;

  // low, high: float32 [channels], the range that the codes shall span. low == high: x̂ = low exactly where x = low.
  virtual ScaleCandidate Candidate(const QuantSpec& spec, const at::Tensor& low, const at::Tensor& high) const = 0;
  // Codes are 0 … Levels(spec) - 1, at most 256 of them.
  virtual int Levels(const QuantSpec& spec) const = 0;
  // x̂: x quantised and dequantised; same shape, contiguous.
  virtual at::Tensor Apply(const at::Tensor& x, const SiteQuantization& site) const = 0;
  // Σ (x - x̂)² of each channel for each of several scales: float64 [candidates, channels], where x lies, the same bits
  // every time. scales, zero_points: float32 [candidates, channels], contiguous. Unless overridden, applies them one by
  // one.
  virtual at::Tensor Errors(const at::Tensor& x, const QuantSpec& spec, const at::Tensor& scales,
                            const at::Tensor& zero_points) const;
  // uint8 codes; Dequantize(Codes(x)) equals Apply(x) to the last bit. InvalidArgument where the codes are no integers.
  virtual absl::StatusOr<at::Tensor> Codes(const at::Tensor& x, const SiteQuantization& site) const = 0;
  virtual at::Tensor Dequantize(const at::Tensor& codes, const SiteQuantization& site) const = 0;
  // Where x lies among the codes before it is rounded and clamped, in steps: 2.5 is half way from code 2 to 3. float32,
  // same shape, on any device. What quantises to the last code for want of a smaller one (log_sqrt2's 0) lies on it.
  virtual at::Tensor Positions(const at::Tensor& x, const SiteQuantization& site) const = 0;
};

inline constexpr char kQuantizerKind[] = "quantiser";
using QuantizerRegistry = Registry<std::unique_ptr<Quantizer>, kQuantizerKind>;

// NotFound, naming those there are.
absl::StatusOr<std::unique_ptr<Quantizer>> MakeQuantizer(const std::string& name);

// A tensor seen as [outer, channels, inner], contiguous; per tensor: one channel.
struct ChannelLayout {
  int64_t outer = 1, channels = 1, inner = 0;
};
ChannelLayout LayoutOf(const at::Tensor& x, const QuantSpec& spec);
// `values` (a scale, a zero point: [1] or [channels]) shaped so that it meets x's channels in an operator.
at::Tensor AsChannelsOf(const at::Tensor& x, const at::Tensor& values, const QuantSpec& spec);

}  // namespace qwt
