#include "models/checkpoints/layout.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "core/tensor/copy.h"

namespace qwt {
namespace {

bool Has(const Graph& graph, absl::string_view name) {
  return std::any_of(graph.parameters.begin(), graph.parameters.end(),
                     [&](const ParameterSpec& spec) { return spec.name == name; });
}

template <typename Map>
bool AnyStartsWith(const Map& named, absl::string_view prefix) {
  const auto first = named.lower_bound(std::string(prefix));
  return first != named.end() && absl::StartsWith(first->first, prefix);
}

// Renames by `rename`, which returns "" for what goes.
template <typename Rename>
Parameters Renamed(Parameters parameters, const Rename& rename) {
  Parameters renamed;
  for (auto& [name, parts] : parameters) {
    std::string to = rename(name);
    if (!to.empty()) renamed[std::move(to)] = std::move(parts);
  }
  return renamed;
}

Parameters WithoutSharedPrefix(Parameters parameters) {
  for (bool again = true; again;) {
    again = false;
    for (const char* prefix : {"module.", "_orig_mod.", "model."}) {
      const bool shared =
          !parameters.empty() && std::all_of(parameters.begin(), parameters.end(), [&](const auto& parameter) {
            return parameter.first.size() > strlen(prefix) && absl::StartsWith(parameter.first, prefix);
          });
      if (!shared) continue;
      parameters = Renamed(std::move(parameters), [&](const std::string& name) { return name.substr(strlen(prefix)); });
      again = true;
    }
  }
  return parameters;
}

// ---- JAX

constexpr char kOptimizer[] = "opt/";
constexpr char kOptimizedNetwork[] = "opt/target/";

at::Tensor Transposed(const at::Tensor& tensor) { return tensor.dim() == 2 ? tensor.t() : tensor; }
// What can be flattened without a copy by LibTorch, which needs aligned numbers for that.
at::Tensor Dense(const at::Tensor& tensor) { return tensor.is_contiguous() ? tensor : AlignedCopy(tensor); }
// [in, heads, D] -> [heads * D, in]
at::Tensor FromHeads(const at::Tensor& kernel) { return kernel.dim() == 3 ? Dense(kernel).flatten(1).t() : kernel; }
// [heads, D, out] -> [out, heads * D]
at::Tensor ToHeads(const at::Tensor& kernel) { return kernel.dim() == 3 ? Dense(kernel).flatten(0, 1).t() : kernel; }
at::Tensor Flat(const at::Tensor& tensor) { return Dense(tensor).flatten(); }
at::Tensor Same(const at::Tensor& tensor) { return tensor; }
// HWIO -> OIHW
at::Tensor ConvolutionKernel(const at::Tensor& kernel) {
  return kernel.dim() == 4 ? kernel.permute({3, 2, 0, 1}) : kernel;
}

struct JaxRule {
  const char* jax;
  const char* timm;
  at::Tensor (*convert)(const at::Tensor&);
  int part = 0;  // the place among those of the same name
};

constexpr JaxRule kWhole[] = {
    {"cls", "cls_token", Same},
    {"embedding/kernel", "patch_embed.proj.weight", ConvolutionKernel},
    {"embedding/bias", "patch_embed.proj.bias", Same},
    {"Transformer/posembed_input/pos_embedding", "pos_embed", Same},
    {"Transformer/encoder_norm/scale", "norm.weight", Same},
    {"Transformer/encoder_norm/bias", "norm.bias", Same},
    {"head/kernel", "head.weight", Transposed},
    {"head/bias", "head.bias", Same},
};

// After "Transformer/encoderblock_N/" and "blocks.N.".
constexpr JaxRule kOfBlock[] = {
    {"LayerNorm_0/scale", "norm1.weight", Same},
    {"LayerNorm_0/bias", "norm1.bias", Same},
    {"MultiHeadDotProductAttention_1/query/kernel", "attn.qkv.weight", FromHeads, 0},
    {"MultiHeadDotProductAttention_1/key/kernel", "attn.qkv.weight", FromHeads, 1},
    {"MultiHeadDotProductAttention_1/value/kernel", "attn.qkv.weight", FromHeads, 2},
    {"MultiHeadDotProductAttention_1/query/bias", "attn.qkv.bias", Flat, 0},
    {"MultiHeadDotProductAttention_1/key/bias", "attn.qkv.bias", Flat, 1},
    {"MultiHeadDotProductAttention_1/value/bias", "attn.qkv.bias", Flat, 2},
    {"MultiHeadDotProductAttention_1/out/kernel", "attn.proj.weight", ToHeads},
    {"MultiHeadDotProductAttention_1/out/bias", "attn.proj.bias", Same},
    {"LayerNorm_2/scale", "norm2.weight", Same},
    {"LayerNorm_2/bias", "norm2.bias", Same},
    {"MlpBlock_3/Dense_0/kernel", "mlp.fc1.weight", Transposed},
    {"MlpBlock_3/Dense_0/bias", "mlp.fc1.bias", Same},
    {"MlpBlock_3/Dense_1/kernel", "mlp.fc2.weight", Transposed},
    {"MlpBlock_3/Dense_1/bias", "mlp.fc2.bias", Same},
};

template <size_t kCount>
const JaxRule* FindRule(const JaxRule (&rules)[kCount], absl::string_view name) {
  const auto* found = std::find_if(std::begin(rules), std::end(rules), [&](const JaxRule& r) { return name == r.jax; });
  return found == std::end(rules) ? nullptr : found;
}

// "Transformer/encoderblock_3/LayerNorm_0/scale" -> "blocks.3." and the rule; null where it is none of the network's.
const JaxRule* RuleOf(absl::string_view name, std::string* prefix) {
  prefix->clear();
  if (!absl::ConsumePrefix(&name, "Transformer/encoderblock_")) return FindRule(kWhole, name);
  const std::pair<absl::string_view, absl::string_view> halves = absl::StrSplit(name, absl::MaxSplits('/', 1));
  int block = 0;
  if (!absl::SimpleAtoi(halves.first, &block) || absl::StrCat(block) != halves.first) return nullptr;
  *prefix = absl::StrCat("blocks.", block, ".");
  return FindRule(kOfBlock, halves.second);
}

Parameters FromJax(Parameters parameters) {
  if (AnyStartsWith(parameters, kOptimizedNetwork)) {
    parameters = Renamed(std::move(parameters), [](const std::string& name) -> std::string {
      if (absl::StartsWith(name, kOptimizedNetwork)) return name.substr(strlen(kOptimizedNetwork));
      return absl::StartsWith(name, kOptimizer) ? "" : name;
    });
  }
  if (!parameters.count("embedding/kernel")) return parameters;
  // By part first: a query, key or value that is missing leaves the others under their JAX names, to be reported.
  std::map<std::string, std::map<int, std::string>> places;
  std::string prefix;
  for (const auto& [name, parts] : parameters) {
    if (const JaxRule* rule = RuleOf(name, &prefix)) places[prefix + rule->timm][rule->part] = name;
  }
  Parameters converted;
  for (const auto& [to, names] : places) {
    const bool whole = names.size() == (absl::StrContains(to, ".qkv.") ? 3 : 1);
    for (const auto& [part, name] : names) {
      Parts& source = parameters.at(name);
      const JaxRule* rule = RuleOf(name, &prefix);
      Parts& target = converted[whole ? to : name];
      target.push_back(whole ? rule->convert(source[0]) : source[0]);
      parameters.erase(name);
    }
  }
  converted.merge(parameters);
  return converted;
}

// ---- newer timm

Parameters FromNewerTimm(Parameters parameters, const Graph& graph) {
  // With three stages and more layers.1.downsample is in both namings: only layers.0.downsample tells which.
  const bool shifted = Has(graph, "layers.0.downsample.reduction.weight") &&
                       !AnyStartsWith(parameters, "layers.0.downsample.") &&
                       AnyStartsWith(parameters, "layers.1.downsample.");
  const bool head_within = Has(graph, "head.weight") && parameters.count("head.fc.weight");
  return Renamed(std::move(parameters), [&](const std::string& name) -> std::string {
    if (head_within && absl::StartsWith(name, "head.fc."))
      return absl::StrCat("head.", name.substr(strlen("head.fc.")));
    const std::vector<std::string> steps = absl::StrSplit(name, absl::MaxSplits('.', 3));
    int stage = 0;
    if (!shifted || steps.size() != 4 || steps[0] != "layers" || steps[2] != "downsample" ||
        !absl::SimpleAtoi(steps[1], &stage)) {
      return name;
    }
    return absl::StrCat("layers.", stage - 1, ".downsample.", steps[3]);
  });
}

Parameters WithoutBuffers(Parameters parameters, const Graph& graph) {
  return Renamed(std::move(parameters), [&](const std::string& name) -> std::string {
    const absl::string_view last = absl::string_view(name).substr(name.rfind('.') + 1);
    const bool buffer = last == "relative_position_index" || last == "attn_mask" || last == "num_batches_tracked";
    return buffer && !Has(graph, name) ? "" : name;
  });
}

struct KnownName {
  const char* name;  // of a parameter
  const char* layout;
};
constexpr KnownName kKnownNames[] = {
    {"encoder.layers.encoder_layer_0.ln_1.weight", "torchvision's VisionTransformer"},
    {"features.1.0.attn.qkv.weight", "torchvision's SwinTransformer"},
    {"vit.embeddings.cls_token", "Hugging Face's ViT"},
    {"deit.embeddings.cls_token", "Hugging Face's DeiT"},
    {"embeddings.cls_token", "Hugging Face's ViT or DeiT without a head"},
    {"swin.embeddings.patch_embeddings.projection.weight", "Hugging Face's Swin"},
    {"resnet.embedder.embedder.convolution.weight", "Hugging Face's ResNet"},
    {"visual.transformer.resblocks.0.ln_1.weight", "CLIP's vision transformer"},
    {"blocks.0.ls1.gamma", "a ViT with LayerScale (DINOv2, DeiT III), which is another network"},
    {"embedding/kernel", "a ViT in JAX layout"},
    {"layers.0.blocks.0.attn.qkv.weight", "timm's Swin"},
    {"blocks.0.attn.qkv.weight", "timm's ViT or DeiT"},
    {"layer1.0.conv3.weight", "a ResNet of bottleneck blocks (ResNet-50 and deeper)"},
    {"layer1.0.conv1.weight", "a ResNet of basic blocks (ResNet-18, ResNet-34)"},
};

}  // namespace

Parameters AdaptLayout(const TensorMap& tensors, const Graph& graph) {
  Parameters parameters;
  for (const auto& [name, tensor] : tensors) parameters[name] = {tensor};
  parameters = WithoutSharedPrefix(std::move(parameters));
  parameters = FromJax(std::move(parameters));
  parameters = FromNewerTimm(std::move(parameters), graph);
  return WithoutBuffers(std::move(parameters), graph);
}

std::string ForeignLayout(const Parameters& parameters, const Graph& graph) {
  for (const KnownName& known : kKnownNames) {
    if (parameters.count(known.name) && !Has(graph, known.name)) return known.layout;
  }
  return "";
}

}  // namespace qwt
