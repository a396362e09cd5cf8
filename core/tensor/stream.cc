#include "core/tensor/stream.h"

#include "c10/core/DeviceGuard.h"
#include "c10/core/impl/VirtualGuardImpl.h"

namespace qwt {

void RunOnStreamOf(const at::Tensor& x, const std::function<void(void* stream)>& launch) {
  const c10::DeviceGuard guard(x.device());
  const c10::impl::VirtualGuardImpl device(x.device().type());
  launch(device.getStreamNativeHandle(device.getStream(x.device())));
}

}  // namespace qwt
