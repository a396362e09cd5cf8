// Weights under the names and in the layout they were published with, as this project's networks have them: timm
// 0.4.12's and torchvision's. A parameter is one or more views of the file's tensors.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tensor/safetensors.h"
#include "models/graph.h"

namespace qwt {

// A parameter: its parts, one above the other along the first dimension. Any dtype, any strides.
using Parts = std::vector<at::Tensor>;
using Parameters = std::map<std::string, Parts>;

// In this order, each where the file shows that it is needed:
// - a prefix that all names share ("module." of DataParallel, "_orig_mod." of torch.compile, "model.") goes;
// - ViT in JAX layout (augreg's .npz; under "opt/target/" too): kernels [in, heads, D] and HWIO are transposed, query,
//   key and value are put together, everything beside the network (the optimiser's state) goes;
// - Swin as newer timm publishes it: layers.(S+1).downsample is the end of stage S, head.fc is head;
// - buffers that are computed here go: relative_position_index, attn_mask, num_batches_tracked.
// What fits nothing stays under its own name.
Parameters AdaptLayout(const TensorMap& tensors, const Graph& graph);

// Whose names these look like where they are not the graph's: "torchvision's VisionTransformer"; "" if nobody's.
std::string ForeignLayout(const Parameters& parameters, const Graph& graph);

}  // namespace qwt
