// A network's forward pass recorded on a GPU and launched as a whole.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "core/tensor/recording.h"
#include "models/executor.h"

namespace qwt {

// For an executor that queues its work and waits for none of it.
class RecordedNetwork {
 public:
  // Both must outlive it.
  RecordedNetwork(const Graph* graph, const Executor* executor) : graph_(graph), executor_(executor) {}

  // As RunGraph, to the last bit. Of every number of images the first batch runs as it is, so that all is loaded, the
  // second is recorded, and from there on launched again. What cannot be recorded goes on as it is, and the log says so
  // once. On a GPU for one thread at a time, on a CPU always as it is.
  absl::StatusOr<at::Tensor> Run(const at::Tensor& images);
  int recordings() const;

 private:
  struct Entry {
    std::vector<int64_t> sizes;
    std::unique_ptr<Recording> recording;  // none yet: met once
  };

  const Graph* const graph_;
  const Executor* const executor_;
  std::vector<Entry> entries_;  // the last used first
  bool records_ = true;
};

}  // namespace qwt
