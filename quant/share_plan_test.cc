#include "quant/share_plan.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/randn.h"
#include "core/comm/run_ranks.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(SharePlanTest, EveryRankHasTheFirstRanksPlan) {
  QuantSpecs specs;
  QuantPlan found;
  for (int i = 0; i < 5; ++i) {
    const std::string site = "blocks." + std::to_string(i) + ".input";
    specs[site].bits = 2 + i;
    found[site] = {specs[site], at::randn({1 + 3 * i}), at::randn({1 + 3 * i})};
  }
  RunRanks(3, [&](Communicator& comm) {
    QuantPlan plan;
    if (comm.rank() == 0) plan = found;
    if (comm.rank() == 2) plan["blocks.9.input"] = found.begin()->second;  // of before
    ASSERT_TRUE(SharePlan(specs, &plan, comm).ok());
    ASSERT_EQ(plan.size(), found.size());
    for (const auto& [site, expected] : found) {
      EXPECT_EQ(plan.at(site).spec.bits, expected.spec.bits);
      EXPECT_TRUE(plan.at(site).scale.equal(expected.scale)) << site;
      EXPECT_TRUE(plan.at(site).zero_point.equal(expected.zero_point)) << site;
    }
  });
}

TEST(SharePlanTest, OneRankKeepsItsOwn) {
  QuantSpecs specs;
  QuantPlan plan;
  plan["a"] = {specs["a"], at::randn({1}), at::randn({1})};
  const at::Tensor scale = plan["a"].scale.clone();
  ASSERT_TRUE(SharePlan(specs, &plan, *MakeLocalCommunicator()).ok());
  EXPECT_TRUE(plan.at("a").scale.equal(scale));
}

}  // namespace
}  // namespace qwt
