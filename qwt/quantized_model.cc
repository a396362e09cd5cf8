// The file: a safetensors file whose metadata says "qwt_model" with the format's version. Its tensors, by prefix:
//   codes/NAME       uint8, the codes of a quantised weight; scale and zero point are in the plan
//   parameters/NAME  float32, every other parameter
//   plan/SITE.scale, plan/SITE.zero_point
//   compensation/I/NAME  of block I
// and in the metadata: graph, specs (of the plan), compensator, solutions (a list of JSON texts), sha256 (of all of
// these and the tensors), and provenance under "provenance.KEY".
#include "qwt/quantized_model.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "models/parameters.h"
#include "models/shape.h"
#include "quant/fake_quant_executor.h"
#include "quant/quantizer.h"
#include "quant/sites.h"
#include "quant/size.h"
#include "qwt/solution_file.h"

namespace qwt {
namespace {

constexpr char kFormatKey[] = "qwt_model", kVersion[] = "1";
constexpr char kCodes[] = "codes/", kParameters[] = "parameters/", kPlan[] = "plan/", kCompensation[] = "compensation/";
constexpr char kProvenance[] = "provenance.", kChecksum[] = "sha256";

// Of the content in the file's order, types and shapes included; safetensors itself has no checksum.
std::string ChecksumOf(const TensorFile& file) {
  std::string text;
  for (const auto& [name, value] : file.metadata) {
    if (name != kChecksum) absl::StrAppend(&text, name, "=", Sha256(value), "\n");
  }
  for (const auto& [name, tensor] : file.tensors) {
    const absl::string_view bytes(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
    absl::StrAppend(&text, name, "=", c10::toString(tensor.scalar_type()), ShapeText(tensor.sizes()), Sha256(bytes),
                    "\n");
  }
  return Sha256(text);
}

// Weights that the plan quantises: parameter name -> site.
std::map<std::string, std::string> QuantizedWeights(const Graph& graph, const QuantPlan& plan) {
  std::map<std::string, std::string> weights;
  for (const Site& site : QuantSites(graph)) {
    if (site.role == SiteRole::kWeight && plan.count(site.name)) weights[site.node->weight] = site.name;
  }
  return weights;
}

absl::Status AddParameters(const QuantizedModel& model, TensorFile* file) {
  const auto weights = QuantizedWeights(model.graph, model.plan);
  for (const auto& [name, tensor] : model.parameters) {
    const auto site = weights.find(name);
    if (site == weights.end()) {
      file->tensors[absl::StrCat(kParameters, name)] = tensor.contiguous();
      continue;
    }
    const SiteQuantization& quantization = model.plan.at(site->second);
    QWT_ASSIGN_OR_RETURN(const auto quantizer, MakeQuantizer(quantization.spec.quantizer));
    auto codes = quantizer->Codes(tensor, quantization);
    if (!codes.ok()) return Annotate(codes.status(), site->second);
    file->tensors[absl::StrCat(kCodes, name)] = *codes;
  }
  return absl::OkStatus();
}

absl::Status ReadParameters(const TensorFile& file, QuantizedModel* model) {
  for (const auto& [name, tensor] : file.tensors) {
    if (absl::StartsWith(name, kParameters)) model->parameters[name.substr(sizeof(kParameters) - 1)] = tensor;
  }
  for (const auto& [name, site] : QuantizedWeights(model->graph, model->plan)) {
    const auto codes = file.tensors.find(absl::StrCat(kCodes, name));
    if (codes == file.tensors.end()) return absl::DataLossError(absl::StrCat("there are no codes of '", name, "'"));
    const SiteQuantization& quantization = model->plan.at(site);
    QWT_ASSIGN_OR_RETURN(const auto quantizer, MakeQuantizer(quantization.spec.quantizer));
    // Quantising this once more gives the same codes, so the executor's weights are the saved model's to the last bit.
    model->parameters[name] = quantizer->Dequantize(codes->second, quantization);
  }
  return CheckParameters(model->parameters, model->graph);
}

absl::Status ReadCompensation(TensorFile& file, QuantizedModel* model) {
  model->compensator = file.metadata["compensator"];
  const nlohmann::json solutions = nlohmann::json::parse(file.metadata["solutions"]);
  for (size_t i = 0; i < solutions.size(); ++i) {
    TensorFile part{{}, {{"solution", solutions[i].get<std::string>()}}};
    const std::string prefix = absl::StrCat(kCompensation, i, "/");
    for (const auto& [name, tensor] : file.tensors) {
      if (absl::StartsWith(name, prefix)) part.tensors[name.substr(prefix.size())] = tensor;
    }
    QWT_ASSIGN_OR_RETURN(BlockSolution solution, SolutionFromFile(part));
    model->compensation.push_back(std::move(solution));
  }
  if (model->compensation.empty() || model->compensation.size() == model->graph.blocks.size()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(model->compensation.size(), " blocks are compensated, the network has ",
                                          model->graph.blocks.size()));
}

absl::Status ReadModel(TensorFile& file, QuantizedModel* model) {
  QWT_ASSIGN_OR_RETURN(model->graph, GraphFromJson(file.metadata["graph"]));
  TensorMap plan;
  for (const auto& [name, tensor] : file.tensors) {
    if (absl::StartsWith(name, kPlan)) plan[name.substr(sizeof(kPlan) - 1)] = tensor;
  }
  QWT_ASSIGN_OR_RETURN(model->plan, PlanFromTensors(plan, file.metadata["specs"]));
  QWT_RETURN_IF_ERROR(ReadParameters(file, model));
  QWT_RETURN_IF_ERROR(ReadCompensation(file, model));
  for (const auto& [key, value] : file.metadata) {
    if (absl::StartsWith(key, kProvenance)) model->provenance[key.substr(sizeof(kProvenance) - 1)] = value;
  }
  return absl::OkStatus();
}

class CompensatedExecutor : public Executor {
 public:
  CompensatedExecutor(const QuantizedModel& model, std::unique_ptr<Executor> quantized,
                      std::unique_ptr<Compensator> compensator)
      : quantized_(std::move(quantized)), compensator_(std::move(compensator)) {
    for (const BlockSolution& solution : model.compensation) solutions_[solution.block] = &solution;
  }

  absl::StatusOr<at::Tensor> Run(const Segment& segment, const at::Tensor& batch) const override {
    QWT_ASSIGN_OR_RETURN(at::Tensor output, quantized_->Run(segment, batch));
    const auto solution = solutions_.find(segment.name);
    if (solution == solutions_.end()) return output;
    QWT_RETURN_IF_ERROR(CatchExceptions(absl::StrCat("compensating ", segment.name), [&] {
      output = compensator_->Apply(*solution->second, batch, output);
      return absl::OkStatus();
    }));
    return output;
  }

 private:
  std::unique_ptr<Executor> quantized_;
  std::unique_ptr<Compensator> compensator_;
  std::map<std::string, const BlockSolution*> solutions_;  // by block
};

}  // namespace

absl::Status SaveQuantizedModel(const std::string& path, const QuantizedModel& model) {
  TensorFile file;
  file.metadata[kFormatKey] = kVersion;
  file.metadata["graph"] = GraphToJson(model.graph);
  TensorMap plan;
  PlanToTensors(model.plan, &plan, &file.metadata["specs"]);
  for (const auto& [name, tensor] : plan) file.tensors[absl::StrCat(kPlan, name)] = tensor;
  QWT_RETURN_IF_ERROR(Annotate(AddParameters(model, &file), path));
  file.metadata["compensator"] = model.compensator;
  nlohmann::json solutions = nlohmann::json::array();
  for (size_t i = 0; i < model.compensation.size(); ++i) {
    const TensorFile part = SolutionToFile(model.compensation[i]);
    solutions.push_back(part.metadata.begin()->second);
    for (const auto& [name, tensor] : part.tensors) {
      file.tensors[absl::StrCat(kCompensation, i, "/", name)] = tensor.contiguous();
    }
  }
  file.metadata["solutions"] = solutions.dump();
  for (const auto& [key, value] : model.provenance) file.metadata[absl::StrCat(kProvenance, key)] = value;
  file.metadata[kChecksum] = ChecksumOf(file);
  return WriteSafetensors(path, file);
}

absl::StatusOr<QuantizedModel> LoadQuantizedModel(const std::string& path) {
  QWT_ASSIGN_OR_RETURN(TensorFile file, ReadSafetensors(path));
  const auto version = file.metadata.find(kFormatKey);
  if (version == file.metadata.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is no quantised model, which a run writes as model.safetensors"));
  }
  if (version->second != kVersion) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is a quantised model of format ", version->second,
                                                   "; this program reads format ", kVersion));
  }
  // Copies: what is done to the file later must not change the model.
  for (auto& [name, tensor] : file.tensors) tensor = tensor.clone();
  if (file.metadata[kChecksum] != ChecksumOf(file)) {
    return absl::DataLossError(absl::StrCat(path, ": the checksum differs: the file is damaged"));
  }
  QuantizedModel model;
  const absl::Status status = CatchExceptions("reading", [&] { return ReadModel(file, &model); });
  if (!status.ok()) return absl::DataLossError(absl::StrCat(path, ": ", status.message()));
  return model;
}

