#include "models/checkpoints/class_map.h"

#include <algorithm>
#include <map>

#include "ATen/ops/from_blob.h"
#include "ATen/ops/index_select.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/status.h"
#include "core/tensor/copy.h"

namespace qwt {
namespace {

absl::Status Wrong(const std::string& path, size_t line, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ":", line, ": ", what));
}

}  // namespace

absl::StatusOr<std::vector<int64_t>> ReadClassMap(const std::string& path) {
  QWT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<int64_t> rows;
  std::map<int64_t, size_t> line_of;
  size_t line = 0;
  for (absl::string_view content : absl::StrSplit(text, '\n')) {
    ++line;
    content = absl::StripAsciiWhitespace(content);
    if (content.empty() || content[0] == '#') continue;
    const absl::string_view first = content.substr(0, content.find_first_of(" \t,"));
    int64_t row = 0;
    if (!absl::SimpleAtoi(first, &row) || row < 0) {
      return Wrong(path, line,
                   absl::StrCat("must begin with a class's row in the checkpoint's head, counted from 0, is '",
                                content.substr(0, 40), "'"));
    }
    const auto [known, is_new] = line_of.emplace(row, line);
    if (!is_new) return Wrong(path, line, absl::StrCat("row ", row, " is already line ", known->second, "'s"));
    rows.push_back(row);
  }
  if (rows.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": names no class"));
  return rows;
}

std::vector<std::string> ClassifierParameters(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.head.nodes) {
    const auto weight = std::find_if(graph.parameters.begin(), graph.parameters.end(),
                                     [&](const ParameterSpec& spec) { return spec.name == node.weight; });
    if (node.op != Op::kLinear || weight == graph.parameters.end() || weight->shape[0] != graph.classes) continue;
    names.push_back(node.weight);
    if (!node.bias.empty()) names.push_back(node.bias);
  }
  return names;
}

absl::Status SelectClasses(const std::string& path, const std::vector<int64_t>& rows, const Graph& graph,
                           Parameters* parameters) {
  if (static_cast<int64_t>(rows.size()) != graph.classes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": has ", rows.size(), " classes, the model ", graph.name,
                                                   " has ", graph.classes, "; set model.classes to ", rows.size()));
  }
  const int64_t largest = *std::max_element(rows.begin(), rows.end());
  const at::Tensor index = at::from_blob(const_cast<int64_t*>(rows.data()), {graph.classes}, at::kLong);
  for (const std::string& name : ClassifierParameters(graph)) {
    const auto found = parameters->find(name);
    if (found == parameters->end()) continue;  // reported as missing
    at::Tensor& tensor = found->second[0];
    if (tensor.dim() == 0 || largest >= tensor.size(0)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": asks for row ", largest, ", the checkpoint's ", name,
                                                     " has ", tensor.dim() == 0 ? 0 : tensor.size(0)));
    }
    tensor = at::index_select(AlignedCopy(tensor), 0, index);
  }
  return absl::OkStatus();
}

}  // namespace qwt
