#include "pipelines/agreement.h"

#include <string>

#include "core/comm/run_ranks.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

Plan SomePlan(const std::string& images, const std::string& weights) {
  Plan plan;
  PlannedStage load, evaluate;
  load.name = "load";
  evaluate.name = "evaluate";
  evaluate.images.fingerprint = images;
  evaluate.images.indices = {0, 1, 2};
  evaluate.keys = {StoreKey("evaluate", 1).Add("parameters", weights)};
  plan.stages = {load, evaluate};
  return plan;
}

TEST(AgreementTest, TheSamePlanOnEveryRank) {
  RunRanks(3, [](Communicator& comm) {
    const absl::Status status = AgreeOnPlan(SomePlan("0123456789abcdef", "w"), comm);
    EXPECT_TRUE(status.ok()) << status;
  });
}

TEST(AgreementTest, ARankThatSeesOtherImagesIsNamedOnAll) {
  RunRanks(3, [](Communicator& comm) {
    const Plan plan = SomePlan(comm.rank() == 2 ? "fedcba9876543210" : "0123456789abcdef", "w");
    EXPECT_EQ(AgreeOnPlan(plan, comm),
              absl::InvalidArgumentError("evaluate: rank 2 sees other images than rank 0 (fedcba987654 and "
                                         "0123456789ab for the same 3): all ranks need the same files under "
                                         "dataset.root, with the same sizes and times of last change"));
  });
}

TEST(AgreementTest, OtherInputs) {
  RunRanks(2, [](Communicator& comm) {
    EXPECT_EQ(AgreeOnPlan(SomePlan("a", comm.rank() == 0 ? "w" : "v"), comm),
              absl::InvalidArgumentError("evaluate: rank 1 would compute something else than rank 0: all ranks need "
                                         "the same config, weights and version of the program"));
  });
}

TEST(AgreementTest, AFaultOfOneRankStopsAll) {
  RunRanks(2, [](Communicator& comm) {
    absl::StatusOr<Plan> plan = SomePlan("a", "w");
    if (comm.rank() == 1) plan = absl::NotFoundError("no folder '/images/val'");
    EXPECT_EQ(AgreeOnPlan(plan, comm), absl::NotFoundError("on rank 1 alone:\nno folder '/images/val'"));
  });
  RunRanks(2, [](Communicator& comm) {
    EXPECT_EQ(AgreeOnPlan(absl::NotFoundError("no config"), comm), absl::NotFoundError("no config"));
  });
}

TEST(AgreementTest, TheSameKindOfDeviceOnEveryRank) {
  EXPECT_TRUE(AgreeOnDevice(at::Device(at::kCUDA, 1), *MakeLocalCommunicator()).ok());
  RunRanks(3, [](Communicator& comm) {
    EXPECT_TRUE(AgreeOnDevice(at::Device(at::kCUDA, comm.rank()), comm).ok());
    EXPECT_EQ(AgreeOnDevice(comm.rank() == 1 ? at::kCPU : at::kCUDA, comm),
              absl::InvalidArgumentError(
                  "rank 1 computes on the CPU and rank 0 on a GPU: results would depend on who computes what; "
                  "runtime.device: cpu, or cuda with a GPU for each, makes them alike"));
  });
}

TEST(AgreementTest, TheSmallestBatchOfAnyRank) {
  RunRanks(3, [](Communicator& comm) {
    Plan plan = SomePlan("a", "w");
    plan.stages[1].images.batch_size = comm.rank() == 1 ? 64 : 256;
    ASSERT_TRUE(AgreeOnBatchSizes(&plan, comm).ok());
    EXPECT_EQ(plan.stages[1].images.batch_size, 64);
  });
}

TEST(AgreementTest, OneRankKeepsItsOwnStatus) {
  auto comm = MakeLocalCommunicator();
  EXPECT_EQ(AgreeOnPlan(absl::NotFoundError("no config"), *comm), absl::NotFoundError("no config"));
  EXPECT_TRUE(AgreeOnPlan(SomePlan("a", "w"), *comm).ok());
}

}  // namespace
}  // namespace qwt
