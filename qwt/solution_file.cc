#include "qwt/solution_file.h"

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr char kKey[] = "solution";

// Numbers as text with all their digits: JSON itself has no infinity.
std::string Exact(double value) { return absl::StrFormat("%.17g", value); }

double FromExact(const nlohmann::json& json, const char* name) {
  double value = 0;
  if (!absl::SimpleAtod(json.at(name).get<std::string>(), &value)) {
    throw std::invalid_argument(absl::StrCat(name, " is no number"));
  }
  return value;
}

}  // namespace

TensorFile SolutionToFile(const BlockSolution& solution) {
  nlohmann::ordered_json json = {{"block", solution.block},
                                 {"kept", solution.kept},
                                 {"reason", solution.reason},
                                 {"r2", Exact(solution.r2)},
                                 {"mse_before", Exact(solution.mse_before)},
                                 {"mse_after", Exact(solution.mse_after)},
                                 {"condition", Exact(solution.condition)},
                                 {"rank", solution.rank},
                                 {"samples", solution.samples}};
  if (solution.held_out_r2.has_value()) json["held_out_r2"] = Exact(*solution.held_out_r2);
  return {solution.tensors, {{kKey, json.dump()}}};
}

absl::StatusOr<BlockSolution> SolutionFromFile(const TensorFile& file) {
  BlockSolution solution;
  solution.tensors = file.tensors;
  const auto text = file.metadata.find(kKey);
  if (text == file.metadata.end()) return absl::DataLossError("there is no block's solution in it");
  const absl::Status status = CatchExceptions("a block's solution", [&] {
    const nlohmann::json json = nlohmann::json::parse(text->second);
    json.at("block").get_to(solution.block);
    json.at("kept").get_to(solution.kept);
    json.at("reason").get_to(solution.reason);
    solution.r2 = FromExact(json, "r2");
    solution.mse_before = FromExact(json, "mse_before");
    solution.mse_after = FromExact(json, "mse_after");
    solution.condition = FromExact(json, "condition");
    json.at("rank").get_to(solution.rank);
    json.at("samples").get_to(solution.samples);
    if (json.contains("held_out_r2")) solution.held_out_r2 = FromExact(json, "held_out_r2");
    return absl::OkStatus();
  });
  if (!status.ok()) return absl::DataLossError(status.message());
  return solution;
}

}  // namespace qwt
