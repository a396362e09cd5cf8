// Registers `swin`, with every dimension an option, and the published networks: the same options with other defaults.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/registry.h"
#include "models/swin/swin.h"

namespace qwt {
namespace {

constexpr size_t kMostStages = 12;  // the largest image with one pixel a patch is one token there

struct Preset {
  const char* name;
  const char* doc;
  std::vector<int64_t> depths;
};

// Patch 4, window 7, width 96, 224 pixels.
const Preset kPresets[] = {
    {"swin", "A Swin transformer of any size; the defaults are Swin-T's.", {2, 2, 6, 2}},
    {"swin_tiny", "Swin-T (arXiv 2103.14030).", {2, 2, 6, 2}},
    {"swin_small", "Swin-S (arXiv 2103.14030).", {2, 2, 18, 2}},
};

Schema MakeSchema(const SwinConfig& defaults) {
  auto dimension = [](const char* name, const char* doc, int64_t value, double largest) {
    return Option::Int(name, doc).Range(1, largest).Default(absl::StrCat(value));
  };
  auto list = [](const char* name, const char* doc, const std::vector<int64_t>& values, double largest) {
    return Option::Ints(name, doc).Range(1, largest).Default(absl::StrCat("[", absl::StrJoin(values, ", "), "]"));
  };
  return {{
      dimension("image", "Pixels of the image's side; divisible by patch.", defaults.image, 4096),
      dimension("patch", "Pixels of a patch's side.", defaults.patch, 4096),
      dimension("window", "Tokens of a window's side; a stage with no more tokens has one window of them all.",
                defaults.window, 4096),
      dimension("width", "Channels of a token in the first stage; each later one doubles them.", defaults.width, 65536),
      list("depths", "Blocks of each stage.", defaults.depths, 1024),
      list("heads", "Attention heads of each stage; divide its width.", defaults.heads, 65536),
      Option::Double("mlp_ratio", "Hidden channels of the MLP over the stage's width.")
          .Range(0, 64)
          .Default(absl::StrCat(defaults.mlp_ratio)),
      dimension("classes", "Classes.", defaults.classes, 1000000),
      Option::Bool("qkv_bias", "Whether the query, key and value have a bias.")
          .Default(defaults.qkv_bias ? "true" : "false"),
      Option::Double("epsilon", "Of every LayerNorm.").Range(0, 1).Default(absl::StrCat(defaults.epsilon)),
  }};
}

// What cannot be built, each with the values that do not go together.
void CheckStages(const SwinConfig& config, const Options& options, Problems* problems) {
  const std::vector<SwinStage> stages = SwinStages(config);
  for (size_t i = 0; i < stages.size(); ++i) {
    const SwinStage& stage = stages[i];
    if (stage.width % stage.heads != 0) {
      problems->Add(options.Where("heads"), absl::StrCat("must divide the stage's width, is ", stage.heads,
                                                         " for width ", stage.width, " of stage ", i));
    }
    if (stage.resolution < 1) {
      problems->Add(options.Where("depths"), absl::StrCat("there are no tokens left for stage ", i, " of image ",
                                                          config.image, " with patch ", config.patch));
      return;
    }
    if (stage.resolution % stage.window != 0) {
      problems->Add(options.Where("window"), absl::StrCat("must divide the stage's side of tokens, is ", stage.window,
                                                          " for ", stage.resolution, " tokens of stage ", i));
    }
    if (i + 1 < stages.size() && stage.resolution % 2 != 0) {
      problems->Add(options.Where("image"), absl::StrCat("is ", config.image, " with patch ", config.patch, ": stage ",
                                                         i, " has ", stage.resolution, " x ", stage.resolution,
                                                         " tokens, which cannot be merged 2 x 2 for stage ", i + 1));
      return;
    }
  }
}

absl::StatusOr<Graph> Create(const std::string& name, const Options& options) {
  SwinConfig config;
  config.image = options.Int("image");
  config.patch = options.Int("patch");
  config.window = options.Int("window");
  config.width = options.Int("width");
  config.depths = options.Ints("depths");
  config.heads = options.Ints("heads");
  config.mlp_ratio = options.Double("mlp_ratio");
  config.classes = options.Int("classes");
  config.qkv_bias = options.Bool("qkv_bias");
  config.epsilon = options.Double("epsilon");
  Problems problems;
  if (config.image % config.patch != 0) {
    problems.Add(options.Where("patch"),
                 absl::StrCat("must divide image, is ", config.patch, " for image ", config.image));
  }
  if (config.width * config.mlp_ratio < 1) {
    problems.Add(options.Where("mlp_ratio"),
                 absl::StrCat("leaves no hidden channels, is ", config.mlp_ratio, " for width ", config.width));
  }
  if (config.depths.empty() || config.depths.size() > kMostStages) {
    problems.Add(options.Where("depths"),
                 absl::StrCat("must be of 1 to ", kMostStages, " stages, is of ", config.depths.size()));
  }
  if (config.heads.size() != config.depths.size()) {
    problems.Add(options.Where("heads"), absl::StrCat("must be of as many stages as depths, is of ",
                                                      config.heads.size(), ", depths of ", config.depths.size()));
  } else if (problems.empty()) {
    CheckStages(config, options, &problems);
  }
  if (!problems.empty()) return problems.ToStatus();
  return BuildSwin(name, config);
}

bool RegisterPresets() {
  for (const Preset& preset : kPresets) {
    SwinConfig defaults;
    defaults.depths = preset.depths;
    ModelRegistry::Get().Register(
        {{preset.name, preset.doc, MakeSchema(defaults)},
         [name = std::string(preset.name)](const Options& options) { return Create(name, options); }});
  }
  return true;
}

const bool registered = RegisterPresets();

}  // namespace
}  // namespace qwt
