// No option may be forgotten by a store key: every option of every stage and of every component is changed, one at a
// time, and exactly those keys must change whose value may. The options are those of the schemas, so that a new one is
// among them; one whose other value is not to be told from its schema, and a new section, fail until they are in a
// table here.
#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/planned_keys.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

// Two classes of images, the same for both splits; beside them evaluation images in no class folders with two lists of
// their labels. Planning decodes none.
std::string ImageFolder() {
  const std::string root = testing::TempDir() + "/images";
  if (fs::exists(root)) return root;
  for (const char* split : {"train", "other", "val", "other_val"}) {
    for (int image = 0; image < 20; ++image) {
      const std::string folder = absl::StrCat(root, "/", split, "/", image % 2);
      fs::create_directories(folder);
      MakeFile(absl::StrCat(folder, "/", image, ".jpg"), split);
    }
  }
  fs::create_directories(root + "/flat");
  std::string labels, others;
  for (int image = 10; image < 22; ++image) {
    MakeFile(absl::StrCat(root, "/flat/", image, ".jpg"), "flat");
    absl::StrAppend(&labels, 1 + image % 2, "\n");
    absl::StrAppend(&others, 2 - image % 2, "\n");
  }
  MakeFile(root + "/labels", labels);
  MakeFile(root + "/other_labels", others);
  MakeFile(root + "/order", "0\n1\n");
  MakeFile(root + "/other_order", "1\n0\n");
  fs::copy(root, root + "_copy", fs::copy_options::recursive);
  return root;
}

// A model that a run has saved.
std::string SavedModel(const std::string& name, const std::string& bits) {
  const std::string folder = TestFolder(name);
  const ProgramResult run =
      RunProgram(ShortQuickstart(folder, {"stages=[load, calibrate, quantize, fit]", "calibrate.images=1",
                                          "fit.images=1", "quantize.weight_bits=" + bits}));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  return folder + "/out/model.safetensors";
}

// A change of an option beside what its schema tells.
struct Special {
  std::vector<std::string> overrides;    // "section.option=value", with what must change along; {}: as the schema tells
  std::optional<Names> changes = {};     // what then has another key; nullopt: what the section says
  std::vector<std::string> before = {};  // overrides of the config that is changed
};

// What the options of a section change.
const std::map<std::string, Names>& Sections() {
  static const auto* sections = new std::map<std::string, Names>{
      {"model", AllKeys()},           {"dataset", AllKeys()}, {"calibrate", AfterCalibrate()},
      {"quantize", AfterCalibrate()}, {"fit", OfFitImages()}, {"evaluate", {"float", "quantized", "compensated"}},
      {"diagnose", {"diagnose"}},     {"expected", {}},       {"load_quantized", {"quantized", "compensated"}},
      {"runtime", AllKeys()},
  };
  return *sections;
}

// By "section.option" or "section.component.option".
std::map<std::string, Special> Specials() {
  const std::string images = ImageFolder();
  const Names sums = {"sums", "fit", "compensated", "diagnose"};
  const Names evaluated = {"float", "quantized", "compensated", "diagnose"};
  const std::vector<std::string> flat = {"dataset.eval_split=flat", "dataset.ground_truth=" + images + "/labels",
                                         "dataset.ground_truth_classes=" + images + "/order"};
  const std::string no_evaluation = "stages=[load, calibrate, quantize, fit, diagnose]";
  return {
      {"model.weights", {{"model.weights=" + images + "/labels"}}},
      {"model.class_map", {{"model.class_map=" + images + "/order"}}},
      // The data set's must be as many; that is another change.
      {"model.classes", {{no_evaluation, "model.classes=11"}}},
      {"dataset.generated.classes", {{no_evaluation, "dataset.classes=11"}, AllKeys()}},
      // In the images' fingerprint.
      {"dataset.generated.side", {{"dataset.side=48"}, AllKeys()}},
      // How many there are matters to what is drawn among them.
      {"dataset.generated.images", {{"dataset.images=4000"}, Names{"diagnose"}}},
      {"dataset.generated.train_images", {{"dataset.train_images=4000"}, Names{}}},
      {"dataset.fashion_mnist.root", {{"dataset.root=" + IdxFolder("other_idx", '\2')}}},
      {"dataset.image_folder.root", {{"dataset.root=" + images + "_copy"}}},  // other times of last change
      {"dataset.image_folder.train_split", {{"dataset.train_split=other"}, AfterCalibrate()}},
      {"dataset.image_folder.eval_split", {{"dataset.eval_split=other_val"}, evaluated}},
      {"dataset.image_folder.ground_truth", {{"dataset.ground_truth=" + images + "/other_labels"}, evaluated, flat}},
      {"dataset.image_folder.ground_truth_classes",
       {{"dataset.ground_truth_classes=" + images + "/other_order"}, evaluated, flat}},
      // Other sums over the same values.
      {"fit.prefix", {{}, sums}},
      {"fit.held_out_fraction", {{}, sums}},
      {"fit.factor", {{}, sums}},
      {"fit.kernel_size", {{}, sums}},
      // Solved from the sums, which are not another's for that.
      {"fit.method", {{}, AfterFit()}},
      {"fit.start_block", {{}, AfterFit()}},
      {"fit.ridge", {{}, AfterFit()}},
      {"fit.gate", {{}, AfterFit()}},
      {"fit.storage", {{}, AfterFit()}},
      // Without the float model there is nothing to compare the others' logits with.
      {"evaluate.models", {{"evaluate.models=[quantized, compensated]"}, Names{"quantized", "compensated"}}},
      // On a CPU, auto is fake.
      {"evaluate.executor", {{"evaluate.executor=integer"}, Names{"quantized", "compensated"}}},
      {"expected.of", {{"expected.of=W3/A3"}}},
      {"load_quantized.file", {{"load_quantized.file=" + SavedModel("saved_3", "3")}}},
  };
}

