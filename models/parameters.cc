#include "models/parameters.h"

#include <set>
#include <utility>
#include <vector>

#include "ATen/ops/isfinite.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "c10/core/ScalarType.h"
#include "core/base/status.h"
#include "core/base/strings.h"
#include "models/shape.h"

namespace qwt {
namespace {

bool IsFloat(at::ScalarType type) {
  return type == at::kFloat || type == at::kHalf || type == at::kBFloat16 || type == at::kDouble;
}

// What is wrong with one tensor: "" for nothing.
std::string ProblemOf(const at::Tensor& tensor, const ParameterSpec& spec) {
  if (tensor.sizes() != at::IntArrayRef(spec.shape)) {
    return absl::StrCat("is ", ShapeText(tensor.sizes()), ", the model needs ", ShapeText(spec.shape));
  }
  if (!IsFloat(tensor.scalar_type())) {
    return absl::StrCat("is ", c10::toString(tensor.scalar_type()), ", must be Float, Half, BFloat16 or Double");
  }
  const int64_t bad = tensor.numel() - at::isfinite(tensor).sum().item<int64_t>();
  if (bad > 0) return absl::StrCat(bad, " of ", tensor.numel(), " values are NaN or infinite");
  return "";
}

absl::Status Check(const TensorMap& parameters, const Graph& graph) {
  std::vector<std::string> names, problems;
  for (const ParameterSpec& spec : graph.parameters) {
    names.push_back(spec.name);
    auto found = parameters.find(spec.name);
    const std::string problem = found == parameters.end()
                                    ? absl::StrCat("is missing, the model needs ", ShapeText(spec.shape))
                                    : ProblemOf(found->second, spec);
    if (!problem.empty()) problems.push_back(absl::StrCat(spec.name, ": ", problem));
  }
  const std::set<std::string> expected(names.begin(), names.end());
  for (const auto& [name, tensor] : parameters) {
    if (expected.count(name)) continue;
    problems.push_back(absl::StrCat(name, ": is ", ShapeText(tensor.sizes()), ", the model has no such parameter",
                                    DidYouMean(name, names)));
  }
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the parameters do not fit the model ", graph.name, " (",
                                                 problems.size(), problems.size() == 1 ? " problem)" : " problems)",
                                                 "\n  ", absl::StrJoin(problems, "\n  ")));
}

}  // namespace

absl::StatusOr<TensorMap> LoadParameters(const std::string& path, const Graph& graph) {
  QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(path));
  TensorMap parameters;
  QWT_RETURN_IF_ERROR(CatchExceptions(path, [&] {
    for (const auto& [name, tensor] : file.tensors) {
      // A copy also of what is float32 already: the file may change while the network runs.
      parameters[name] =
          IsFloat(tensor.scalar_type()) ? tensor.to(at::kFloat, /*non_blocking=*/false, /*copy=*/true) : tensor;
    }
    return absl::OkStatus();
  }));
  QWT_RETURN_IF_ERROR(Annotate(CheckParameters(parameters, graph), path));
  return parameters;
}

absl::Status CheckParameters(const TensorMap& parameters, const Graph& graph) {
  return CatchExceptions(graph.name, [&] { return Check(parameters, graph); });
}

}  // namespace qwt
