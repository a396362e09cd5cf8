// Work on a GPU recorded once and launched again as a whole (a CUDA graph), which costs the CPU one launch in place of
// one for each kernel, and the GPU less between two.
#pragma once

#include <functional>
#include <memory>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

namespace qwt {

// Holds all memory that the work needs until it goes. For one thread at a time.
class Recording {
 public:
  virtual ~Recording() = default;
  // What the recorded function makes of x, which is as the example was: queued on the current stream. The result lies
  // in the recording's memory: the next call writes over it.
  virtual at::Tensor Replay(const at::Tensor& x) = 0;
};

using TensorFunction = std::function<absl::StatusOr<at::Tensor>(const at::Tensor& x)>;

// Calls the function with a tensor like the example, on a GPU, while nothing runs there: it must have run before, on as
// large a tensor, so that no kernel is loaded and nothing tried out. An error where the function fails or does what
// cannot be recorded, as waiting for the GPU or reading from it; nothing of the attempt is left.
absl::StatusOr<std::unique_ptr<Recording>> Record(const at::Tensor& example, const TensorFunction& function);

}  // namespace qwt