// An element of each option that is a list of maps.
const std::map<std::string, std::map<std::string, std::string>>& Elements() {
  static const auto* elements = new std::map<std::string, std::map<std::string, std::string>>{
      {"quantize.overrides", {{"match", "head"}, {"weight_bits", "5"}, {"activation_bits", "5"}}},
  };
  return *elements;
}

std::string MapText(const std::map<std::string, std::string>& map) {
  return absl::StrCat("[{", absl::StrJoin(map, ", ", absl::PairFormatter(": ")), "}]");
}

// Other values that the schema allows, the likeliest to fit the rest of the config first.
std::vector<std::string> OtherValues(const Option& option, const std::string& now) {
  std::vector<std::string> others;
  const auto add = [&](double value, const std::string& text) {
    if (value >= option.smallest && value <= option.largest && text != now) others.push_back(text);
  };
  for (const std::string& value : option.allowed) {
    if (value != now) others.push_back(value);
  }
  if (!others.empty()) return others;
  int64_t integer;
  double number;
  switch (option.type) {
    case OptionType::kBool:
      return {now == "true" ? "false" : "true"};
    case OptionType::kInt:
      if (!absl::SimpleAtoi(now, &integer)) return {};
      for (int64_t value : {integer + 1, integer - 1, 2 * integer, integer / 2}) add(value, absl::StrCat(value));
      return others;
    case OptionType::kDouble:
      if (!absl::SimpleAtod(now, &number)) return {};
      for (double value : {2 * number, number / 2, number + 1}) add(value, absl::StrCat(value));
      return others;
    default:
      return {};
  }
}

// The same of a list: its first element is another one, or its last is left out.
std::vector<std::string> OtherLists(const Option& option, const std::string& now) {
  if (option.type != OptionType::kInts && option.type != OptionType::kDoubles) return {};
  std::vector<std::string> elements = absl::StrSplit(now.substr(1, now.size() - 2), ", ");
  Option element = option;
  element.type = option.type == OptionType::kInts ? OptionType::kInt : OptionType::kDouble;
  std::vector<std::string> others;
  for (const std::string& first : OtherValues(element, elements[0])) {
    std::vector<std::string> changed = elements;
    changed[0] = first;
    others.push_back(absl::StrCat("[", absl::StrJoin(changed, ", "), "]"));
  }
  elements.pop_back();
  if (!elements.empty()) others.push_back(absl::StrCat("[", absl::StrJoin(elements, ", "), "]"));
  return others;
}

class StoreKeysTest : public testing::Test {
 protected:
  // Changes each option of `schema`, all of which the config's section `section` has.
  void ChangeEach(const std::string& section, const std::string& component, const Schema& schema,
                  const std::string& yaml) {
    for (const Option& option : schema.options) {
      const std::string path = absl::StrCat(section, ".", option.name);
      const std::string full = component.empty() ? path : absl::StrCat(section, ".", component, ".", option.name);
      SCOPED_TRACE(full);
      if (!option.affects_result) without_effect_.insert(specials_.count(full) ? full : path);
      if (option.type == OptionType::kMaps) {
        ChangeFields(path, option, yaml);
      } else if (option.allowed.size() != 1) {  // else there is no other value
        Change(path, full, option, yaml);
      }
      ++options_;
    }
  }

