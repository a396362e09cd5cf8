#include "experiments/report.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "ATen/ops/arange.h"
#include "ATen/ops/tensor.h"
#include "core/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipelines/result.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

RunResult ResultOf(const std::string& name, double base, double compensated, double seconds) {
  RunResult result;
  result.name = name;
  result.config_sha256 = std::string(64, 'a');
  result.models = {"float", "quantized", "compensated"};
  result.scores["float"] = {1000, 90, 99, 88, 92, 100};
  result.scores["quantized"] = {1000, base, 99, base - 2, base + 2, 100};
  result.scores["compensated"] = {1000, compensated, 99, compensated - 2, compensated + 2, 1 / seconds};
  result.size_mb = {{"float", 2.7}, {"quantized", 0.3}, {"compensated", 0.4}};
  result.expected = {{{"compensated", 85}}, 0.5};
  BlockSolution block;
  block.block = "blocks.0";
  block.kept = true;
  block.r2 = 0.4;
  block.mse_before = 2;
  block.mse_after = 1;
  result.blocks = {block};
  StageRecord evaluate;
  evaluate.name = "evaluate";
  evaluate.seconds = seconds;
  evaluate.images_sha256 = std::string(64, 'b');
  result.stages = {evaluate};
  return result;
}

void WriteRun(const std::string& folder, const RunResult& result, const std::vector<int64_t>& hits) {
  std::filesystem::create_directories(folder);
  MakeFile(folder + "/result.json", ResultToJson(result));
  MakeFile(folder + "/config.yaml", "name: " + result.name + "  # <yaml>\n");
  const int64_t images = hits.size();
  const TensorFile predictions = {{{"images", at::arange(images)},
                                   {"labels", at::arange(images)},
                                   {"compensated.top1", at::tensor(hits, at::kLong).to(at::kByte)}},
                                  {}};
  ASSERT_EQ(WriteSafetensors(folder + "/predictions.safetensors", predictions), absl::OkStatus());
}

json Entry(const std::string& name, const std::string& bits, const std::string& gate, const std::string& status,
           const json& error = nullptr) {
  return {{"name", name},
          {"folder", "runs/" + name},
          {"axes", {{"quantize.weight_bits", bits}, {"fit.gate", gate}}},
          {"status", status},
          {"error", error}};
}

// Two that ran, one that failed with a result, one without, one that did not start.
std::string MakeSweep(const std::string& name, double seconds) {
  const std::string folder = TestFolder(name);
  WriteRun(folder + "/runs/w2", ResultOf("w2", 40, 50, seconds), {1, 0, 0, 0});
  WriteRun(folder + "/runs/w3", ResultOf("w3", 86, 85.5, 2 * seconds), {0, 1, 1, 0});
  RunResult failed;
  failed.name = "w4";
  failed.status = absl::InternalError("fit: <NaN> in blocks.0");
  std::filesystem::create_directories(folder + "/runs/w4");
  MakeFile(folder + "/runs/w4/result.json", ResultToJson(failed));
  const json sweep = {{"schema", 1},
                      {"name", "a <sweep>"},
                      {"axes", {"quantize.weight_bits", "fit.gate"}},
                      {"runs",
                       {Entry("w2", "2", "none", "ok"), Entry("w3", "3", "none", "ok"),
                        Entry("w4", "4", "none", "failed", "fit: <NaN> in blocks.0"), Entry("gone", "5", "none", "ok"),
                        Entry("later", "6", "none", "not run")}}};
  MakeFile(folder + "/sweep.json", sweep.dump());
  return folder;
}