absl::StatusOr<std::unique_ptr<Executor>> MakeQuantizedExecutor(const QuantizedModel& model, bool compensated) {
  QWT_ASSIGN_OR_RETURN(std::unique_ptr<Executor> quantized,
                       MakeFakeQuantExecutor(model.graph, model.parameters, model.plan));
  if (!compensated) return quantized;
  if (model.compensation.empty()) return absl::FailedPreconditionError("the model has no compensation");
  QWT_ASSIGN_OR_RETURN(const auto* component, CompensatorRegistry::Get().Find(model.compensator));
  // What a compensator applies is in its solutions; its options matter to a fit alone.
  Problems problems;
  const Options defaults = CheckOptions(ConfigNode::EmptyMap(), component->schema, &problems);
  QWT_RETURN_IF_ERROR(problems.ToStatus());
  QWT_ASSIGN_OR_RETURN(std::unique_ptr<Compensator> compensator, component->create(defaults));
  return std::make_unique<CompensatedExecutor>(model, std::move(quantized), std::move(compensator));
}

double FloatSizeMb(const Graph& graph) { return BitsToMb(ParameterBits(TrainedParameters(graph), {})); }

double QuantizedSizeMb(const QuantizedModel& model, bool compensated) {
  WeightBits widths;
  for (const auto& [name, site] : QuantizedWeights(model.graph, model.plan)) {
    widths[name] = model.plan.at(site).spec.bits;
  }
  int64_t bits = ParameterBits(TrainedParameters(model.graph), widths);
  if (compensated) {
    for (const BlockSolution& solution : model.compensation) {
      for (const auto& [name, tensor] : solution.tensors) bits += 8 * static_cast<int64_t>(tensor.nbytes());
    }
  }
  return BitsToMb(bits);
}

}  // namespace qwt
