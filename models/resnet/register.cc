// Registers `resnet`, with every dimension an option, and the published networks: the same options with other defaults.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "models/registry.h"
#include "models/resnet/resnet.h"

namespace qwt {
namespace {

constexpr size_t kMostLayers = 12;  // the largest image is one pixel there

struct Preset {
  const char* name;
  const char* doc;
  bool bottleneck;
  std::vector<int64_t> blocks;
};

// Width 64, 224 pixels.
const Preset kPresets[] = {
    {"resnet", "A residual network (v1.5) of any size; the defaults are ResNet-18's.", false, {2, 2, 2, 2}},
    {"resnet18", "ResNet-18 (arXiv 1512.03385).", false, {2, 2, 2, 2}},
    {"resnet50", "ResNet-50 v1.5 (arXiv 1512.03385).", true, {3, 4, 6, 3}},
    {"resnet101", "ResNet-101 v1.5 (arXiv 1512.03385).", true, {3, 4, 23, 3}},
};

Schema MakeSchema(const ResnetConfig& defaults) {
  auto dimension = [](const char* name, const char* doc, int64_t value, double largest) {
    return Option::Int(name, doc).Range(1, largest).Default(absl::StrCat(value));
  };
  return {{
      dimension("image", "Pixels of the image's side.", defaults.image, 4096),
      Option::String("block", "basic: two 3x3 convolutions; bottleneck: 1x1, 3x3, 1x1, the last four times as wide.")
          .OneOf({"basic", "bottleneck"})
          .Default(defaults.bottleneck ? "bottleneck" : "basic"),
      Option::Ints("blocks", "Blocks of each layer.")
          .Range(1, 1024)
          .Default(absl::StrCat("[", absl::StrJoin(defaults.blocks, ", "), "]")),
      dimension("width", "Channels of the stem and of the first layer's convolutions; each later layer doubles them.",
                defaults.width, 65536),
      dimension("classes", "Classes.", defaults.classes, 1000000),
      Option::Double("epsilon", "Of every BatchNorm.").Range(0, 1).Default(absl::StrCat(defaults.epsilon)),
  }};
}

absl::StatusOr<Graph> Create(const std::string& name, const Options& options) {
  ResnetConfig config;
  config.image = options.Int("image");
  config.bottleneck = options.String("block") == "bottleneck";
  config.blocks = options.Ints("blocks");
  config.width = options.Int("width");
  config.classes = options.Int("classes");
  config.epsilon = options.Double("epsilon");
  if (config.blocks.empty() || config.blocks.size() > kMostLayers) {
    Problems problems;
    problems.Add(options.Where("blocks"),
                 absl::StrCat("must be of 1 to ", kMostLayers, " layers, is of ", config.blocks.size()));
    return problems.ToStatus();
  }
  return BuildResnet(name, config);
}

bool RegisterPresets() {
  for (const Preset& preset : kPresets) {
    ResnetConfig defaults;
    defaults.bottleneck = preset.bottleneck;
    defaults.blocks = preset.blocks;
    ModelRegistry::Get().Register(
        {{preset.name, preset.doc, MakeSchema(defaults)},
         [name = std::string(preset.name)](const Options& options) { return Create(name, options); }});
  }
  return true;
}

const bool registered = RegisterPresets();

}  // namespace
}  // namespace qwt
