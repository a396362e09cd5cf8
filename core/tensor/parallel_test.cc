#include "core/tensor/parallel.h"

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/core/Tensor.h"
#include "ATen/core/grad_mode.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/randn.h"
#include "absl/strings/str_cat.h"
#include "core/base/interrupt.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(ParallelForTest, EveryItemRunsOnce) {
  for (int threads : {1, 2, 3, 50}) {
    std::vector<std::atomic<int>> runs(20);
    EXPECT_EQ(ParallelFor(20, threads, [&](int64_t i) { return ++runs[i], absl::OkStatus(); }), absl::OkStatus());
    for (const auto& run : runs) EXPECT_EQ(run, 1);
  }
  EXPECT_EQ(ParallelFor(0, 4, [](int64_t) { return absl::InternalError("called"); }), absl::OkStatus());
}

TEST(ParallelForTest, OneThreadTakesTheItemsInOrder) {
  std::vector<int64_t> order;
  EXPECT_EQ(ParallelFor(5, 1, [&](int64_t i) { return order.push_back(i), absl::OkStatus(); }), absl::OkStatus());
  EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3, 4}));
}

// Two items that wait for each other can only finish if two threads are there.
TEST(ParallelForTest, ItemsRunAtTheSameTime) {
  std::atomic<int> arrived{0};
  EXPECT_EQ(ParallelFor(2, 2,
                        [&](int64_t) {
                          for (++arrived; arrived < 2;) std::this_thread::yield();
                          return absl::OkStatus();
                        }),
            absl::OkStatus());
}

TEST(ParallelForTest, OperatorsAreSingleThreadedWithoutGradientsAndTheCallerKeepsItsSetting) {
  at::set_num_threads(3);
  for (int threads : {1, 2}) {
    EXPECT_EQ(ParallelFor(4, threads,
                          [](int64_t) {
                            const bool right = at::get_num_threads() == 1 && !at::GradMode::is_enabled();
                            return right ? absl::OkStatus() : absl::InternalError("wrong setting");
                          }),
              absl::OkStatus());
    EXPECT_EQ(at::get_num_threads(), 3);
    EXPECT_TRUE(at::GradMode::is_enabled());
  }
}

TEST(ParallelForTest, ANestedCallStaysInItsThread) {
  EXPECT_EQ(ParallelFor(2, 2,
                        [](int64_t) {
                          const std::thread::id self = std::this_thread::get_id();
                          return ParallelFor(8, 4, [self](int64_t) {
                            return std::this_thread::get_id() == self ? absl::OkStatus() : absl::InternalError("moved");
                          });
                        }),
            absl::OkStatus());
}

TEST(ParallelForTest, ResultsDoNotDependOnTheNumberOfThreads) {
  at::Tensor a = at::randn({6, 200, 300}), b = at::randn({300, 170});
  std::vector<std::vector<at::Tensor>> results;
  for (int threads : {1, 2, 3}) {
    std::vector<at::Tensor> products(6);
    ASSERT_EQ(ParallelFor(6, threads, [&](int64_t i) { return products[i] = at::matmul(a[i], b), absl::OkStatus(); }),
              absl::OkStatus());
    results.push_back(products);
  }
  for (const auto& products : results) {
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ(std::memcmp(products[i].const_data_ptr(), results[0][i].const_data_ptr(), products[i].nbytes()), 0);
    }
  }
}

TEST(ParallelForTest, NoItemStartsAfterAFailure) {
  std::atomic<int> started{0};
  EXPECT_EQ(ParallelFor(100, 1,
                        [&](int64_t i) {
                          ++started;
                          return i == 3 ? absl::NotFoundError("image 3") : absl::OkStatus();
                        }),
            absl::NotFoundError("image 3"));
  EXPECT_EQ(started, 4);
}

// Item 1 fails at once, item 0 after it: still item 0's status is returned, so that errors do not depend on timing.
TEST(ParallelForTest, TheFirstFailingItemsStatusIsReturned) {
  std::atomic<bool> second_failed{false};
  EXPECT_EQ(ParallelFor(2, 2,
                        [&](int64_t i) {
                          if (i == 1) second_failed = true;
                          while (!second_failed) std::this_thread::yield();
                          return absl::NotFoundError(absl::StrCat("image ", i));
                        }),
            absl::NotFoundError("image 0"));
}

TEST(ParallelForTest, ExceptionsBecomeStatuses) {
  EXPECT_EQ(ParallelFor(3, 2,
                        [](int64_t i) -> absl::Status {
                          if (i == 2) throw std::runtime_error("boom");
                          return absl::OkStatus();
                        }),
            absl::InternalError("item 2: boom"));
}

TEST(ParallelForTest, AnInterruptStopsBetweenItems) {
  std::atomic<int> done{0};
  const absl::Status status = ParallelFor(100, 1, [&](int64_t i) {
    if (i == 5) RequestInterrupt();
    ++done;
    return absl::OkStatus();
  });
  ClearInterrupt();
  EXPECT_EQ(status, absl::CancelledError("interrupted"));
  EXPECT_EQ(done, 6);
}

TEST(ResolveThreadsTest, SharesTheCoresAmongTheRanks) {
  const int cores = std::thread::hardware_concurrency();
  EXPECT_EQ(ResolveThreads(7, 2), 7);
  EXPECT_EQ(ResolveThreads(0, 1), cores);
  EXPECT_EQ(ResolveThreads(0, cores), 1);
  EXPECT_EQ(ResolveThreads(0, 1000 * cores), 1);
  EXPECT_EQ(ResolveThreads(0, 0), cores);
}

}  // namespace
}  // namespace qwt
