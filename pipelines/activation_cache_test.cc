#include "pipelines/activation_cache.h"

#include <filesystem>

#include "ATen/TensorOperators.h"
#include "ATen/ops/full.h"
#include "ATen/ops/randn.h"
#include "core/tensor/parallel.h"
#include "core/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBytes = 4000;  // of a value here

std::string FileIn(const std::string& name) {
  const std::string folder = testing::TempDir() + "/" + name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder + "/scratch";
}

at::Tensor Value(int number) { return at::full({10, 100}, number, at::kFloat); }

TEST(ActivationCacheTest, WhatIsNotNeededForLongestMovesOn) {
  ActivationCache cache(at::kCPU, {3 * kBytes, 0, 0}, FileIn("lru"));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(cache.Put({0, i}, Value(i)).ok());
  EXPECT_EQ(cache.moved().to_file_bytes, 0);
  ASSERT_TRUE(cache.Get({0, 0}).ok());            // now 1 is the one
  ASSERT_TRUE(cache.Put({0, 3}, Value(3)).ok());  // moves it
  EXPECT_EQ(cache.moved().to_file_bytes, kBytes);
  for (int i : {0, 2, 3}) EXPECT_TRUE(cache.Get({0, i})->value.equal(Value(i)));
  EXPECT_EQ(cache.moved().from_file_bytes, 0);
  EXPECT_TRUE(cache.Get({0, 1})->value.equal(Value(1)));
  EXPECT_EQ(cache.moved().from_file_bytes, kBytes);
  EXPECT_EQ(cache.moved().to_file_bytes, 2 * kBytes);  // 0 made room
  // 1 still lies in its file, too: it is not written again.
  for (int i : {0, 2, 3, 1}) EXPECT_TRUE(cache.Get({0, i})->value.equal(Value(i)));
  EXPECT_EQ(cache.moved().to_file_bytes, 4 * kBytes);
  cache.Erase({0, 0});
  ASSERT_TRUE(cache.Put({0, 1}, Value(7)).ok());  // in its place
  EXPECT_TRUE(cache.Get({0, 1})->value.equal(Value(7)));
}

TEST(ActivationCacheTest, WhatIsAtWorkStays) {
  ActivationCache cache(at::kCPU, {kBytes, 0, 0}, FileIn("pins"));
  ASSERT_TRUE(cache.Put({0, 0}, Value(0)).ok());
  {
    const auto pinned = *cache.Get({0, 0});
    ASSERT_TRUE(cache.Put({0, 1}, Value(1)).ok());
    ASSERT_TRUE(cache.Put({0, 2}, Value(2)).ok());
    EXPECT_EQ(cache.moved().to_file_bytes, 2 * kBytes);  // themselves
    EXPECT_EQ(cache.Get({0, 0})->value.const_data_ptr(), pinned.value.const_data_ptr());
    EXPECT_EQ(cache.moved().from_file_bytes, 0);
  }
  ASSERT_TRUE(cache.Put({0, 3}, Value(3)).ok());
  EXPECT_EQ(cache.moved().to_file_bytes, 3 * kBytes);  // 0, for 3
}

TEST(ActivationCacheTest, ItsFileHasNoName) {
  const std::string scratch = FileIn("names");
  ActivationCache cache(at::kCPU, {0, 0, 0}, scratch);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(cache.Put({0, i}, Value(i)).ok());
  EXPECT_EQ(cache.moved().to_file_bytes, 5 * kBytes);
  EXPECT_TRUE(fs::is_empty(fs::path(scratch).parent_path()));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(cache.Get({0, i})->value.equal(Value(i)));
}

// Operators may round otherwise on another layout or alignment.
TEST(ActivationCacheTest, LayoutAndAlignmentAreTheSameWhereverItLay) {
  const at::Tensor value = at::randn({6, 4, 5}).transpose(0, 2);
  for (const int64_t budget : {int64_t{0}, int64_t{1} << 30}) {
    ActivationCache cache(at::kCPU, {budget, 0, 0}, FileIn("layout"));
    ASSERT_TRUE(cache.Put({0, 0}, value).ok());
    ASSERT_TRUE(cache.Put({0, 1}, value).ok());
    const at::Tensor found = cache.Get({0, 0})->value;
    EXPECT_TRUE(found.is_contiguous());
    EXPECT_TRUE(found.equal(value));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(found.const_data_ptr()) % 64, 0u);
  }
}

TEST(ActivationCacheTest, AMappedValueTakesMemoryWhenItIsRead) {
  const std::string path = testing::TempDir() + "/mapped.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, {{{"value", Value(5)}}, {}}).ok());
  ActivationCache cache(at::kCPU, {kBytes, 0, 0}, FileIn("mapped"));
  const auto file = *MappedFile::Open(path);
  cache.PutMapped({0, 0}, {ParseSafetensors(file, path)->tensors.at("value"), file});
  ASSERT_TRUE(cache.Put({0, 1}, Value(1)).ok());
  EXPECT_EQ(cache.moved().to_file_bytes, 0);
  EXPECT_TRUE(cache.Get({0, 0})->value.equal(Value(5)));
  EXPECT_EQ(cache.moved().to_file_bytes, kBytes);
}

TEST(ActivationCacheTest, WhereThereIsNoRoomItSaysWhatDoesNotFit) {
  ActivationCache cache(at::kCPU, {0, 0, 0}, "/nowhere/file");
  EXPECT_EQ(cache.Put({0, 0}, Value(0)),
            absl::NotFoundError("values between blocks that memory is not to hold (runtime.cache_bytes) do not go to a "
                                "file: write '/nowhere/file': No such file or directory"));
}

TEST(ActivationCacheTest, ManyThreadsSeeTheirValues) {
  ActivationCache cache(at::kCPU, {5 * kBytes, 0, 0}, FileIn("threads"));
  const absl::Status status = ParallelFor(400, 4, [&](int64_t i) -> absl::Status {
    const ActivationCache::Key own = {1, i};
    if (absl::Status put = cache.Put(own, Value(static_cast<int>(i))); !put.ok()) return put;
    auto found = cache.Get(own);
    if (!found.ok()) return found.status();
    const bool right = found->value.equal(Value(static_cast<int>(i)));
    found->pin.reset();
    if (i % 2 == 0) cache.Erase(own);
    return right ? absl::OkStatus() : absl::InternalError("another value");
  });
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace qwt
