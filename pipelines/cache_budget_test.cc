#include "pipelines/cache_budget.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(CacheBudgetTest, SaysWhereValuesLive) {
  const at::Device cpu = at::kCPU, gpu = at::Device(at::kCUDA, 0);
  EXPECT_EQ(DescribePlacement(310000000, {1000000000, 0, 0}, cpu), "310 MB, all in memory");
  EXPECT_EQ(DescribePlacement(3100000000, {1000000000, 0, 0}, cpu),
            "3.1 GB: 1.0 GB in memory, 2.1 GB in a file beside the store");
  EXPECT_EQ(
      DescribePlacement(3100000000, {1000000000, 1500000000, 4000000000}, gpu),
      "3.1 GB: 1.0 GB on the GPU, 1.5 GB in page-locked memory, 600 MB in a file beside the store; up to 4.0 GB of "
      "the store keep such values for other runs");
  EXPECT_EQ(DescribePlacement(100, {0, 0, 0}, cpu), "100 B: 100 B in a file beside the store");
}

Options Runtime(const std::string& yaml, Problems* problems) {
  const auto node = ParseConfig(yaml, "c.yaml");
  const Options options = CheckOptions(*node, {CacheOptions()}, problems);
  CheckCacheOptions(options, problems);
  return options;
}

TEST(CacheBudgetTest, ReadsSizesAndRefusesWhatIsNone) {
  Problems none, some;
  const Options options = Runtime("{cache_bytes: 2GB, stored_cache_bytes: 500MB}", &none);
  EXPECT_TRUE(none.empty());
  const CacheBudget budget = ResolveCacheBudget(options, at::kCPU, 2);
  EXPECT_EQ(budget.device_bytes, 2000000000);
  EXPECT_EQ(budget.host_bytes, 0);
  EXPECT_EQ(budget.store_bytes, 500000000);
  Runtime("{cache_bytes: much, stored_cache_bytes: -1}", &some);
  ASSERT_EQ(some.lines().size(), 2u);
  EXPECT_EQ(some.lines()[0], "c.yaml:1: cache_bytes: must be auto or a size as 20GB, 500MB or 0, is 'much'");
  EXPECT_EQ(some.lines()[1], "c.yaml:1: stored_cache_bytes: must be auto or a size as 20GB, 500MB or 0, is '-1'");
}

TEST(CacheBudgetTest, AutoIsAPartOfTheMemoryThatIsFree) {
  Problems none;
  const Options options = Runtime("{}", &none);
  const CacheBudget alone = ResolveCacheBudget(options, at::kCPU, 1), shared = ResolveCacheBudget(options, at::kCPU, 4);
  EXPECT_GT(shared.device_bytes, 0);
  EXPECT_LT(shared.device_bytes, alone.device_bytes / 2);
  EXPECT_EQ(alone.store_bytes, 0);
}

}  // namespace
}  // namespace qwt
