#include "models/parameters.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/isfinite.h"
#include "ATen/ops/sum.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "c10/core/ScalarType.h"
#include "core/base/log.h"
#include "core/base/mapped_file.h"
#include "core/base/status.h"
#include "core/base/strings.h"
#include "core/tensor/copy.h"
#include "core/tensor/parallel.h"
#include "models/checkpoints/checkpoint.h"
#include "models/checkpoints/class_map.h"
#include "models/checkpoints/layout.h"
#include "models/checkpoints/position_embedding.h"
#include "models/shape.h"

namespace qwt {
namespace {

bool IsFloat(at::ScalarType type) {
  return type == at::kFloat || type == at::kHalf || type == at::kBFloat16 || type == at::kDouble;
}

// Of the parts one above the other; that of the first part where they do not fit.
std::vector<int64_t> ShapeOf(const Parts& parts) {
  std::vector<int64_t> shape = parts[0].sizes().vec();
  for (size_t i = 1; i < parts.size(); ++i) {
    std::vector<int64_t> other = parts[i].sizes().vec();
    if (shape.empty() || other.size() != shape.size()) return parts[0].sizes().vec();
    const int64_t rows = shape[0] + other[0];
    other[0] = shape[0];
    if (other != shape) return parts[0].sizes().vec();
    shape[0] = rows;
  }
  return shape;
}

// What is wrong with one parameter before its values are read: "" for nothing.
std::string Misfit(const Parts& parts, const ParameterSpec& spec, const Graph& graph) {
  const std::vector<int64_t> shape = ShapeOf(parts);
  if (shape != spec.shape) {
    std::string problem = absl::StrCat("is ", ShapeText(shape), ", the model needs ", ShapeText(spec.shape));
    const std::vector<std::string> classifiers = ClassifierParameters(graph);
    if (shape.size() == spec.shape.size() && std::equal(shape.begin() + 1, shape.end(), spec.shape.begin() + 1) &&
        std::find(classifiers.begin(), classifiers.end(), spec.name) != classifiers.end()) {
      absl::StrAppend(&problem, " (the checkpoint has ", shape[0], " classes: set model.classes to that, or choose ",
                      graph.classes, " of them with model.class_map)");
    }
    return problem;
  }
  for (const at::Tensor& part : parts) {
    if (!IsFloat(part.scalar_type())) {
      return absl::StrCat("is ", c10::toString(part.scalar_type()), ", must be Float, Half, BFloat16 or Double");
    }
  }
  return "";
}

// "" where every value is finite. A sum is finite only if all its terms are: one pass instead of isfinite's several.
std::string NonFinite(const at::Tensor& tensor) {
  if (std::isfinite(at::sum(tensor).item<double>())) return "";
  const int64_t bad = tensor.numel() - at::isfinite(tensor).sum().item<int64_t>();
  if (bad == 0) return "";
  return absl::StrCat(bad, " of ", tensor.numel(), " values are NaN or infinite");
}

// Takes a parameter that is there, in its shape and a floating-point dtype; returns what is wrong with its values.
// Called from several threads.
using Take = std::function<std::string(const ParameterSpec& spec, const Parts& parts)>;

// Hands every parameter that the graph needs to `take`, in the order in which they lie in memory (and so in the file).
absl::Status Fit(const Parameters& parameters, const Graph& graph, const Take& take) {
  std::vector<std::string> problems(graph.parameters.size()), names;
  std::vector<std::pair<const void*, size_t>> order;
  for (size_t i = 0; i < graph.parameters.size(); ++i) {
    const ParameterSpec& spec = graph.parameters[i];
    names.push_back(spec.name);
    const auto found = parameters.find(spec.name);
    problems[i] = found == parameters.end() ? absl::StrCat("is missing, the model needs ", ShapeText(spec.shape))
                                            : Misfit(found->second, spec, graph);
    if (problems[i].empty()) order.emplace_back(found->second[0].const_data_ptr(), i);
  }
  std::sort(order.begin(), order.end());
  QWT_RETURN_IF_ERROR(ParallelFor(order.size(), ResolveThreads(/*requested=*/0, /*local_ranks=*/1), [&](int64_t item) {
    const size_t i = order[item].second;
    problems[i] = take(graph.parameters[i], parameters.at(names[i]));
    return absl::OkStatus();
  }));

  std::vector<std::string> lines;
  for (size_t i = 0; i < problems.size(); ++i) {
    if (!problems[i].empty()) lines.push_back(absl::StrCat(names[i], ": ", problems[i]));
  }
  const std::set<std::string> expected(names.begin(), names.end());
  for (const auto& [name, parts] : parameters) {
    if (expected.count(name)) continue;
    lines.push_back(absl::StrCat(name, ": is ", ShapeText(ShapeOf(parts)), ", the model has no such parameter",
                                 DidYouMean(name, names)));
  }
  if (lines.empty()) return absl::OkStatus();
  const std::string foreign = ForeignLayout(parameters, graph);
  return absl::InvalidArgumentError(
      absl::StrCat("the parameters do not fit the model ", graph.name, " (", lines.size(),
                   lines.size() == 1 ? " problem)" : " problems)",
                   foreign.empty() ? "" : absl::StrCat("; the names look like those of ", foreign), "\n  ",
                   absl::StrJoin(lines, "\n  ")));
}

// A copy also of what is float32 already: the file may change while the network runs.
at::Tensor ToFloat(const Parts& parts) {
  const std::vector<int64_t> shape = ShapeOf(parts);
  at::Tensor whole = at::empty(shape, at::kFloat);
  int64_t row = 0;
  for (const at::Tensor& part : parts) {
    CopyUnaligned(part, parts.size() == 1 ? whole : whole.narrow(0, row, part.size(0)));
    row += part.dim() == 0 ? 0 : part.size(0);
  }
  return whole;
}

struct Shards {
  std::vector<std::shared_ptr<MappedFile>> files;
  TensorMap tensors;  // of all files

