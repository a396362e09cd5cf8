#include "core/comm/communicator.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <string>
#include <thread>

#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "core/comm/run_ranks.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(LocalCommunicatorTest, OneRankChangesNothing) {
  std::unique_ptr<Communicator> comm = MakeLocalCommunicator();
  at::Tensor tensor = at::tensor({1.5, -2.0});
  EXPECT_EQ(comm->AllReduceSum(tensor), absl::OkStatus());
  EXPECT_EQ(comm->Broadcast(tensor, 0), absl::OkStatus());
  EXPECT_EQ(comm->Barrier(), absl::OkStatus());
  EXPECT_TRUE(tensor.equal(at::tensor({1.5, -2.0})));
  EXPECT_TRUE(AllGather(tensor, *comm)->equal(tensor.unsqueeze(0)));
}

class GlooTest : public ::testing::TestWithParam<int> {};

TEST_P(GlooTest, SumsEveryDtype) {
  const int ranks = GetParam();
  RunRanks(ranks, [&](Communicator& comm) {
    for (at::ScalarType type : {at::kFloat, at::kDouble, at::kLong}) {
      at::Tensor tensor = at::full({2, 3}, comm.rank() + 1, type);
      EXPECT_EQ(comm.AllReduceSum(tensor), absl::OkStatus());
      EXPECT_TRUE(tensor.equal(at::full({2, 3}, ranks * (ranks + 1) / 2, type)));
    }
    at::Tensor empty = at::empty({0, 3});
    EXPECT_EQ(comm.AllReduceSum(empty), absl::OkStatus());
  });
}

TEST_P(GlooTest, BroadcastsFromEveryRootAndDtype) {
  const int ranks = GetParam();
  RunRanks(ranks, [&](Communicator& comm) {
    EXPECT_EQ(comm.size(), ranks);
    for (int root = 0; root < ranks; ++root) {
      for (at::ScalarType type : {at::kFloat, at::kShort, at::kByte, at::kBool, at::kBFloat16}) {
        at::Tensor tensor = at::full({3}, comm.rank() == root, type);
        EXPECT_EQ(comm.Broadcast(tensor, root), absl::OkStatus());
        EXPECT_TRUE(tensor.equal(at::full({3}, 1, type)));
      }
    }
  });
}

TEST_P(GlooTest, GathersBitForBit) {
  const int ranks = GetParam();
  RunRanks(ranks, [&](Communicator& comm) {
    at::Tensor own = at::tensor({-0.0, static_cast<double>(comm.rank())});
    absl::StatusOr<at::Tensor> gathered = AllGather(own, comm);
    ASSERT_EQ(gathered.status(), absl::OkStatus());
    ASSERT_EQ(gathered->sizes(), (std::vector<int64_t>{ranks, 2}));
    for (int rank = 0; rank < ranks; ++rank) {
      EXPECT_TRUE(std::signbit((*gathered)[rank][0].item<double>()));
      EXPECT_EQ((*gathered)[rank][1].item<double>(), rank);
    }
  });
}

TEST_P(GlooTest, ARankThatHasEndedIsUnavailable) {
  const int ranks = GetParam();
  RunRanks(ranks, [&](Communicator& comm) {
    EXPECT_EQ(comm.Barrier(), absl::OkStatus());
    if (comm.rank() == 0) return;
    at::Tensor tensor = at::tensor({1.0});
    const absl::Status status = comm.AllReduceSum(tensor);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    const std::string expected = "rank " + std::to_string(comm.rank()) + " of " + std::to_string(ranks) +
                                 ": all-reduce failed: another rank has ended or is more than 60 s late "
                                 "(QWT_COMM_TIMEOUT_SECONDS): Gloo: ";
    EXPECT_TRUE(absl::StartsWith(std::string(status.message()), expected)) << status;
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, GlooTest, ::testing::Values(2, 3));

// Rank 1 stays, but never comes to the barrier until rank 0 has given up.
TEST(GlooTimeoutTest, ARankThatIsLateIsUnavailable) {
  std::atomic<bool> given_up{false};
  RunRanks(
      2,
      [&](Communicator& comm) {
        if (comm.rank() == 1) {
          while (!given_up) std::this_thread::yield();
          return;
        }
        at::Tensor tensor = at::tensor({1.0});
        const absl::Status status = comm.Broadcast(tensor, 1);
        given_up = true;
        EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
        const std::string expected =
            "rank 0 of 2: broadcast from rank 1 failed: another rank has ended or is more than 1 s late "
            "(QWT_COMM_TIMEOUT_SECONDS): Gloo: ";
        EXPECT_TRUE(absl::StartsWith(std::string(status.message()), expected)) << status;
      },
      1);
}

TEST(JoinRanksTest, WithoutWorldSizeThereIsOneRank) {
  unsetenv("WORLD_SIZE");
  absl::StatusOr<std::unique_ptr<Communicator>> comm = JoinRanks();
  ASSERT_EQ(comm.status(), absl::OkStatus());
  EXPECT_EQ((*comm)->size(), 1);
}

TEST(JoinRanksTest, ANetworkWithoutRankZeroIsUnavailable) {
  setenv("WORLD_SIZE", "2", 1);
  setenv("RANK", "1", 1);
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  setenv("MASTER_PORT", "1", 1);  // nobody listens there
  setenv("QWT_COMM_TIMEOUT_SECONDS", "1", 1);
  const absl::Status status = JoinRanks().status();
  unsetenv("WORLD_SIZE");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  const std::string expected =
      "rank 1 of 2: could not join the others at 127.0.0.1:1 within 1 s (QWT_COMM_TIMEOUT_SECONDS): Gloo: ";
  EXPECT_TRUE(absl::StartsWith(std::string(status.message()), expected)) << status;
}

}  // namespace
}  // namespace qwt
