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

Diagnosis SomeDiagnosis() {
  Diagnosis diagnosis;
  diagnosis.images = 32;
  diagnosis.segments = {
      {"stem", false, 1, 1e-5, 1e-5, 1e-5}, {"blocks.0", true, 2, 0.2, 0.2, 0.1}, {"head", false, 4, 0.1, 0.5, 0.25}};
  SiteNoise site;
  site.site = "blocks.0.mlp.fc2.input";
  site.segment = "blocks.0";
  site.kind = "mlp.fc2.input";
  site.bits = 2;
  site.levels = 4;
  site.sqnr_db = 1.0 / 3;
  site.clipped = 0.25;
  site.histogram = GridHistogram{-1, 4, {1, 2, 3}, 4, 5, {0, 1, 2, 3}, {-0.5, 0, 0.5, 1}};
  SiteNoise exact = site;
  exact.site = "head.<weight>";
  exact.weight = true;
  exact.sqnr_db.reset();
  exact.histogram.reset();
  diagnosis.sites = {site, exact};
  return diagnosis;
}

TEST(ResultTest, ComesBackFromJson) {
  RunResult result = SomeResult();
  result.diagnosis = SomeDiagnosis();
  result.expected = {{{"float", 89.5}}, 0.5};
  result.status = absl::UnknownError("why");
  result.version = "0.0.9";
  const std::string json = ResultToJson(result);
  const auto back = ResultFromJson(json);
  ASSERT_EQ(back.status(), absl::OkStatus());
  EXPECT_EQ(ResultToJson(*back), json);
  EXPECT_EQ(ResultToHtml(*back), ResultToHtml(result));
  EXPECT_EQ(nlohmann::json::parse(json)["diagnosis"]["sites"][0]["sqnr_db"], 1.0 / 3) << "to the last bit";
  EXPECT_EQ(nlohmann::json::parse(json)["diagnosis"]["won_back"], 0.5);
  EXPECT_EQ(nlohmann::json::parse(json)["images_per_second"]["float"], 1750);
}

TEST(ResultTest, WhatIsNoResultIsRefused) {
  EXPECT_EQ(ResultFromJson(R"({"schema": 2})").status(),
            absl::DataLossError("a result of schema 2; this program reads 1"));
  EXPECT_THAT(std::string(ResultFromJson("{").status().message()), testing::StartsWith("no run's result: "));
  EXPECT_EQ(ResultFromJson("[]").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(ResultFromJson(R"({"schema": 1, "name": "x"})").status().message()),
              HasSubstr("key 'status' not found"));
}

TEST(ResultTest, PageShowsTheDiagnosis) {
  RunResult result = SomeResult();
  result.diagnosis = SomeDiagnosis();
  const std::string html = ResultToHtml(result, "name: x # <config>\n");
  for (const char* part :
       {"Most is lost in blocks.0 (10.0 dB), there at mlp.fc2&#39;s input (0.3 dB); compensation wins back 50 %",
        "<title>blocks.0.mlp.fc2.input, 2 bits: 0.3 dB</title>", ">0.3 dB, 2 bits, 25 % cut<", ">-0.5<", ">logits<",
        "<td class='text'>head.&lt;weight&gt;</td><td>2</td><td>∞</td><td>25.000</td>",
        "<pre>name: x # &lt;config&gt;\n</pre>"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
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
  EXPECT_THAT(ResultToHtml(result), HasSubstr("<td>88.10</td><td>-1.00</td></tr>"));
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
  EXPECT_THAT(html, HasSubstr("Quantisation to 0.305 MB (8.9 times smaller) costs 2.50 points."));
  EXPECT_THAT(html, HasSubstr("<td class='text'>images of fit</td><td class='text'>fed</td>"));
  EXPECT_THAT(html, HasSubstr("<p>fit left out 4 that could not be decoded:</p><ul><li>a.jpg</li>"));
  EXPECT_THAT(html, HasSubstr(">R² 0.44<"));
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
