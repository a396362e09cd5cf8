// Crops to a GPU, as bytes: a quarter of what they are as the network's input, which is made there.
#pragma once

#include "ATen/core/Tensor.h"
#include "c10/core/Event.h"
#include "c10/core/Stream.h"
#include "data/transform.h"

namespace qwt {

// On any device, the same bits as NormaliseInto (data/transform.h).
class CropNormaliser {
 public:
  CropNormaliser(const Preset& preset, at::Device device);
  // uint8 [N, height, width, 3] on the device -> float32 [N, 3, height, width]
  at::Tensor operator()(const at::Tensor& crops) const;

 private:
  at::Tensor scale_, mean_, std_;  // float32 on the device: [1], [3, 1, 1], [3, 1, 1]
};

// Crops on their way.
struct Upload {
  at::Tensor crops;    // uint8 [N, height, width, 3] on the GPU, to be read once they have arrived
  c10::Event arrived;  // on the stream of uploads
};

// Copies on a stream of its own, while the GPU computes. Thread safe.
class Uploader {
 public:
  Uploader(const Preset& preset, at::Device device);  // a GPU
  // crops: uint8 [N, height, width, 3] in page-locked memory, which may be let go of at once. Does not wait.
  Upload Start(const at::Tensor& crops) const;
  // Waits until they have arrived. Float32 [N, 3, height, width], for use on the caller's current stream.
  at::Tensor Finish(const Upload& upload) const;

 private:
  const at::Device device_;
  const c10::Stream stream_;
  const CropNormaliser normalise_;
};

}  // namespace qwt
