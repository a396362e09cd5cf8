// Values between blocks in a GPU's memory, in page-locked memory and in files.
#include <filesystem>
#include <vector>

#include "ATen/Context.h"
#include "ATen/TensorOperators.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/randn.h"
#include "pipelines/activation_cache.h"
#include "tests/gpu/gpu.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

using ActivationCacheGpuTest = GpuTest;

constexpr int64_t kBytes = 64 * 1024 * sizeof(float);  // of a value
constexpr int64_t kBatches = 12;

std::string FileIn(const std::string& name) {
  const std::string folder = testing::TempDir() + "/" + name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder + "/scratch";
}

// Passes every batch through a few products, forwards and backwards, as a fit does.
std::vector<at::Tensor> PassThrough(CacheBudget budget, at::Device gpu, ActivationCache::Moved* moved) {
  at::manual_seed(0);
  ActivationCache cache(gpu, budget, FileIn("passes"));
  const at::Tensor weight = at::randn({1024, 1024}).to(gpu) / 32;
  for (int64_t i = 0; i < kBatches; ++i) EXPECT_TRUE(cache.Put({0, i}, at::randn({64, 1024}).to(gpu)).ok());
  for (int pass = 0; pass < 5; ++pass) {
    for (int64_t k = 0; k < kBatches; ++k) {
      const int64_t batch = pass % 2 == 0 ? k : kBatches - 1 - k;
      at::Tensor next;
      {
        const auto x = cache.Get({0, batch});
        EXPECT_TRUE(x.ok()) << x.status();
        EXPECT_TRUE(x->value.is_cuda());
        next = at::matmul(x->value, weight) + x->value;
      }
      EXPECT_TRUE(cache.Put({0, batch}, next).ok());
    }
  }
  std::vector<at::Tensor> values;
  for (int64_t i = 0; i < kBatches; ++i) values.push_back(cache.Get({0, i})->value.cpu());
  *moved = cache.moved();
  return values;
}

TEST_F(ActivationCacheGpuTest, TheSameBitsWhereverValuesLay) {
  UseExactProducts();
  ActivationCache::Moved moved;
  const std::vector<at::Tensor> expected = PassThrough({kBatches * kBytes * 2, 0, 0}, gpu_, &moved);
  EXPECT_EQ(moved.to_host_bytes + moved.to_file_bytes, 0);
  const auto expect_same = [&](CacheBudget budget) {
    const std::vector<at::Tensor> found = PassThrough(budget, gpu_, &moved);
    for (int64_t i = 0; i < kBatches; ++i) EXPECT_TRUE(found[i].equal(expected[i])) << i;
  };
  expect_same({4 * kBytes, kBatches * kBytes, 0});
  EXPECT_GT(moved.to_host_bytes, 0);
  EXPECT_GT(moved.from_host_bytes, 0);
  EXPECT_EQ(moved.to_file_bytes, 0);
  expect_same({4 * kBytes, 3 * kBytes, 0});
  EXPECT_GT(moved.from_host_bytes, 0);
  EXPECT_GT(moved.from_file_bytes, 0);
  expect_same({0, 0, 0});
  EXPECT_EQ(moved.to_host_bytes, 0);
  EXPECT_GT(moved.from_file_bytes, 0);
}

TEST_F(ActivationCacheGpuTest, TheGpusMemoryIsGivenBack) {
  const int64_t before = FreeBytes(gpu_);
  ActivationCache cache(gpu_, {4 * kBytes, 0, 0}, FileIn("given_back"));
  for (int64_t i = 0; i < 200; ++i) ASSERT_TRUE(cache.Put({0, i}, at::randn({64, 1024}).to(gpu_)).ok());
  ReleaseCachedMemory(gpu_);
  EXPECT_LT(before - FreeBytes(gpu_), 100 * kBytes);
}

// Alternating batches in page-locked memory: reads wait for the copies that bring them.
TEST_F(ActivationCacheGpuTest, CopiesAreReadAfterTheyAreMade) {
  ActivationCache cache(gpu_, {0, 100 * kBytes, 0}, FileIn("order"));
  for (int round = 0; round < 50; ++round) {
    const at::Tensor value = at::randn({64, 1024}).to(gpu_);
    ASSERT_TRUE(cache.Put({0, 0}, value).ok());
    ASSERT_TRUE(cache.Put({0, 1}, value + 1).ok());
    EXPECT_TRUE(cache.Get({0, 0})->value.equal(value));
    EXPECT_TRUE(cache.Get({0, 1})->value.equal(value + 1));
  }
  EXPECT_GT(cache.moved().from_host_bytes, 0);
}

}  // namespace
}  // namespace qwt
