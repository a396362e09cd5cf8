#include "experiments/report.h"

#include <filesystem>

#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

TEST(ReportTest, ARowForEachRunWithOrWithoutAResult) {
  const std::string folder = TestFolder("report");
  std::filesystem::create_directories(folder + "/runs/a");
  MakeFile(folder + "/sweep.json",
           R"({"schema": 1, "name": "s", "axes": ["x", "y"], "runs": [
               {"name": "a", "folder": "runs/a", "axes": {"x": "1, 2"}, "status": "ok", "error": null},
               {"name": "b", "folder": "runs/b", "axes": {"y": "3"}, "status": "failed", "error": "signal 9"}]})");
  MakeFile(folder + "/runs/a/result.json",
           R"({"evaluation": {"float": {"top1": 90}, "quantized": {"top1": 80.5}, "compensated": {"top1": 84.25}},
               "size_mb": {"float": 2.5, "quantized": 0.5, "compensated": 0.625}})");
  ASSERT_EQ(WriteSweepReport(folder), absl::OkStatus());
  EXPECT_EQ(Contents(folder + "/table.csv"),
            "run,x,y,status,float top-1 %,quantised top-1 %,compensated top-1 %,gain,float MB,quantised MB,"
            "compensated MB\n"
            "a,\"1, 2\",,ok,90.00,80.50,84.25,+3.75,2.500,0.500,0.625\n"
            "b,,3,failed,,,,,,,\n");
  EXPECT_EQ(Contents(folder + "/table.md").substr(0, 14), "| run | x | y ");
}

TEST(ReportTest, ADamagedSweepIsDataLoss) {
  const std::string folder = TestFolder("damaged");
  EXPECT_EQ(WriteSweepReport(folder).code(), absl::StatusCode::kNotFound);
  MakeFile(folder + "/sweep.json", "[");
  EXPECT_EQ(WriteSweepReport(folder),
            absl::DataLossError("'" + folder + "/sweep.json' is damaged: it holds no JSON object"));
}

}  // namespace
}  // namespace qwt
