#include "pipelines/result.h"

#include <limits>
#include <nlohmann/json.hpp>

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
  result.scores["quantized"] = {2000, 87.1, 99.75, 85.56, 88.5, 1569};
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
  result.blocks = {kept, dropped};
  StageRecord load, fit, evaluate;
  load.name = "load";
  load.seconds = 0.5;
  fit.name = "fit";
  fit.seconds = 2;
  fit.images = 512;
  fit.load_seconds = 1.5;
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
            nlohmann::json::parse(R"({"images": 2000, "top1": 87.1, "top5": 99.75, "top1_ci95": [85.56, 88.5]})"));
  EXPECT_EQ(json["size_mb"], nlohmann::json::parse(R"({"float": 2.727, "quantized": 0.305128})"));
  EXPECT_EQ(json["blocks"][0]["kept"], true);
  EXPECT_EQ(json["blocks"][0]["rank"], 65);
  EXPECT_TRUE(json["blocks"][0]["condition"].is_null()) << "JSON has no infinity";
  EXPECT_EQ(json["blocks"][1]["reason"], "R² is -1");
  EXPECT_EQ(json["stages"][1]["images_per_second"], 256);
  EXPECT_EQ(json["stages"][1]["load_seconds"], 1.5);
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
            "\n  compensation kept in 1 of 2 blocks; R² by block: 0.44 0.00\n");
}

TEST(ResultTest, PageEscapesTextAndNeedsNothingFromElsewhere) {
  const std::string html = ResultToHtml(SomeResult());
  EXPECT_THAT(html, HasSubstr("<h1>a &lt;b&gt;</h1>"));
  EXPECT_THAT(html, HasSubstr("not kept: R² is -1"));
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
