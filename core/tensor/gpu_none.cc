#include "core/base/log.h"
#include "core/tensor/gpu.h"

namespace qwt {

std::string GpuName(int index) {
  QWT_CHECK(false);  // there are no GPUs in this build
  return "";
}

void BeginProfile() {}
void EndProfile() {}

}  // namespace qwt