  // Mapped pages count as this process's memory until they are given back.
  void Release(const Parts& parts) const {
    for (const at::Tensor& part : parts) {
      const ByteRange bytes = BytesOf(part);
      for (const auto& file : files) file->Release(bytes.begin, bytes.end);
    }
  }
};

absl::StatusOr<Shards> ReadShards(const std::vector<std::string>& files) {
  Shards shards;
  std::map<std::string, std::string> file_of;
  for (const std::string& file : files) {
    QWT_ASSIGN_OR_RETURN(shards.files.emplace_back(), MappedFile::Open(file));
    QWT_ASSIGN_OR_RETURN(Checkpoint checkpoint, ParseCheckpoint(shards.files.back(), file));
    for (auto& [name, tensor] : checkpoint.tensors) {
      const auto [known, is_new] = file_of.emplace(name, file);
      if (!is_new) {
        return absl::InvalidArgumentError(absl::StrCat(file, ": holds ", name, ", which ", known->second,
                                                       " holds already; shards hold each tensor once"));
      }
      shards.tensors[name] = std::move(tensor);
    }
  }
  return shards;
}

// A position embedding of another image size becomes one of this graph's.
void FitPositionEmbedding(const Graph& graph, Parameters* parameters) {
  const PositionEmbedding embedding = FindPositionEmbedding(graph);
  const auto found = parameters->find(embedding.name);
  if (embedding.name.empty() || found == parameters->end() || found->second.size() != 1) return;
  at::Tensor& tensor = found->second[0];
  for (const ParameterSpec& spec : graph.parameters) {
    if (spec.name != embedding.name || !IsOtherGrid(spec, tensor.sizes(), embedding.prefix)) continue;
    const int64_t from = tensor.size(1), to = spec.shape[1];
    tensor = ResizePositionEmbedding(AlignedCopy(tensor).to(at::kFloat), embedding.prefix, to);
    QWT_LOG(INFO) << spec.name << ": interpolated from " << from << " to " << to << " tokens";
  }
}

absl::StatusOr<TensorMap> Load(const Weights& weights, const Graph& graph) {
  QWT_ASSIGN_OR_RETURN(const Shards shards, ReadShards(weights.files));
  Parameters found = AdaptLayout(shards.tensors, graph);
  if (!weights.class_map.empty()) {
    QWT_ASSIGN_OR_RETURN(const std::vector<int64_t> rows, ReadClassMap(weights.class_map));
    QWT_RETURN_IF_ERROR(SelectClasses(weights.class_map, rows, graph, &found));
  }
  FitPositionEmbedding(graph, &found);
  TensorMap parameters;
  for (const ParameterSpec& spec : graph.parameters) parameters[spec.name];  // from here on no thread adds one
  const Take convert = [&](const ParameterSpec& spec, const Parts& parts) {
    at::Tensor& parameter = parameters.at(spec.name);
    parameter = ToFloat(parts);
    shards.Release(parts);
    return NonFinite(parameter);
  };
  QWT_RETURN_IF_ERROR(Annotate(Fit(found, graph, convert), absl::StrJoin(weights.files, ", ")));
  return parameters;
}

}  // namespace

absl::StatusOr<TensorMap> LoadParameters(const Weights& weights, const Graph& graph) {
  absl::StatusOr<TensorMap> parameters = absl::InternalError("not read");
  QWT_RETURN_IF_ERROR(CatchExceptions(absl::StrJoin(weights.files, ", "), [&] {
    parameters = Load(weights, graph);
    return absl::OkStatus();
  }));
  return parameters;
}

absl::Status CheckParameters(const TensorMap& parameters, const Graph& graph) {
  return CatchExceptions(graph.name, [&] {
    Parameters found;
    for (const auto& [name, tensor] : parameters) found[name] = {tensor};
    return Fit(found, graph, [](const ParameterSpec&, const Parts& parts) { return NonFinite(parts[0]); });
  });
}

}  // namespace qwt
