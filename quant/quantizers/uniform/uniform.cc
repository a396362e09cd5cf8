// Uniform, asymmetric (algorithms section 2): x̂ = (clamp(round(x/scale) + zero_point, 0, 2^bits - 1) - zero_point) ·
// scale.
#include "quant/kernels/uniform.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ATen/TensorOperators.h"
#include "ATen/core/Tensor.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/empty_like.h"
#include "core/tensor/stream.h"
#include "quant/kernels/gpu.h"
#include "quant/quantizer.h"

namespace qwt {
namespace {

UniformArguments ArgumentsOf(const at::Tensor& x, const SiteQuantization& site) {
  const ChannelLayout layout = LayoutOf(x, site.spec);
  UniformArguments arguments;
  arguments.outer = layout.outer;
  arguments.channels = layout.channels;
  arguments.inner = layout.inner;
  arguments.scale = site.scale.data_ptr<float>();
  arguments.zero_point = site.zero_point.data_ptr<float>();
  arguments.top = static_cast<float>((1 << site.spec.bits) - 1);
  return arguments;
}

class UniformQuantizer : public Quantizer {
 public:
  int Levels(const QuantSpec& spec) const override { return 1 << spec.bits; }

  // A constant c has scale |c| and is one step above zero_point 0, or (negative) one below zero_point 1; c = 0 has
  // scale 1. So x/scale is exactly ±1 or 0, also where |c| is subnormal. A range too small for a normal scale gets the
  // smallest normal one.
  ScaleCandidate Candidate(const QuantSpec& spec, const at::Tensor& low, const at::Tensor& high) const override {
    ScaleCandidate candidate{at::empty_like(low), at::empty_like(low), at::empty({low.numel()}, at::kBool)};
    const float top = static_cast<float>(Levels(spec) - 1);
    for (int64_t c = 0; c < low.numel(); ++c) {
      const float lo = low.data_ptr<float>()[c], hi = high.data_ptr<float>()[c];
      float& scale = candidate.scale.data_ptr<float>()[c];
      float& zero_point = candidate.zero_point.data_ptr<float>()[c];
      candidate.degenerate.data_ptr<bool>()[c] = lo == hi;
      if (lo == hi) {
        scale = lo == 0 ? 1.0f : std::fabs(lo);
        zero_point = lo < 0 ? 1.0f : 0.0f;
        continue;
      }
      scale = (hi - lo) / top;
      // The range of finite values may itself be no float32.
      if (!std::isfinite(scale)) scale = hi / top - lo / top;
      scale = std::max(scale, std::numeric_limits<float>::min());
      zero_point = std::nearbyint(-lo / scale) + 0.0f;  // no negative zero
    }
    return candidate;
  }

  at::Tensor Apply(const at::Tensor& x, const SiteQuantization& site) const override {
    const at::Tensor input = x.contiguous();
    at::Tensor output = at::empty_like(input);
    const UniformArguments arguments = ArgumentsOf(input, site);
    const float* from = input.const_data_ptr<float>();
    float* to = output.mutable_data_ptr<float>();
    if (input.is_cuda()) {
      RunOnStreamOf(input, [&](void* stream) { UniformApplyOnGpu(arguments, from, to, stream); });
    } else {
      UniformApply(arguments, from, to);
    }
    return output;
  }

  at::Tensor Errors(const at::Tensor& x, const QuantSpec& spec, const at::Tensor& scales,
                    const at::Tensor& zero_points) const override {
    if (!x.is_cuda()) return Quantizer::Errors(x, spec, scales, zero_points);
    const at::Tensor input = x.contiguous();
    const int64_t candidates = scales.size(0);
    const UniformArguments arguments = ArgumentsOf(input, {spec, scales, zero_points});
    const int64_t count = ErrorParts({candidates, arguments.outer, arguments.channels, arguments.inner});
    at::Tensor parts = at::empty({count, candidates, arguments.channels}, input.options().dtype(at::kDouble));
    RunOnStreamOf(input, [&](void* stream) {
      UniformErrorsOnGpu(arguments, candidates, input.const_data_ptr<float>(), parts.mutable_data_ptr<double>(),
                         stream);
    });
    return parts.sum(0);
  }

  absl::StatusOr<at::Tensor> Codes(const at::Tensor& x, const SiteQuantization& site) const override {
    for (int64_t c = 0; c < site.zero_point.numel(); ++c) {
      const float zero_point = site.zero_point.data_ptr<float>()[c];
      if (zero_point != std::nearbyint(zero_point)) {
        return absl::InvalidArgumentError(
            "a uniform quantiser has integer codes only with a whole zero point; this one is " +
            std::to_string(zero_point));
      }
    }
    const at::Tensor input = x.contiguous();
    at::Tensor codes = at::empty(input.sizes(), at::kByte);
    UniformCodes(ArgumentsOf(input, site), input.data_ptr<float>(), codes.data_ptr<uint8_t>());
    return codes;
  }

  at::Tensor Dequantize(const at::Tensor& codes, const SiteQuantization& site) const override {
    const at::Tensor input = codes.contiguous();
    at::Tensor output = at::empty(input.sizes(), at::kFloat);
    UniformDequantize(ArgumentsOf(input, site), input.data_ptr<uint8_t>(), output.data_ptr<float>());
    return output;
  }

  at::Tensor Positions(const at::Tensor& x, const SiteQuantization& site) const override {
    return x / AsChannelsOf(x, site.scale, site.spec) + AsChannelsOf(x, site.zero_point, site.spec);
  }
};

const bool registered = QuantizerRegistry::Get().Register(
    {{"uniform", "Uniform steps, asymmetric: 2^bits codes from low to high.", Schema()},
     [](const Options&) -> absl::StatusOr<std::unique_ptr<Quantizer>> {
       return std::make_unique<UniformQuantizer>();
     }});

}  // namespace
}  // namespace qwt
