// Powers of 1/√2 below the largest value, for softmax outputs (RepQ-ViT, arXiv 2212.08254; algorithms section 3).
#include "quant/kernels/log_sqrt2.h"

#include <algorithm>

#include "ATen/TensorOperators.h"
#include "ATen/core/Tensor.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/empty_like.h"
#include "ATen/ops/zeros_like.h"
#include "core/tensor/stream.h"
#include "quant/kernels/gpu.h"
#include "quant/quantizer.h"

namespace qwt {
namespace {

// The reference has 2^bits powers and, besides, 0 for what lies below them. At 8 bits the last power, 2^-127.5, makes
// room for it.
int ZeroCode(const QuantSpec& spec) { return std::min(1 << spec.bits, 255); }

LogSqrt2Arguments ArgumentsOf(const at::Tensor& x, const SiteQuantization& site) {
  const ChannelLayout layout = LayoutOf(x, site.spec);
  LogSqrt2Arguments arguments;
  arguments.outer = layout.outer;
  arguments.channels = layout.channels;
  arguments.inner = layout.inner;
  arguments.scale = site.scale.data_ptr<float>();
  arguments.floor = static_cast<float>(site.spec.log_floor);
  arguments.zero_code = ZeroCode(site.spec);
  return arguments;
}

class LogSqrt2Quantizer : public Quantizer {
 public:
  int Levels(const QuantSpec& spec) const override { return ZeroCode(spec) + 1; }

  // The scale is the largest value kept. Values are not negative; where none is positive, the scale is 1.
  ScaleCandidate Candidate(const QuantSpec&, const at::Tensor& low, const at::Tensor& high) const override {
    ScaleCandidate candidate{at::empty_like(high), at::zeros_like(high), at::empty({low.numel()}, at::kBool)};
    for (int64_t c = 0; c < high.numel(); ++c) {
      const float hi = high.data_ptr<float>()[c];
      candidate.scale.data_ptr<float>()[c] = hi > 0 ? hi : 1.0f;
      candidate.degenerate.data_ptr<bool>()[c] = !(hi > 0);
    }
    return candidate;
  }

  at::Tensor Apply(const at::Tensor& x, const SiteQuantization& site) const override {
    const at::Tensor input = x.contiguous();
    at::Tensor output = at::empty_like(input);
    const LogSqrt2Arguments arguments = ArgumentsOf(input, site);
    const float* from = input.const_data_ptr<float>();
    float* to = output.mutable_data_ptr<float>();
    if (input.is_cuda()) {
      RunOnStreamOf(input, [&](void* stream) { LogSqrt2ApplyOnGpu(arguments, from, to, stream); });
    } else {
      LogSqrt2Apply(arguments, from, to);
    }
    return output;
  }

  at::Tensor Errors(const at::Tensor& x, const QuantSpec& spec, const at::Tensor& scales,
                    const at::Tensor& zero_points) const override {
    if (!x.is_cuda()) return Quantizer::Errors(x, spec, scales, zero_points);
    const at::Tensor input = x.contiguous();
    const int64_t candidates = scales.size(0);
    const LogSqrt2Arguments arguments = ArgumentsOf(input, {spec, scales, zero_points});
    const int64_t count = ErrorParts({candidates, arguments.outer, arguments.channels, arguments.inner});
    at::Tensor parts = at::empty({count, candidates, arguments.channels}, input.options().dtype(at::kDouble));
    RunOnStreamOf(input, [&](void* stream) {
      LogSqrt2ErrorsOnGpu(arguments, candidates, input.const_data_ptr<float>(), parts.mutable_data_ptr<double>(),
                          stream);
    });
    return parts.sum(0);
  }

  absl::StatusOr<at::Tensor> Codes(const at::Tensor& x, const SiteQuantization& site) const override {
    const at::Tensor input = x.contiguous();
    at::Tensor codes = at::empty(input.sizes(), at::kByte);
    LogSqrt2Codes(ArgumentsOf(input, site), input.data_ptr<float>(), codes.data_ptr<uint8_t>());
    return codes;
  }

  at::Tensor Dequantize(const at::Tensor& codes, const SiteQuantization& site) const override {
    const at::Tensor input = codes.contiguous();
    at::Tensor output = at::empty(input.sizes(), at::kFloat);
    LogSqrt2Dequantize(ArgumentsOf(input, site), input.data_ptr<uint8_t>(), output.data_ptr<float>());
    return output;
  }

  at::Tensor Positions(const at::Tensor& x, const SiteQuantization& site) const override {
    const at::Tensor ratio = (x / AsChannelsOf(x, site.scale, site.spec)).clamp_min(site.spec.log_floor);
    return (ratio.log2() * -2).clamp_max(ZeroCode(site.spec));
  }
};

const bool registered = QuantizerRegistry::Get().Register(
    {{"log_sqrt2", "Powers of 1/sqrt(2) below the largest value, and zero: for softmax outputs.", Schema()},
     [](const Options&) -> absl::StatusOr<std::unique_ptr<Quantizer>> {
       return std::make_unique<LogSqrt2Quantizer>();
     }});

}  // namespace
}  // namespace qwt
