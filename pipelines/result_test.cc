#include "pipelines/result.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "ATen/ops/tensor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipelines/progress.h"
#include "pipelines/report.h"

namespace qwt {
namespace {

using testing::HasSubstr;

RunResult SomeResult() {
  RunResult result;
  result.name = "a <b>";
  result.config_sha256 = "0123456789abcdef";
  result.models = {"float", "quantized"};
  result.scores["float"] = {2000, 89.6, 99.8, 88.19, 90.86, 1750};
  result.scores["quantized"] = {2000, 87.1, 99.75, 85.56, 88.5, 1569, 0.125};
  result.comparisons = {{"float", "quantized", 89, 39, McNemarTest(89, 39)}};
  result.size_mb = {{"float", 2.727}, {"quantized", 0.305128}};
  BlockSolution kept, dropped;
  kept.block = "blocks.0";
  kept.kept = true;
  kept.r2 = 0.44;
  kept.mse_before = 2;
  kept.mse_after = 1;
  kept.condition = std::numeric_limits<double>::infinity();
  kept.rank = 65;
  dropped.block = "blocks.1";
  dropped.reason = "R² is -1";
  dropped.held_out_r2 = -1.5;
  result.blocks = {kept, dropped};
  StageRecord load, fit, evaluate;
  load.name = "load";
  load.seconds = 0.5;
  fit.name = "fit";
  fit.seconds = 2;
  fit.images = 512;
  fit.load_seconds = 1.5;
  fit.transfer_seconds = 0.25;
  fit.images_sha256 = "fed";
  fit.skipped = {"a.jpg", "b.jpg", "c.jpg", "d.jpg"};
  evaluate.name = "evaluate";
  evaluate.cached = true;
  result.stages = {load, fit, evaluate};
  return result;
}

TEST(ResultTest, JsonHoldsEveryFieldOfTheSchema) {
  const nlohmann::json json = nlohmann::json::parse(ResultToJson(SomeResult()));
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["status"], "ok");
  EXPECT_TRUE(json["error"].is_null());
  EXPECT_EQ(json["evaluation"]["quantized"],
            nlohmann::json::parse(
                R"({"images": 2000, "top1": 87.1, "top5": 99.75, "top1_ci95": [85.56, 88.5], "logits_mse": 0.125})"));
  EXPECT_FALSE(json["evaluation"]["float"].contains("logits_mse"));
  EXPECT_EQ(json["mcnemar"], nlohmann::json::parse(R"([{"models": ["float", "quantized"], "only_right": [89, 39],
                                                        "method": "chi_squared", "p": 1.4841410792897195e-05}])"));
  EXPECT_FALSE(json.contains("expected"));
  EXPECT_EQ(json["size_mb"], nlohmann::json::parse(R"({"float": 2.727, "quantized": 0.305128})"));
  EXPECT_EQ(json["blocks"][0]["kept"], true);
  EXPECT_EQ(json["blocks"][0]["rank"], 65);
  EXPECT_TRUE(json["blocks"][0]["condition"].is_null()) << "JSON has no infinity";
  EXPECT_EQ(json["blocks"][1]["reason"], "R² is -1");
  EXPECT_EQ(json["blocks"][1]["held_out_r2"], -1.5);
  EXPECT_FALSE(json["blocks"][0].contains("held_out_r2")) << "nothing was kept aside";
  EXPECT_EQ(json["stages"][1]["images_per_second"], 256);
  EXPECT_EQ(json["stages"][1]["load_seconds"], 1.5);
  EXPECT_EQ(json["stages"][1]["transfer_seconds"], 0.25);
  EXPECT_EQ(json["stages"][1]["bound_by"], "decode");
  EXPECT_EQ(json["stages"][1]["images_sha256"], "fed");
  EXPECT_EQ(json["stages"][1]["skipped"].size(), 4u);
  EXPECT_EQ(json["stages"][2]["cached"], true);
  EXPECT_EQ(json["environment"]["device"], "cpu");
}

TEST(ResultTest, AFailedRunSaysWhy) {
  RunResult result;
  result.name = "x";
  result.status = absl::DataLossError("fit: it broke");
  const nlohmann::json json = nlohmann::json::parse(ResultToJson(result));
  EXPECT_EQ(json["status"], "failed");
  EXPECT_EQ(json["error"], "fit: it broke");
  EXPECT_EQ(ResultToTable(result), "");
  EXPECT_THAT(ResultToHtml(result), HasSubstr("<p class='failed'>failed: fit: it broke</p>"));
}