  void Change(const std::string& path, const std::string& full, const Option& option, const std::string& yaml) {
    const auto found = specials_.count(full) ? specials_.find(full) : specials_.find(path);
    const Special special = found == specials_.end() ? Special() : found->second;
    const PlannedKeys before = KeysOf(yaml, special.before);
    ASSERT_TRUE(before.status.ok()) << before.status;
    std::vector<std::vector<std::string>> tries = {special.overrides};
    if (special.overrides.empty()) tries = Tries(path, option, before.request);
    Names expected = Sections().at(path.substr(0, path.find('.')));
    if (special.changes.has_value()) expected = *special.changes;
    if (!option.affects_result && found == specials_.end()) expected.clear();
    ExpectChanges(before, yaml, special.before, tries, expected);
  }

  // Overrides of the option alone, each with another value.
  std::vector<std::vector<std::string>> Tries(const std::string& path, const Option& option, const Request& request) {
    const auto known = OptionsWithoutEffect();
    if (const auto value = known.find(path); value != known.end()) return {{absl::StrCat(path, "=", value->second)}};
    const std::string section = path.substr(0, path.find('.'));
    std::string now;
    for (absl::string_view line : absl::StrSplit(request.Of(section).ToYaml(0), '\n')) {
      if (absl::StartsWith(line, absl::StrCat(option.name, ": ")))
        now = std::string(line.substr(option.name.size() + 2));
    }
    if (absl::StartsWith(now, "\"")) now = now.substr(1, now.size() - 2);
    std::vector<std::string> values = OtherValues(option, now);
    if (values.empty()) values = OtherLists(option, now);
    std::vector<std::vector<std::string>> tries;
    for (const std::string& value : values) tries.push_back({absl::StrCat(path, "=", value)});
    return tries;
  }

  void ChangeFields(const std::string& path, const Option& option, const std::string& yaml) {
    ASSERT_TRUE(Elements().count(path)) << "a new list of maps: give an element of it in Elements()";
    const std::map<std::string, std::string>& element = Elements().at(path);
    const PlannedKeys without = KeysOf(yaml);
    const std::vector<std::string> base = {absl::StrCat(path, "=", MapText(element))};
    const PlannedKeys before = KeysOf(yaml, base);
    ASSERT_TRUE(before.status.ok()) << before.status;
    const Names expected = Sections().at(path.substr(0, path.find('.')));
    EXPECT_EQ(Changed(without, before), expected);
    for (const Option& field : option.fields) {
      SCOPED_TRACE(field.name);
      ASSERT_TRUE(element.count(field.name)) << "a new field: give it in Elements()";
      std::vector<std::string> values = OtherValues(field, element.at(field.name));
      if (values.empty()) values = {"blocks.0.*"};  // a name or pattern
      std::vector<std::vector<std::string>> tries;
      for (const std::string& value : values) {
        std::map<std::string, std::string> other = element;
        other[field.name] = value;
        tries.push_back({absl::StrCat(path, "=", MapText(other))});
      }
      ExpectChanges(before, yaml, base, tries, expected);
    }
  }

  // Of the overrides, the first that can be planned.
  static void ExpectChanges(const PlannedKeys& before, const std::string& yaml, const std::vector<std::string>& base,
                            const std::vector<std::vector<std::string>>& tries, const Names& expected) {
    std::string problems;
    for (const std::vector<std::string>& overrides : tries) {
      std::vector<std::string> all = base;
      all.insert(all.end(), overrides.begin(), overrides.end());
      const PlannedKeys after = KeysOf(yaml, all);
      if (!after.status.ok()) {
        absl::StrAppend(&problems, absl::StrJoin(overrides, " "), ": ", after.status.message(), "\n");
        continue;
      }
      Names there;  // of the expected ones, those that the changed plan makes
      for (const std::string& name : expected) {
        if (before.keys.count(name) && after.keys.count(name)) there.insert(name);
      }
      EXPECT_EQ(Changed(before, after), there) << absl::StrJoin(overrides, " ");
      const bool in_result = !there.empty() || absl::StartsWith(overrides[0], kExpected);
      EXPECT_EQ(before.hash != after.hash, in_result) << absl::StrJoin(overrides, " ");
      return;
    }
    ADD_FAILURE() << "no other value is known for it; give one in Specials()\n" << problems;
  }

  const std::map<std::string, Special> specials_ = Specials();
  Names without_effect_;  // options that declare it
  int options_ = 0;
};

Schema SchemaOf(const RegistryBase& registry, const std::string& name) {
  for (const auto& component : registry.Descriptions()) {
    if (component.name == name) return component.schema;
  }
  ADD_FAILURE() << name;
  return {};
}

