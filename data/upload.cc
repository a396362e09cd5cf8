#include "data/upload.h"

#include <array>

#include "ATen/TensorOperators.h"
#include "ATen/ops/full.h"
#include "ATen/ops/tensor.h"
#include "c10/core/StreamGuard.h"
#include "c10/core/impl/VirtualGuardImpl.h"

namespace qwt {
namespace {

at::Tensor PerChannel(const std::array<double, 3>& values, at::Device device) {
  return at::tensor(values, at::kFloat).view({3, 1, 1}).to(device);
}

c10::impl::VirtualGuardImpl Streams(at::Device device) { return c10::impl::VirtualGuardImpl(device.type()); }

}  // namespace

// 255 is a tensor on the device because LibTorch's CUDA kernel multiplies by the reciprocal of a divisor from the CPU,
// which rounds otherwise.
CropNormaliser::CropNormaliser(const Preset& preset, at::Device device)
    : scale_(at::full({1}, 255.0, at::kFloat).to(device)),
      mean_(PerChannel(preset.mean, device)),
      std_(PerChannel(preset.std, device)) {}

at::Tensor CropNormaliser::operator()(const at::Tensor& crops) const {
  at::Tensor images = crops.permute({0, 3, 1, 2}).to(at::kFloat, false, false, at::MemoryFormat::Contiguous);
  return images.div_(scale_).sub_(mean_).div_(std_);
}

Uploader::Uploader(const Preset& preset, at::Device device)
    : device_(device), stream_(Streams(device).getNewStream(device)), normalise_(preset, device) {}

Upload Uploader::Start(const at::Tensor& crops) const {
  const c10::StreamGuard guard(stream_);
  Upload upload{crops.to(device_, /*non_blocking=*/true), c10::Event(device_.type())};
  upload.arrived.record(stream_);
  return upload;
}

at::Tensor Uploader::Finish(const Upload& upload) const {
  upload.arrived.synchronize();
  // The crops' memory belongs to the stream of uploads, which may take it again once they are let go of: not before
  // the caller's stream has read them.
  upload.crops.record_stream(Streams(device_).getStream(device_));
  return normalise_(upload.crops);
}

}  // namespace qwt