TEST(ResultTest, Table) {
  EXPECT_EQ(ResultToTable(SomeResult()),
            "  model          top-1   95 % interval    top-5       size   images/s\n"
            "  float         89.60%   88.19 to 90.86  99.80%   2.727 MB       1750\n"
            "  quantized     87.10%   85.56 to 88.50  99.75%   0.305 MB       1569\n"
            "\n  fit: 4 images could not be decoded: a.jpg b.jpg c.jpg …\n"
            "\n  images that only one gets right  first  second  McNemar's p\n"
            "  float, quantized                    89      39      1.5e-05\n"
            "\n  compensation kept in 1 of 2 blocks; R² by block: 0.44 0.00\n");
}

TEST(ResultTest, WhatIsPublishedStandsBeside) {
  RunResult result = SomeResult();
  result.comparisons.clear();
  result.blocks.clear();
  result.stages.clear();
  result.expected = {{{"float", 89.5}, {"quantized", 88.1}, {"compensated", 89}}, 0.5};
  EXPECT_EQ(ResultToTable(result),
            "  model          top-1   95 % interval    top-5       size   images/s  published  difference\n"
            "  float         89.60%   88.19 to 90.86  99.80%   2.727 MB       1750     89.50%       +0.10\n"
            "  quantized     87.10%   85.56 to 88.50  99.75%   0.305 MB       1569     88.10%       -1.00 *\n"
            "  * more than 0.5 points apart\n");
  const nlohmann::json json = nlohmann::json::parse(ResultToJson(result));
  EXPECT_EQ(json["expected"], nlohmann::json::parse(R"({"top1": {"float": 89.5, "quantized": 88.1, "compensated": 89.0},
                                                        "tolerance": 0.5,
                                                        "difference": {"float": 0.1, "quantized": -1.0}})"));
  EXPECT_THAT(ResultToHtml(result), HasSubstr("<td>88.10 %</td><td>-1.00</td></tr>"));
}

TEST(ResultTest, ModelsAreComparedAndTheirErrorIsSummed) {
  Values values;
  const auto evaluation = [](const char* model, std::vector<int64_t> hits, std::vector<double> errors) {
    Evaluation made;
    made.model = model;
    hits.insert(hits.begin(), -1);  // an image that was skipped
    made.predictions = at::tensor(hits, at::kLong);
    made.top1 = made.top5 = made.predictions.eq(1).to(at::kByte);
    if (errors.empty()) return made;
    errors.insert(errors.begin(), 0);
    made.squared_error = at::tensor(errors, at::kDouble);
    return made;
  };
  values.evaluations = {evaluation("float", {1, 1, 1, 0}, {}), evaluation("quantized", {0, 0, 1, 1}, {1, 2, 3, 4}),
                        evaluation("compensated", {1, 0, 1, 0}, {0, 0, 0, 1})};
  RunResult result;
  AddValues(values, &result);
  EXPECT_EQ(result.scores["float"].images, 4);
  EXPECT_FALSE(result.scores["float"].logits_mse.has_value());
  EXPECT_EQ(result.scores["quantized"].logits_mse, 2.5);
  EXPECT_EQ(result.scores["compensated"].logits_mse, 0.25);
  ASSERT_EQ(result.comparisons.size(), 3);
  EXPECT_EQ(result.comparisons[0].only_first, 2);
  EXPECT_EQ(result.comparisons[0].only_second, 1);
  EXPECT_EQ(result.comparisons[2].first, "quantized");
  EXPECT_EQ(result.comparisons[2].second, "compensated");
  EXPECT_EQ(result.comparisons[2].only_first, 1);
  EXPECT_EQ(result.comparisons[2].only_second, 1);
  EXPECT_EQ(result.comparisons[0].test.p, 1);
}

TEST(ResultTest, PageEscapesTextAndNeedsNothingFromElsewhere) {
  const std::string html = ResultToHtml(SomeResult());
  EXPECT_THAT(html, HasSubstr("<h1>a &lt;b&gt;</h1>"));
  EXPECT_THAT(html, HasSubstr("not kept: R² is -1"));
  EXPECT_THAT(html, HasSubstr("<td>512</td><td>decode</td>"));
  EXPECT_THAT(html, HasSubstr("<p>fit left out 4 that could not be decoded:</p><ul><li>a.jpg</li>"));
  EXPECT_THAT(html, HasSubstr("R² 0.440"));
  for (const char* absent : {"<script", "http://", "https://", "a <b>"}) {
    EXPECT_THAT(html, testing::Not(HasSubstr(absent)));
  }
}

TEST(ProgressTest, Durations) {
  EXPECT_EQ(FormatDuration(0.04), "0.0 s");
  EXPECT_EQ(FormatDuration(59.94), "59.9 s");
  EXPECT_EQ(FormatDuration(200), "3 min 20 s");
  EXPECT_EQ(FormatDuration(7500), "2 h 5 min");
}

}  // namespace
}  // namespace qwt
