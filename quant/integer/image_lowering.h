// Segments of images: residual networks.
#pragma once

#include "absl/status/statusor.h"
#include "quant/integer/program.h"

namespace qwt {

// Whether the segment has a convolution whose output is an image's pixels, not tokens.
bool HoldsImages(const Segment& segment);

// LowerSegment of such a segment.
absl::StatusOr<IntegerProgram> LowerImages(const Segment& segment, const SegmentShapes& shapes,
                                           const TensorMap& parameters, const QuantPlan& plan,
                                           const AddedProduct* added);

}  // namespace qwt
