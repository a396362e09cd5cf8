// Tests that need a GPU: elsewhere they are skipped, saying so.
#pragma once

#include "core/tensor/device.h"
#include "gtest/gtest.h"

namespace qwt {

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (GpuCount() == 0) GTEST_SKIP() << "there is no GPU";
    UseExactProducts();
  }
  const at::Device gpu_ = at::Device(at::kCUDA, 0);
};

}  // namespace qwt
