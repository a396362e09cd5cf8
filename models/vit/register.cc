// Registers `vit`, with every dimension an option, and the published networks: the same options with other defaults.
#include "absl/strings/str_cat.h"
#include "models/registry.h"
#include "models/vit/vit.h"

namespace qwt {
namespace {

struct Preset {
  const char* name;
  const char* doc;
  int64_t width, depth, heads;
  bool distilled;
};

// Patch 16, 224 pixels.
constexpr Preset kPresets[] = {
    {"vit", "A vision transformer of any size; the defaults are DeiT-S's.", 384, 12, 6, false},
    {"vit_small", "ViT-S/16 (arXiv 2010.11929).", 384, 12, 6, false},
    {"vit_base", "ViT-B/16 (arXiv 2010.11929).", 768, 12, 12, false},
    {"deit_tiny", "DeiT-T (arXiv 2012.12877).", 192, 12, 3, false},
    {"deit_small", "DeiT-S (arXiv 2012.12877).", 384, 12, 6, false},
    {"deit_base", "DeiT-B (arXiv 2012.12877).", 768, 12, 12, false},
    {"deit_tiny_distilled", "DeiT-T with a distillation token (arXiv 2012.12877).", 192, 12, 3, true},
    {"deit_small_distilled", "DeiT-S with a distillation token (arXiv 2012.12877).", 384, 12, 6, true},
    {"deit_base_distilled", "DeiT-B with a distillation token (arXiv 2012.12877).", 768, 12, 12, true},
};

VitConfig Defaults(const Preset& preset) {
  VitConfig config;
  config.width = preset.width;
  config.depth = preset.depth;
  config.heads = preset.heads;
  config.distilled = preset.distilled;
  return config;
}

Schema MakeSchema(const VitConfig& defaults) {
  auto dimension = [](const char* name, const char* doc, int64_t value, double largest) {
    return Option::Int(name, doc).Range(1, largest).Default(absl::StrCat(value));
  };
  auto flag = [](const char* name, const char* doc, bool value) {
    return Option::Bool(name, doc).Default(value ? "true" : "false");
  };
  return {{
      dimension("image", "Pixels of the image's side; divisible by patch.", defaults.image, 4096),
      dimension("patch", "Pixels of a patch's side.", defaults.patch, 4096),
      dimension("width", "Channels of a token; divisible by heads.", defaults.width, 65536),
      dimension("depth", "Blocks.", defaults.depth, 1024),
      dimension("heads", "Attention heads of a block.", defaults.heads, 65536),
      Option::Double("mlp_ratio", "Hidden channels of the MLP over width.")
          .Range(0, 64)
          .Default(absl::StrCat(defaults.mlp_ratio)),
      dimension("classes", "Classes.", defaults.classes, 1000000),
      flag("qkv_bias", "Whether the query, key and value have a bias.", defaults.qkv_bias),
      flag("distilled", "A distillation token with its own head; the logits are the mean of both.", defaults.distilled),
      Option::Double("epsilon", "Of every LayerNorm.").Range(0, 1).Default(absl::StrCat(defaults.epsilon)),
  }};
}

absl::StatusOr<Graph> Create(const std::string& name, const Options& options) {
  VitConfig config;
  config.image = options.Int("image");
  config.patch = options.Int("patch");
  config.width = options.Int("width");
  config.depth = options.Int("depth");
  config.heads = options.Int("heads");
  config.mlp_ratio = options.Double("mlp_ratio");
  config.classes = options.Int("classes");
  config.qkv_bias = options.Bool("qkv_bias");
  config.distilled = options.Bool("distilled");
  config.epsilon = options.Double("epsilon");
  Problems problems;
  if (config.image % config.patch != 0) {
    problems.Add(options.Where("patch"),
                 absl::StrCat("must divide image, is ", config.patch, " for image ", config.image));
  }
  if (config.width % config.heads != 0) {
    problems.Add(options.Where("heads"),
                 absl::StrCat("must divide width, is ", config.heads, " for width ", config.width));
  }
  if (config.width * config.mlp_ratio < 1) {
    problems.Add(options.Where("mlp_ratio"),
                 absl::StrCat("leaves no hidden channels, is ", config.mlp_ratio, " for width ", config.width));
  }
  if (!problems.empty()) return problems.ToStatus();
  return BuildVit(name, config);
}

bool RegisterPresets() {
  for (const Preset& preset : kPresets) {
    ModelRegistry::Get().Register(
        {{preset.name, preset.doc, MakeSchema(Defaults(preset))},
         [name = std::string(preset.name)](const Options& options) { return Create(name, options); }});
  }
  return true;
}

const bool registered = RegisterPresets();

}  // namespace
}  // namespace qwt
