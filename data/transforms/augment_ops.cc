#include "data/transforms/augment_ops.h"

#include "data/transforms/blend.h"
#include "data/transforms/lookup.h"

namespace qwt {
namespace {

// Each function is of (image, argument, fill); most need not all.
template <at::Tensor (*Function)(const at::Tensor&)>
at::Tensor Plain(const at::Tensor& pixels, double, const Colour&) {
  return Function(pixels);
}

template <at::Tensor (*Function)(const at::Tensor&, int)>
at::Tensor WithInt(const at::Tensor& pixels, double argument, const Colour&) {
  return Function(pixels, static_cast<int>(argument));
}

template <at::Tensor (*Function)(const at::Tensor&, double)>
at::Tensor WithFactor(const at::Tensor& pixels, double argument, const Colour&) {
  return Function(pixels, argument);
}

// timm divides by 10 first: the order decides the last bit.
double Level(double magnitude, double range) { return magnitude / 10 * range; }

double NoArgument(double, int) { return 0; }
double Degrees(double magnitude, int sign) { return sign * Level(magnitude, 30); }
double Bits(double magnitude, int) { return 4 - static_cast<int>(Level(magnitude, 4)); }
double Threshold(double magnitude, int) { return 256 - static_cast<int>(Level(magnitude, 256)); }
double Addend(double magnitude, int) { return static_cast<int>(Level(magnitude, 110)); }
double Factor(double magnitude, int sign) { return 1 + sign * Level(magnitude, 0.9); }
double Slope(double magnitude, int sign) { return sign * Level(magnitude, 0.3); }
double PartOfSide(double magnitude, int sign) { return sign * Level(magnitude, 0.45); }

constexpr std::array<AugmentOp, 15> kOps = {{
    {"AutoContrast", NoArgument, Plain<AutoContrast>},
    {"Equalize", NoArgument, Plain<Equalize>},
    {"Invert", NoArgument, Plain<Invert>},
    {"Rotate", Degrees, Rotate},
    {"PosterizeIncreasing", Bits, WithInt<Posterize>},
    {"SolarizeIncreasing", Threshold, WithInt<Solarize>},
    {"SolarizeAdd", Addend, WithInt<SolarizeAdd>},
    {"ColorIncreasing", Factor, WithFactor<AdjustColour>},
    {"ContrastIncreasing", Factor, WithFactor<AdjustContrast>},
    {"BrightnessIncreasing", Factor, WithFactor<AdjustBrightness>},
    {"SharpnessIncreasing", Factor, WithFactor<AdjustSharpness>},
    {"ShearX", Slope, ShearX},
    {"ShearY", Slope, ShearY},
    {"TranslateXRel", PartOfSide, TranslateXRel},
    {"TranslateYRel", PartOfSide, TranslateYRel},
}};

}  // namespace

const std::array<AugmentOp, 15>& AugmentOps() { return kOps; }

}  // namespace qwt
