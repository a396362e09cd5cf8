#include "quant/integer/carrier.h"

#include <cmath>

#include "ATen/ops/item.h"

namespace qwt {
namespace {

constexpr float kMostZero = 1 << 20;  // kernels hold rounded steps in a float's low bits

}  // namespace

std::optional<Carrier> MakeCarrier(const SiteQuantization& site) {
  if (site.spec.quantizer != "uniform" || site.scale.numel() != 1 || site.spec.bits > 8) return std::nullopt;
  const float zero_point = site.zero_point.item<float>();
  Carrier carrier;
  carrier.scale = site.scale.item<float>();
  carrier.inverse_scale = static_cast<float>(1 / static_cast<double>(carrier.scale));
  carrier.zero = std::nearbyint(zero_point);
  if (std::abs(carrier.zero) > kMostZero) return std::nullopt;
  carrier.top = static_cast<float>((1 << site.spec.bits) - 1);
  carrier.end = carrier.zero - zero_point;
  if (carrier.end == 0) return carrier;
  // Clamped: where steps - end <= 0 or >= top, steps whole.
  carrier.low = carrier.end > 0 ? 0.0f : -1.0f;
  carrier.high = carrier.end > 0 ? carrier.top + 1 : carrier.top;
  return carrier;
}

}  // namespace qwt
