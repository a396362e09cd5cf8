#include "core/tensor/device.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

using testing::HasSubstr;

TEST(DeviceTest, TheCpuIsAlwaysThere) {
  EXPECT_EQ(*ResolveDevice("cpu", 0, 1), at::Device(at::kCPU));
  EXPECT_EQ(DescribeDevice(at::Device(at::kCPU)), "cpu");
}

TEST(DeviceTest, AutoIsAGpuWhereThereIsOne) {
  const auto device = ResolveDevice("auto", 1, 2);
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->is_cuda(), GpuCount() > 0);
  if (device->is_cuda()) {
    EXPECT_EQ(device->index(), 1 % GpuCount());
  }
}

TEST(DeviceTest, SaysWhichGpusThereAre) {
  if (GpuCount() == 0) {
    EXPECT_THAT(ResolveDevice("cuda", 0, 1).status().message(),
                HasSubstr("device 'cuda': this program is built without CUDA, or found no driver"));
    return;
  }
  EXPECT_THAT(ResolveDevice("cuda:99", 0, 1).status().message(), HasSubstr("device 'cuda:99': there "));
  EXPECT_THAT(ResolveDevice("cuda:0", 0, 2).status().message(),
              HasSubstr("device 'cuda:0' is one GPU, and 2 ranks run on this machine"));
}

TEST(DeviceTest, RefusesOtherNames) {
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"}) {
    EXPECT_EQ(ResolveDevice(name, 0, 1).status().message(),
              std::string("device '") + name + "': must be auto, cpu, cuda or cuda:N");
  }
}

}  // namespace
}  // namespace qwt
