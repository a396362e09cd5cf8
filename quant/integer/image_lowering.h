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

// All segments of a network of images as one program: what a convolution of the next block reads leaves the last one of
// this as codes, too.
absl::StatusOr<IntegerProgram> LowerImageNetwork(const Graph& graph, const std::vector<SegmentShapes>& shapes,
                                                 const TensorMap& parameters, const QuantPlan& plan,
                                                 const AddedProducts& added);

}  // namespace qwt
