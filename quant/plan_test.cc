#include "quant/plan.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/tensor.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

QuantPlan SmallPlan() {
  QuantPlan plan;
  SiteQuantization& input = plan["a.input"];
  input.spec.bits = 4;
  input.spec.percentiles = {0.999, 0.9999, 0.99999};
  input.scale = at::tensor({0.25f});
  input.zero_point = at::tensor({7.3958335f});
  SiteQuantization& weight = plan["a.weight"];
  weight.spec.quantizer = "log_sqrt2";
  weight.spec.granularity = Granularity::kPerChannel;
  weight.spec.channel_dim = 0;
  weight.spec.percentiles = {1.0};
  weight.spec.fractions = {1.0, 0.75, 0.5};
  weight.spec.log_floor = 0;
  weight.scale = at::tensor({0.5f, 1.5f});
  weight.zero_point = at::tensor({3.0f, -4.0f});
  return plan;
}

struct Saved {
  TensorMap tensors;
  std::string specs;
};

Saved Save(const QuantPlan& plan) {
  Saved saved;
  PlanToTensors(plan, &saved.tensors, &saved.specs);
  return saved;
}

TEST(PlanTest, ThereAndBack) {
  const QuantPlan plan = SmallPlan();
  const Saved saved = Save(plan);
  const auto back = PlanFromTensors(saved.tensors, saved.specs);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), plan.size());
  for (const auto& [site, expected] : plan) {
    const SiteQuantization& found = back->at(site);
    EXPECT_TRUE(at::equal(found.scale, expected.scale)) << site;
    EXPECT_TRUE(at::equal(found.zero_point, expected.zero_point)) << site;
    EXPECT_EQ(found.spec.quantizer, expected.spec.quantizer) << site;
    EXPECT_EQ(found.spec.bits, expected.spec.bits) << site;
    EXPECT_EQ(found.spec.granularity, expected.spec.granularity) << site;
    EXPECT_EQ(found.spec.channel_dim, expected.spec.channel_dim) << site;
    EXPECT_EQ(found.spec.percentiles, expected.spec.percentiles) << site;
    EXPECT_EQ(found.spec.fractions, expected.spec.fractions) << site;
    EXPECT_EQ(found.spec.log_floor, expected.spec.log_floor) << site;
  }
}

TEST(PlanTest, DamageIsNamed) {
  Saved saved = Save(SmallPlan());
  EXPECT_EQ(PlanFromTensors({}, saved.specs).status(),
            absl::DataLossError("the plan lacks the tensor 'a.input.scale'"));
  saved.tensors["a.input.scale"] = at::tensor({0.25});
  EXPECT_EQ(PlanFromTensors(saved.tensors, saved.specs).status(),
            absl::DataLossError("the plan's tensor 'a.input.scale' is no float32 vector"));
  saved.tensors["a.input.scale"] = at::tensor({0.25f, 0.5f});
  EXPECT_EQ(PlanFromTensors(saved.tensors, saved.specs).status(),
            absl::DataLossError("the plan's site a.input has 2 scales and 1 zero points"));
  EXPECT_EQ(PlanFromTensors(saved.tensors, "[]").status(), absl::DataLossError("the plan's specs are no map of sites"));
  std::string specs = saved.specs;
  specs.replace(specs.find("\"bits\":4"), 8, "\"bits\":9");
  EXPECT_EQ(PlanFromTensors(saved.tensors, specs).status(),
            absl::DataLossError("the plan's specs of a.input: 9 bits; there are 2 to 8"));
}

}  // namespace
}  // namespace qwt
