#include "qwt/solution_file.h"

#include <cmath>
#include <limits>

#include "ATen/ops/equal.h"
#include "ATen/ops/ones.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(SolutionFileTest, EveryFieldComesBackExactly) {
  BlockSolution solution;
  solution.block = "blocks.0";
  solution.kept = true;
  solution.reason = "R² is \"0.1\"\n";
  solution.r2 = 0.1;
  solution.mse_before = 1e-310;
  solution.mse_after = 1.0 / 3;
  solution.condition = std::numeric_limits<double>::infinity();
  solution.rank = 5;
  solution.samples = int64_t{1} << 60;
  solution.held_out_r2 = -0.3;
  solution.tensors = {{"weight", at::ones({2, 3}, at::kHalf)}, {"bias", at::ones({3})}};
  const auto read = SolutionFromFile(SolutionToFile(solution));
  ASSERT_EQ(read.status(), absl::OkStatus());
  EXPECT_EQ(read->block, solution.block);
  EXPECT_EQ(read->kept, solution.kept);
  EXPECT_EQ(read->reason, solution.reason);
  EXPECT_EQ(read->r2, solution.r2);
  EXPECT_EQ(read->mse_before, solution.mse_before);
  EXPECT_EQ(read->mse_after, solution.mse_after);
  EXPECT_EQ(read->condition, solution.condition);
  EXPECT_EQ(read->rank, solution.rank);
  EXPECT_EQ(read->samples, solution.samples);
  EXPECT_EQ(read->held_out_r2, solution.held_out_r2);
  EXPECT_EQ(SolutionFromFile(SolutionToFile(BlockSolution()))->held_out_r2, std::nullopt);
  ASSERT_EQ(read->tensors.size(), 2);
  for (const auto& [name, tensor] : solution.tensors) EXPECT_TRUE(at::equal(read->tensors.at(name), tensor)) << name;
}

TEST(SolutionFileTest, AnythingElseIsDataLoss) {
  EXPECT_EQ(SolutionFromFile({}).status(), absl::DataLossError("there is no block's solution in it"));
  for (const char* text : {"", "{", "[]", "{}", "{\"block\": 7}"}) {
    EXPECT_EQ(SolutionFromFile({{}, {{"solution", text}}}).status().code(), absl::StatusCode::kDataLoss) << text;
  }
  TensorFile file = SolutionToFile(BlockSolution());
  std::string& text = file.metadata.at("solution");
  text.replace(text.find("\"r2\":\"0\""), 8, "\"r2\":\"x\"");
  EXPECT_EQ(SolutionFromFile(file).status(), absl::DataLossError("a block's solution: r2 is no number"));
}

}  // namespace
}  // namespace qwt
