#include "core/comm/communicator.h"

#include <atomic>
#include <cmath>
#include <string>
#include <thread>

#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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
                                 ": all-reduce of double [1] failed: another rank has ended or is more than 60 s late "
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
            "rank 0 of 2: broadcast from rank 1 of double [1] failed: another rank has ended or is more than 1 s late "
            "(QWT_COMM_TIMEOUT_SECONDS): Gloo: ";
        EXPECT_TRUE(absl::StartsWith(std::string(status.message()), expected)) << status;
      },
      1);
}

TEST(JoinRanksTest, OneRankNeedsNoNetwork) {
  absl::StatusOr<std::unique_ptr<Communicator>> comm = JoinRanks({}, at::kCPU);
  ASSERT_EQ(comm.status(), absl::OkStatus());
  EXPECT_EQ((*comm)->size(), 1);
}

TEST(JoinRanksTest, ANetworkWithoutRankZeroIsUnavailable) {
  RankSettings settings;
  settings.rank = 1;
  settings.size = 2;
  settings.master_address = "127.0.0.1";
  settings.master_port = 1;  // nobody listens there
  settings.timeout_seconds = 1;
  const absl::Status status = JoinRanks(settings, at::kCPU).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  const std::string expected =
      "rank 1 of 2: could not join the others at 127.0.0.1:1 within 1 s (QWT_COMM_TIMEOUT_SECONDS): c10d: ";
  EXPECT_TRUE(absl::StartsWith(std::string(status.message()), expected)) << status;
}

TEST(JoinRanksTest, RankZeroNamesTheRanksThatDoNotCome) {
  const absl::StatusOr<int> port = FreePort();
  ASSERT_TRUE(port.ok());
  const absl::Status status = JoinRanks({0, 3, 0, 3, "127.0.0.1", *port, 1}, at::kCPU).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), absl::StrCat("rank 0 of 3: could not join the others at 127.0.0.1:", *port,
                                           " within 1 s (QWT_COMM_TIMEOUT_SECONDS): ranks 1, 2 did not come"));
}

}  // namespace
}  // namespace qwt
