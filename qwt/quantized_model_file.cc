// The file (docs/saved_models.md): safetensors. Its tensors:
//   description       uint8: JSON in the zlib format, see Describe()
//   codes/NAME        uint8 [bytes]: a quantised weight's codes, packed at the bits of its site
//   (core/tensor/bit_packing) parameters/NAME   float32: every other parameter of more than one dimension vectors/POOL
//   all scales, zero points and parameters of one dimension, one after another: "uint4" and "uint8" have
//                     those whose elements are all whole and below 16 or 256, packed, "float32" the others
//   compensation/I/NAME        of block I
// and its metadata: qwt_model, the format's version; description_bytes, the JSON's length; sha256, of all else; and
// provenance under "provenance.KEY".
#include <nlohmann/json.hpp>

#include "ATen/ops/cat.h"
#include "ATen/ops/empty.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/compression.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/tensor/bit_packing.h"
#include "models/parameters.h"
#include "models/shape.h"
#include "quant/quantizer.h"
#include "qwt/quantized_model.h"
#include "qwt/solution_file.h"

namespace qwt {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFormatKey[] = "qwt_model", kVersion[] = "2";
constexpr char kDescription[] = "description", kDescriptionBytes[] = "description_bytes", kChecksum[] = "sha256";
constexpr char kCodes[] = "codes/", kParameters[] = "parameters/", kVectors[] = "vectors/";
constexpr char kCompensation[] = "compensation/", kPlan[] = "plan/", kProvenance[] = "provenance.";

absl::string_view BytesOf(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

// Of the content in the file's order, types and shapes included; safetensors itself has no checksum.
std::string ChecksumOf(const TensorFile& file) {
  std::string text;
  for (const auto& [name, value] : file.metadata) {
    if (name != kChecksum) absl::StrAppend(&text, name, "=", Sha256(value), "\n");
  }
  for (const auto& [name, tensor] : file.tensors) {
    absl::StrAppend(&text, name, "=", c10::toString(tensor.scalar_type()), ShapeText(tensor.sizes()),
                    Sha256(BytesOf(tensor)), "\n");
  }
  return Sha256(text);
}

// Those whose names begin with the prefix, without it.
TensorMap WithPrefix(const TensorMap& tensors, const std::string& prefix) {
  TensorMap found;
  for (auto at = tensors.lower_bound(prefix); at != tensors.end() && absl::StartsWith(at->first, prefix); ++at) {
    found[at->first.substr(prefix.size())] = at->second;
  }
  return found;
}

// Hundreds of vectors, most of few elements, as one tensor for each way to store them: an entry of the header is longer
// than they are.
class VectorPools {
 public:
  void Add(const std::string& name, const at::Tensor& vector) {
    const Pool pool = PoolFor(vector);
    list_.push_back({name, vector.numel(), pool.name});
    vectors_[pool.name].push_back(pool.bits == 0 ? vector : vector.to(at::kByte));
  }

  // [[name, elements, pool], ...] in the order of the pools' elements.
  const Json& list() const { return list_; }

  void AddTo(TensorMap* tensors) const {
    for (const Pool& pool : kPools) {
      const auto vectors = vectors_.find(pool.name);
      if (vectors == vectors_.end()) continue;
      const at::Tensor all = at::cat(vectors->second);
      (*tensors)[absl::StrCat(kVectors, pool.name)] = pool.bits == 0 ? all : PackBits(all, pool.bits);
    }
  }

  static absl::StatusOr<TensorMap> Read(const Json& list, const TensorMap& tensors) {
    std::map<std::string, int64_t> elements;
    for (const Json& entry : list) elements[entry.at(2).get<std::string>()] += entry.at(1).get<int64_t>();
    TensorMap pools, vectors;
    for (const auto& [name, count] : elements) {
      QWT_ASSIGN_OR_RETURN(pools[name], ReadPool(name, count, tensors));
    }
    std::map<std::string, int64_t> used;
    for (const Json& entry : list) {
      const std::string pool = entry.at(2);
      const int64_t count = entry.at(1);
      vectors[entry.at(0).get<std::string>()] = pools[pool].narrow(0, used[pool], count).to(at::kFloat).clone();
      used[pool] += count;
    }
    return vectors;
  }

 private:
  struct Pool {
    const char* name;
    int bits;  // of whole numbers from 0; 0: float32
  };
  static constexpr Pool kPools[] = {{"uint4", 4}, {"uint8", 8}, {"float32", 0}};

  // The first that holds every element.
  static Pool PoolFor(const at::Tensor& vector) {
    const at::Tensor bytes = vector.to(at::kByte);
    // Negative zero is a float that no byte is.
    const bool whole = vector.numel() > 0 && bytes.to(at::kFloat).equal(vector) && !vector.signbit().any().item<bool>();
    if (!whole) return kPools[2];
    return bytes.max().item<int>() < 1 << kPools[0].bits ? kPools[0] : kPools[1];
  }

  static absl::StatusOr<at::Tensor> ReadPool(const std::string& name, int64_t count, const TensorMap& tensors) {
    const auto found = tensors.find(name);
    for (const Pool& pool : kPools) {
      if (name != pool.name || found == tensors.end()) continue;
      if (pool.bits > 0) return UnpackBits(found->second, pool.bits, {count});
      if (found->second.scalar_type() == at::kFloat && found->second.dim() == 1 && found->second.numel() == count) {
        return found->second;
      }
    }
    return absl::DataLossError(absl::StrCat("there are no ", count, " elements ", kVectors, name));
  }

  Json list_ = Json::array();
  std::map<std::string, std::vector<at::Tensor>> vectors_;  // by pool
};

// {"graph": as GraphToJson, "specs": of the plan, "vectors": VectorPools::list, "compensator": its name, "solutions":
// [a solution's JSON as text, by block]}.
Json Describe(const QuantizedModel& model, const std::string& specs, const Json& vectors, const Json& solutions) {
  return {{"graph", Json::parse(GraphToJson(model.graph))},
          {"specs", Json::parse(specs)},
          {"vectors", vectors},
          {"compensator", model.compensator},
          {"solutions", solutions}};
}

absl::Status AddParameters(const QuantizedModel& model, TensorMap* tensors, VectorPools* pools) {
  const auto weights = QuantizedWeights(model);
  for (const auto& [name, tensor] : model.parameters) {
    const auto site = weights.find(name);
    if (site == weights.end()) {
      const std::string key = absl::StrCat(kParameters, name);
      if (tensor.dim() == 1) {
        pools->Add(key, tensor.contiguous());
      } else {
        (*tensors)[key] = tensor.contiguous();
      }
      continue;
    }
    const SiteQuantization& quantization = model.plan.at(site->second);
    QWT_ASSIGN_OR_RETURN(const auto quantizer, MakeQuantizer(quantization.spec.quantizer));
    auto codes = quantizer->Codes(tensor, quantization);
    if (!codes.ok()) return Annotate(codes.status(), site->second);
    (*tensors)[absl::StrCat(kCodes, name)] = PackBits(*codes, quantization.spec.bits);
  }
  return absl::OkStatus();
}

void SetDescription(const std::string& text, TensorFile* file) {
  const std::string compressed = Compress(text);
  at::Tensor bytes = at::empty({static_cast<int64_t>(compressed.size())}, at::kByte);
  std::copy(compressed.begin(), compressed.end(), bytes.data_ptr<uint8_t>());
  file->tensors[kDescription] = bytes;
  file->metadata[kDescriptionBytes] = absl::StrCat(text.size());
}

absl::StatusOr<Json> ReadDescription(const TensorFile& file) {
  const auto bytes = file.tensors.find(kDescription);
  const auto text_bytes = file.metadata.find(kDescriptionBytes);
  uint64_t size = 0;
  if (bytes == file.tensors.end() || text_bytes == file.metadata.end() ||
      !absl::SimpleAtoi(text_bytes->second, &size)) {
    return absl::DataLossError("there is no description");
  }
  auto text = Decompress(BytesOf(bytes->second), size);
  if (!text.ok()) return Annotate(text.status(), kDescription);
  return Json::parse(*text);
}

absl::Status ReadParameters(const TensorFile& file, const TensorMap& vectors, QuantizedModel* model) {
  model->parameters = WithPrefix(file.tensors, kParameters);
  model->parameters.merge(WithPrefix(vectors, kParameters));
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const ParameterSpec& parameter : model->graph.parameters) shapes[parameter.name] = parameter.shape;
  for (const auto& [name, site] : QuantizedWeights(*model)) {
    const auto packed = file.tensors.find(absl::StrCat(kCodes, name));
    if (packed == file.tensors.end()) return absl::DataLossError(absl::StrCat("there are no codes of '", name, "'"));
    const SiteQuantization& quantization = model->plan.at(site);
    auto codes = UnpackBits(packed->second, quantization.spec.bits, shapes.at(name));
    if (!codes.ok()) return Annotate(codes.status(), name);
    QWT_ASSIGN_OR_RETURN(const auto quantizer, MakeQuantizer(quantization.spec.quantizer));
    // Quantising this once more gives the same codes, so the executor's weights are the saved model's to the last bit.
    model->parameters[name] = quantizer->Dequantize(*codes, quantization);
  }
  return CheckParameters(model->parameters, model->graph);
}

absl::Status ReadCompensation(const Json& solutions, const TensorFile& file, QuantizedModel* model) {
  for (size_t i = 0; i < solutions.size(); ++i) {
    const TensorFile part{WithPrefix(file.tensors, absl::StrCat(kCompensation, i, "/")),
                          {{"solution", solutions[i].get<std::string>()}}};
    QWT_ASSIGN_OR_RETURN(BlockSolution solution, SolutionFromFile(part));
    model->compensation.push_back(std::move(solution));
  }
  if (model->compensation.empty() || model->compensation.size() == model->graph.blocks.size()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(model->compensation.size(), " blocks are compensated, the network has ",
                                          model->graph.blocks.size()));
}

absl::Status ReadModel(const TensorFile& file, QuantizedModel* model) {
  QWT_ASSIGN_OR_RETURN(const Json description, ReadDescription(file));
  QWT_ASSIGN_OR_RETURN(model->graph, GraphFromJson(description.at("graph").dump()));
  QWT_ASSIGN_OR_RETURN(const TensorMap vectors,
                       VectorPools::Read(description.at("vectors"), WithPrefix(file.tensors, kVectors)));
  QWT_ASSIGN_OR_RETURN(model->plan, PlanFromTensors(WithPrefix(vectors, kPlan), description.at("specs").dump()));
  QWT_RETURN_IF_ERROR(ReadParameters(file, vectors, model));
  model->compensator = description.at("compensator");
  QWT_RETURN_IF_ERROR(ReadCompensation(description.at("solutions"), file, model));
  for (const auto& [key, value] : file.metadata) {
    if (absl::StartsWith(key, kProvenance)) model->provenance[key.substr(sizeof(kProvenance) - 1)] = value;
  }
  return absl::OkStatus();
}

absl::Status Save(const std::string& path, const QuantizedModel& model) {
  TensorFile file;
  VectorPools pools;
  QWT_RETURN_IF_ERROR(AddParameters(model, &file.tensors, &pools));
  TensorMap plan;
  std::string specs;
  PlanToTensors(model.plan, &plan, &specs);
  for (const auto& [name, vector] : plan) pools.Add(absl::StrCat(kPlan, name), vector);
  pools.AddTo(&file.tensors);
  Json solutions = Json::array();
  for (size_t i = 0; i < model.compensation.size(); ++i) {
    const TensorFile part = SolutionToFile(model.compensation[i]);
    solutions.push_back(part.metadata.begin()->second);
    for (const auto& [name, tensor] : part.tensors) {
      file.tensors[absl::StrCat(kCompensation, i, "/", name)] = tensor.contiguous();
    }
  }
  SetDescription(Describe(model, specs, pools.list(), solutions).dump(), &file);
  file.metadata[kFormatKey] = kVersion;
  for (const auto& [key, value] : model.provenance) file.metadata[absl::StrCat(kProvenance, key)] = value;
  file.metadata[kChecksum] = ChecksumOf(file);
  return WriteSafetensors(path, file);
}

}  // namespace

absl::Status SaveQuantizedModel(const std::string& path, const QuantizedModel& model) {
  return CatchExceptions(absl::StrCat("saving ", path), [&] { return Save(path, model); });
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
                                                   "; this program reads format ", kVersion,
                                                   ": make it anew with the config.yaml beside it"));
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

}  // namespace qwt