// A config whose `section` has the component, which can be planned.
std::string YamlWith(const Section& section, const std::string& component) {
  KeysConfig config;
  std::vector<KeysConfig> tries;
  if (section.name == "model") {
    config.model = absl::StrCat("{name: ", component, ", weights: ", KeysConfig::WeightsFile(), "}");
    config.dataset = "{name: generated, preset: deit}";
    config.compensator = "none";
    tries = {config};
  } else if (section.name == "dataset") {
    const std::map<std::string, std::string> datasets = {
        {"generated", config.dataset},
        {"fashion_mnist", absl::StrCat("{name: fashion_mnist, preset: deit, root: ", IdxFolder("idx", '\1'), "}")},
        {"image_folder", absl::StrCat("{name: image_folder, preset: deit, root: ", ImageFolder(), "}")}};
    const auto dataset = datasets.find(component);
    EXPECT_TRUE(dataset != datasets.end()) << "a new data set: say in YamlWith() how one is made";
    if (dataset != datasets.end()) config.dataset = dataset->second;
    if (component == "image_folder") config.model.replace(config.model.find("classes: 10"), 11, "classes: 2");
    tries = {config};
  } else {
    (section.name == "quantize" ? config.method : config.compensator) = component;
    KeysConfig images = config;
    images.model =
        absl::StrCat("{name: resnet, image: 32, width: 8, classes: 10, weights: ", KeysConfig::WeightsFile(), "}");
    tries = {config, images};
  }
  for (const KeysConfig& candidate : tries) {
    if (KeysOf(candidate.Yaml()).status.ok()) return candidate.Yaml();
  }
  ADD_FAILURE() << "no config is known that can have it: " << KeysOf(config.Yaml()).status;
  return config.Yaml();
}

TEST_F(StoreKeysTest, AnOptionChangesExactlyTheKeysOfWhatItMayChange) {
  const std::string saved = absl::StrCat(
      "name: saved\nstages: [load_quantized, evaluate]\nload_quantized: {file: ", SavedModel("saved_4", "4"),
      "}\ndataset: {name: fashion_mnist, preset: fashion_mnist}\nevaluate: {models: [quantized, "
      "compensated], images: 10}\n");
  for (const Section& section : AllSections()) {
    SCOPED_TRACE(section.name);
    ASSERT_TRUE(Sections().count(section.name)) << "a new section: say in Sections() what its options change";
    const std::string plain = section.name == "load_quantized" ? saved : KeysConfig().Yaml();
    ChangeEach(section.name, "", section.schema, plain);
    if (section.components == nullptr) continue;
    std::map<std::string, std::string> by_key;  // of what the section makes: the component that it is of
    for (const auto& component : section.components->Descriptions()) {
      SCOPED_TRACE(component.name);
      const std::string yaml = YamlWith(section, component.name);
      ChangeEach(section.name, component.name, SchemaOf(*section.components, component.name), yaml);
      const std::string key = KeysOf(yaml).keys["compensated"];
      EXPECT_TRUE(by_key.emplace(key, component.name).second) << "has the keys of " << by_key[key];
    }
  }
  EXPECT_GT(options_, 100);
  // That it is so is shown by runs (store_results_test).
  Names declared;
  for (const auto& [option, value] : OptionsWithoutEffect()) declared.insert(option);
  for (const auto& [option, special] : specials_) without_effect_.erase(option);
  EXPECT_EQ(without_effect_, declared) << "OptionsWithoutEffect() is to name what the schemas do";
}

// Above the sections: the seed matters where something is drawn by it.
TEST(SeedTest, ChangesWhatIsDrawnByIt) {
  const auto changed = [](const std::vector<std::string>& config) {
    std::vector<std::string> with_seed = config;
    with_seed.push_back("seed=1");
    const PlannedKeys before = KeysOf(KeysConfig().Yaml(), config), after = KeysOf(KeysConfig().Yaml(), with_seed);
    EXPECT_TRUE(before.status.ok()) << before.status;
    return Changed(before, after);
  };
  EXPECT_EQ(changed({}), Names({"diagnose"}));
  EXPECT_EQ(changed({"fit.order=random"}), Sections().at("fit"));
  EXPECT_EQ(changed({"fit.transform=train"}), Sections().at("fit"));
  EXPECT_EQ(changed({"calibrate.order=random"}), AfterCalibrate());
  EXPECT_EQ(changed({"calibrate.transform=train"}), AfterCalibrate());
  EXPECT_EQ(changed({"diagnose.images=40"}), Names({"diagnose"}));  // all, in another order
}

TEST(NameTest, ChangesNoKey) {
  const PlannedKeys before = KeysOf(KeysConfig().Yaml()), after = KeysOf(KeysConfig().Yaml(), {"name=other"});
  EXPECT_EQ(Changed(before, after), Names());
  EXPECT_NE(before.hash, after.hash);
}

}  // namespace
}  // namespace qwt