TEST(ReportTest, TablesHoldEveryRunAndNoTimes) {
  const std::string folder = MakeSweep("tables", 1), slower = MakeSweep("slower", 7);
  ASSERT_EQ(WriteSweepReport(folder), absl::OkStatus());
  ASSERT_EQ(WriteSweepReport(slower), absl::OkStatus());
  EXPECT_EQ(Contents(folder + "/table.csv"),
            "run,quantize.weight_bits,fit.gate,\"float, %\",\"base, %\",\"+ QwT, %\",95 % interval,gain,\"published, "
            "%\",difference,\"size, MB\",status\n"
            "w2,2,none,90.00,40.00,50.00,48.00 to 52.00,+10.00,85.00,-35.00,0.400,ok\n"
            "w3,3,none,90.00,86.00,85.50,83.50 to 87.50,-0.50,85.00,+0.50,0.400,ok\n"
            "w4,4,none,,,,,,,,,failed\n"
            "gone,5,none,,,,,,,,,failed\n"
            "later,6,none,,,,,,,,,not run\n");
  for (const char* name : {"/table.csv", "/table.md", "/table.tex"}) {
    EXPECT_FALSE(Contents(folder + name).empty()) << name;
    EXPECT_EQ(Contents(folder + name), Contents(slower + name)) << name;
  }
  EXPECT_THAT(Contents(folder + "/table.tex"), HasSubstr("quantize.weight\\_bits"));
  EXPECT_EQ(Contents(slower + "/times.csv"),
            "run,\"evaluate, s\",\"time, s\",stages stored,images/s,\"peak memory, MB\"\n"
            "w2,7.000,7.000,0,0,0\nw3,14.000,14.000,0,0,0\nw4,,0.000,0,,0\n");
}

TEST(ReportTest, ThePageShowsWhatFailedAndEscapesIt) {
  const std::string folder = MakeSweep("page", 1);
  ASSERT_EQ(WriteSweepReport(folder), absl::OkStatus());
  const std::string html = Contents(folder + "/report.html");
  for (const char* part :
       {"<h1>a &lt;sweep&gt;</h1>", "5 runs over quantize.weight_bits, fit.gate: 2 complete, 3 not",
        "<b>w4</b> (failed): fit: &lt;NaN&gt; in blocks.0", "<b>later</b> (not run)</li>",
        "it gains most in w2 (+10.00 points, 40.00 to 50.00 %) and least in w3 (-0.50)",
        "<a href='runs/w2/report.html'>w2</a>", "# &lt;yaml&gt;", "<details class='run'><summary>w3</summary>",
        "aria-label='Accuracy against size with the Pareto front'", "<title>w3, published: 85.00 %</title>",
        "<td>1</td><td>2</td><td>1.00</td>"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  // The run whose folder is gone says which file cannot be read.
  EXPECT_THAT(html, testing::ContainsRegex("<b>gone</b> \\(failed\\): .*runs/gone/result.json"));
  for (const char* absent : {"http://", "https://", " src=", "@import", "<NaN>", "a <sweep>"}) {
    EXPECT_THAT(html, Not(HasSubstr(absent)));
  }
}

TEST(ReportTest, ASingleRunsFolder) {
  const std::string folder = TestFolder("single");
  WriteRun(folder, ResultOf("one", 86, 87, 1), {1});
  ASSERT_EQ(WriteSweepReport(folder), absl::OkStatus());
  EXPECT_THAT(Contents(folder + "/table.md"), HasSubstr("| one | 90.00 | 86.00 | 87.00 |"));
  EXPECT_THAT(Contents(folder + "/report.html"), HasSubstr("<h1>one</h1>"));
  EXPECT_THAT(Contents(folder + "/report.html"), Not(HasSubstr("<script")));
}

TEST(ReportTest, WhatIsNoSweepIsRefused) {
  const std::string folder = TestFolder("none");
  EXPECT_EQ(WriteSweepReport(folder),
            absl::NotFoundError("'" + folder +
                                "' has neither sweep.json nor result.json; give the folder of a sweep or of a run"));
  MakeFile(folder + "/sweep.json", R"({"schema": 2})");
  EXPECT_EQ(WriteSweepReport(folder),
            absl::DataLossError(folder + "/sweep.json: a sweep of schema 2; this program reads 1"));
  MakeFile(folder + "/sweep.json", R"({"schema": 1, "name": "x"})");
  EXPECT_THAT(std::string(WriteSweepReport(folder).message()), HasSubstr("/sweep.json: no sweep's results: "));
  const std::string damaged = TestFolder("damaged");
  MakeFile(damaged + "/result.json", "{");
  EXPECT_THAT(std::string(WriteSweepReport(damaged).message()), HasSubstr("/result.json: no run's result: "));
}

}  // namespace
}  // namespace qwt
