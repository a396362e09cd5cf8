#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/arange.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/executor.h"

namespace qwt {
namespace {

using testing::ElementsAre;

// Doubles its batch where that has at most `room` images.
class Cramped : public Executor {
 public:
  Cramped(int64_t room, std::vector<int64_t>* tried) : room_(room), tried_(tried) {}
  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    tried_->push_back(batch.size(0));
    if (batch.size(0) > room_) return absl::ResourceExhaustedError("no memory");
    return batch * 2;
  }

 private:
  const int64_t room_;
  std::vector<int64_t>* tried_;
};

struct HalvingExecutorTest : testing::Test {
  absl::StatusOr<at::Tensor> Run(const Executor& executor, int64_t images) {
    return executor.Run(Segment{"blocks.0", {}}, at::arange(images, at::kFloat));
  }
  std::vector<int64_t> tried;
};

TEST_F(HalvingExecutorTest, RunsInHalvesWhatHasNoRoom) {
  const auto executor = MakeHalvingExecutor(std::make_unique<Cramped>(3, &tried));
  const auto output = Run(*executor, 9);
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_TRUE(output->equal(at::arange(9, at::kFloat) * 2));
  EXPECT_THAT(tried, ElementsAre(9, 5, 3, 2, 2, 2));
}

TEST_F(HalvingExecutorTest, RunsWholeNetworksInHalves) {
  const auto executor = MakeHalvingExecutor(std::make_unique<Cramped>(3, &tried));
  Graph graph;
  graph.stem.name = "stem";
  graph.head.name = "head";
  const auto output = executor->RunAll(graph, at::arange(5, at::kFloat));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_TRUE(output->equal(at::arange(5, at::kFloat) * 4));
  EXPECT_THAT(tried, ElementsAre(5, 3, 3, 2, 2));
}

TEST_F(HalvingExecutorTest, RemembersHowManyThereIsRoomFor) {
  const auto executor = MakeHalvingExecutor(std::make_unique<Cramped>(4, &tried));
  ASSERT_TRUE(Run(*executor, 8).ok());
  tried.clear();
  ASSERT_TRUE(Run(*executor, 8).ok());
  EXPECT_THAT(tried, ElementsAre(4, 4));
}

TEST_F(HalvingExecutorTest, OneImageWithoutRoomIsAnError) {
  const auto executor = MakeHalvingExecutor(std::make_unique<Cramped>(0, &tried));
  EXPECT_EQ(Run(*executor, 4).status(), absl::ResourceExhaustedError("no memory"));
  EXPECT_THAT(tried, ElementsAre(4, 2, 1));
}

}  // namespace
}  // namespace qwt
