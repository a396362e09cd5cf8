// Two ranks over NCCL, each with a GPU of its own, as processes. With fewer GPUs it says that it skips, and passes.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "ATen/Context.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/full.h"
#include "ATen/ops/rand.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "core/comm/communicator.h"
#include "core/comm/launcher.h"
#include "core/comm/rank_settings.h"
#include "core/comm/run_ranks.h"
#include "core/tensor/device.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr int kRanks = 2;
constexpr char kTimeoutSeconds[] = "5";
Communicator* comm = nullptr;
at::Device device = at::kCPU;

TEST(NcclTest, SumsEveryDtypeOnGpuAndCpu) {
  for (at::Device place : {device, at::Device(at::kCPU)}) {
    for (at::ScalarType type : {at::kFloat, at::kDouble, at::kLong}) {
      at::Tensor tensor = at::full({2, 3}, comm->rank() + 1, at::TensorOptions(place).dtype(type));
      ASSERT_EQ(comm->AllReduceSum(tensor), absl::OkStatus());
      EXPECT_EQ(tensor.device(), place);
      EXPECT_TRUE(tensor.cpu().equal(at::full({2, 3}, kRanks * (kRanks + 1) / 2, type)));
    }
  }
  at::Tensor empty = at::empty({0, 3}, device);
  EXPECT_EQ(comm->AllReduceSum(empty), absl::OkStatus());
  EXPECT_EQ(comm->Barrier(), absl::OkStatus());
}

TEST(NcclTest, BroadcastsFromEveryRootAndDtype) {
  for (int root = 0; root < kRanks; ++root) {
    for (at::ScalarType type : {at::kFloat, at::kDouble, at::kShort, at::kByte, at::kBool, at::kBFloat16}) {
      at::Tensor tensor = at::full({3, 5}, comm->rank() == root, at::TensorOptions(device).dtype(type));
      ASSERT_EQ(comm->Broadcast(tensor, root), absl::OkStatus());
      EXPECT_TRUE(tensor.cpu().equal(at::full({3, 5}, 1, type)));
      at::Tensor scalar = at::full({}, comm->rank() == root, at::TensorOptions(device).dtype(type));
      ASSERT_EQ(comm->Broadcast(scalar, root), absl::OkStatus());
      EXPECT_TRUE(scalar.cpu().equal(at::full({}, 1, type)));
    }
  }
}

TEST(NcclTest, GathersBitForBitOnTheGpu) {
  const absl::StatusOr<at::Tensor> gathered =
      AllGather(at::tensor({-0.0, static_cast<double>(comm->rank())}).to(device), *comm);
  ASSERT_EQ(gathered.status(), absl::OkStatus());
  EXPECT_EQ(gathered->device(), device);
  const at::Tensor on_cpu = gathered->cpu();
  for (int rank = 0; rank < kRanks; ++rank) {
    EXPECT_TRUE(std::signbit(on_cpu[rank][0].item<double>()));
    EXPECT_EQ(on_cpu[rank][1].item<double>(), rank);
  }
}

TEST(NcclTest, ASumHasTheSameBitsOnAllRanks) {
  for (int64_t count : {1, 1000, 1 << 20}) {
    at::Tensor sum = at::rand({count}, at::TensorOptions(device).dtype(at::kFloat));
    at::Tensor terms = *AllGather(sum, *comm);
    ASSERT_EQ(comm->AllReduceSum(sum), absl::OkStatus());
    EXPECT_TRUE(sum.equal(terms.select(0, 0).add(terms.select(0, 1))));  // of two, addition has one order
    const absl::StatusOr<at::Tensor> sums = AllGather(sum, *comm);
    ASSERT_EQ(sums.status(), absl::OkStatus());
    EXPECT_TRUE(sums->select(0, 0).equal(sums->select(0, 1)));
  }
}

// What ranks do that share one GPU, which NCCL does not allow.
TEST(NcclTest, GlooTakesTensorsOfAGpu) {
  RunRanks(2, [](Communicator& gloo) {
    at::Tensor tensor = at::full({3}, gloo.rank() + 1.0, at::TensorOptions(device).dtype(at::kDouble));
    EXPECT_EQ(gloo.AllReduceSum(tensor), absl::OkStatus());
    EXPECT_EQ(tensor.device(), device);
    EXPECT_TRUE(tensor.cpu().equal(at::tensor({3.0, 3.0, 3.0})));
    at::Tensor half = at::full({3}, gloo.rank(), at::TensorOptions(device).dtype(at::kHalf));
    EXPECT_EQ(gloo.Broadcast(half, 1), absl::OkStatus());
    EXPECT_TRUE(half.cpu().equal(at::full({3}, 1, at::kHalf)));
  });
}

// The last: NCCL is of no use afterwards. Rank 1 comes too late; the time is the test's subject, not asserted.
TEST(NcclTest, ARankThatIsLateIsUnavailableAndTheProcessGoesOn) {
  if (comm->rank() == 1) {
    sleep(2 * std::atoi(kTimeoutSeconds));
    return;
  }
  at::Tensor tensor = at::full({4, 2}, 1.0, at::TensorOptions(device).dtype(at::kDouble));
  const absl::Status status = comm->AllReduceSum(tensor);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StartsWith(std::string(status.message()),
                               "rank 0 of 2: all-reduce of double [4, 2] failed: another rank has ended or is more "
                               "than 5 s late (QWT_COMM_TIMEOUT_SECONDS): NCCL: "))
      << status;
}

int RunAsRank() {
  const absl::StatusOr<RankSettings> settings = RankSettingsFromEnvironment();
  if (!settings.ok()) return std::fprintf(stderr, "%s\n", settings.status().ToString().c_str()), 1;
  const absl::StatusOr<at::Device> found = ResolveDevice("cuda", settings->local_rank, settings->local_size);
  if (!found.ok()) return std::fprintf(stderr, "%s\n", found.status().ToString().c_str()), 1;
  device = *found;
  at::globalContext().lazyInitDevice(at::kCUDA);
  auto joined = JoinRanks(*settings, device);
  if (!joined.ok()) return std::fprintf(stderr, "%s\n", joined.status().ToString().c_str()), 1;
  comm = joined->get();
  const int code = RUN_ALL_TESTS();
  comm->Leave(absl::OkStatus());
  return code;
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) {
  if (std::getenv("RANK") != nullptr) {
    if (std::string(std::getenv("RANK")) != "0") unsetenv("XML_OUTPUT_FILE");  // one report is enough
    testing::InitGoogleTest(&argc, argv);
    return qwt::RunAsRank();
  }
  if (qwt::GpuCount() < qwt::kRanks) {
    std::printf("skipped: this needs %d GPUs in a build with --config=cuda; there are %d\n", qwt::kRanks,
                qwt::GpuCount());
    return 0;
  }
  setenv("QWT_COMM_TIMEOUT_SECONDS", qwt::kTimeoutSeconds, 1);
  return qwt::LaunchLocalRanks(qwt::kRanks, argv);
}
