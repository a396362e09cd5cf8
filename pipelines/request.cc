#include "pipelines/request.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/log.h"
#include "core/base/strings.h"
#include "core/store/store.h"
#include "data/dataset.h"
#include "data/transform.h"
#include "models/registry.h"
#include "pipelines/cache_budget.h"
#include "pipelines/stage.h"
#include "quant/method.h"
#include "qwt/compensator.h"

namespace qwt {
namespace {

Section ModelSection() {
  return {"model",
          "The network and its weights.",
          {{Option::Paths("weights",
                          "The network's parameters as published: .pth, .pth.tar, .npz or .safetensors, recognised by "
                          "content; a list for a network in several files."),
            Option::Path("class_map",
                         "A file with one line for each class of the dataset: the class's row in the checkpoint's "
                         "head, counted from 0, then anything. For a subset of the classes or another order.")
                .Default("")}},
          "name",
          &ModelRegistry::Get()};
}

Section DatasetSection() {
  return {
      "dataset",
      "Labelled images: the training split for calibration and fit, the evaluation split for accuracy.",
      {{Option::String("preset", "How the network wants its images: size, crop, mean and standard deviation.")
            .OneOf(PresetNames()),
        Option::String("on_bad_image",
                       "What to do with an image that cannot be decoded. fail: the run stops and names it. skip: it is "
                       "left out, counted and named in the result.")
            .OneOf({"fail", "skip"})
            .Default("fail")}},
      "name",
      &DatasetRegistry::Get()};
}

Section ExpectedSection() {
  return {kExpected,
          "What a publication reports, printed beside what the run measures; may be left out. It has no effect on a "
          "result.",
          {{Option::String("of", "The setting it is of, as W4/A4; beside runs at other widths it is not printed."),
            Option::Double("float", "Top-1 of the float network, %.").Range(0, 100),
            Option::Double("quantized", "Top-1 of the quantised network, %.").Range(0, 100),
            Option::Double("compensated", "Top-1 of the compensated network, %.").Range(0, 100),
            Option::Double("tolerance", "A difference of more points is marked.").Range(0, 100).Default("0.5")}},
          "",
          nullptr};
}

Section RuntimeSection() {
  Section section = {
      "runtime",
      "How to run; nothing here but batch_size can change a result.",
      {{Option::String("device",
                       "Where to compute: auto (a GPU where the program is built for them and finds one, else the "
                       "CPU), cpu, cuda, or cuda:N for one of them. CPUs and GPUs do not round alike, so each "
                       "keeps results of its own.")
            .Default("auto")
            .NoEffectOnResult(),
        Option::String("ranks",
                       "Processes to start on this machine, a number, or all: one for each of its GPUs where "
                       "'device' is one of them in turn (auto, cuda), otherwise one. A launcher that has started "
                       "ranks already (--nproc, torchrun, srun) has the say.")
            .Default("all")
            .NoEffectOnResult(),
        Option::Path("store", "Folder of the artifact store, which keeps what stages made.")
            .Default(kDefaultStore)
            .NoEffectOnResult(),
        Option::Int("threads", "Threads of a rank; 0: all cores, shared among the ranks.")
            .Range(0, 1024)
            .Default("0")
            .NoEffectOnResult(),
        Option::Int("batch_size",
                    "Images computed together; 0: 16 on the CPU, and on a GPU as many as its memory allows, up to "
                    "256. It decides in which order products are summed, so it is part of every stored value's "
                    "key. A GPU that has no memory for so many goes on with half.")
            .Range(0, 4096)
            .Default("0")}},
      "",
      nullptr};
  for (Option& option : CacheOptions()) section.schema.options.push_back(std::move(option));
  return section;
}

constexpr int kMostRanks = 1024;  // on one machine, as --nproc

// The value of runtime.ranks: 0 for all, -1 where it is neither that nor a number of ranks.
int ParseRanks(const std::string& text) {
  if (text == "all") return 0;
  int ranks = 0;
  return absl::SimpleAtoi(text, &ranks) && ranks >= 1 && ranks <= kMostRanks ? ranks : -1;
}

// Which option of a stage's section names a component, and of which kind.
struct Selector {
  const char* stage;
  const char* option;
  const RegistryBase* components;
};
std::vector<Selector> StageSelectors() {
  return {{"quantize", "method", &QuantMethodRegistry::Get()}, {"fit", "compensator", &CompensatorRegistry::Get()}};
}

const RegistryBase::Description* FindComponent(const std::vector<RegistryBase::Description>& all,
                                               const std::string& name) {
  auto found = std::find_if(all.begin(), all.end(), [&](const auto& component) { return component.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::vector<std::string> NamesOf(const std::vector<RegistryBase::Description>& components) {
  std::vector<std::string> names;
  for (const auto& component : components) names.push_back(component.name);
  return names;
}

// The section's schema with its selector and the options of the component that the config chooses.
Schema FullSchema(const Section& section, const ConfigNode& node, Problems* problems) {
  Schema schema = OwnSchema(section);
  if (section.components == nullptr) return schema;
  std::vector<RegistryBase::Description> components = section.components->Descriptions();
  const ConfigNode* chosen = node.kind() == ConfigNode::Kind::kMap ? node.Find(section.selector) : nullptr;
  if (chosen == nullptr || chosen->kind() != ConfigNode::Kind::kScalar || chosen->scalar().empty()) {
    // Which other keys may stand there depends on the component; the one thing to say is that it is missing.
    const ConfigNode nothing_chosen = ConfigNode::EmptyMap(section.name, node.location());
    CheckOptions(nothing_chosen, {{schema.options.front()}}, problems);
    return {};
  }
  if (const auto* component = FindComponent(components, chosen->scalar())) {
    schema.options.insert(schema.options.end(), component->schema.options.begin(), component->schema.options.end());
  } else {
    // Its options are unknown, so nothing else in the section can be judged.
    const std::vector<std::string> names = NamesOf(components);
    problems->Add(chosen->Where(),
                  absl::StrCat("unknown ", section.components->kind(), " '", chosen->scalar(), "'",
                               DidYouMean(chosen->scalar(), names), "; there are: ", absl::StrJoin(names, ", ")));
    schema.options.clear();
  }
  return schema;
}

const ConfigNode* SectionOf(const ConfigNode& config, const std::string& name) {
  return config.kind() == ConfigNode::Kind::kMap ? config.Find(name) : nullptr;
}

// Names of the stages that make a value.
std::vector<std::string> MakersOf(const std::string& value) {
  std::vector<std::string> makers;
  for (const auto& candidate : StageRegistry::Get().Descriptions()) {
    const std::vector<std::string> makes = CreateStage(candidate.name)->Makes();
    if (std::find(makes.begin(), makes.end(), value) != makes.end()) makers.push_back(candidate.name);
  }
  return makers;
}

// Each value a stage needs must be made by an earlier one.
void CheckOrder(const Request& request, const std::string& where, Problems* problems) {
  std::vector<std::string> made;
  for (const std::string& name : request.stages) {
    const std::unique_ptr<Stage> stage = CreateStage(name);
    for (const std::string& value : stage->Needs(request)) {
      if (std::find(made.begin(), made.end(), value) != made.end()) continue;
      problems->Add(where,
                    absl::StrCat("stage '", name, "' needs the ", value, ", which no stage before it makes; put ",
                                 absl::StrJoin(MakersOf(value), " or "), " before it"));
    }
    for (const std::string& value : stage->Makes()) made.push_back(value);
  }
}

}  // namespace

Schema OwnSchema(const Section& section) {
  if (section.components == nullptr) return section.schema;
  Schema schema = {{Option::String(section.selector, absl::StrCat("The ", section.components->kind(), "."))
                        .OneOf(NamesOf(section.components->Descriptions()))}};
  schema.options.insert(schema.options.end(), section.schema.options.begin(), section.schema.options.end());
  return schema;
}

std::vector<Section> AllSections() {
  std::vector<Section> sections = {ModelSection(), DatasetSection()};
  for (const auto& stage : StageRegistry::Get().Descriptions()) {
    Section section{stage.name, stage.doc, stage.schema, "", nullptr};
    for (const Selector& selector : StageSelectors()) {
      if (stage.name == selector.stage) section.selector = selector.option, section.components = selector.components;
    }
    if (!section.schema.options.empty() || section.components != nullptr) sections.push_back(section);
  }
  sections.push_back(ExpectedSection());
  sections.push_back(RuntimeSection());
  return sections;
}

Schema TopLevelSchema() {
  std::vector<std::string> stages;
  for (const auto& stage : StageRegistry::Get().Descriptions()) stages.push_back(stage.name);
  return {{Option::String("name", "Name of the run: its folder is runs/NAME/TIME."),
           Option::Strings("stages", "The stages, in order.").OneOf(stages),
           Option::Int("seed", "Seed of everything drawn at random.").Range(0, 9007199254740992.0).Default("0")}};
}

Options CheckSection(const Section& section, const ConfigNode& config, Problems* problems) {
  const ConfigNode* given = SectionOf(config, section.name);
  const ConfigNode node = given == nullptr ? ConfigNode::EmptyMap(section.name, config.location()) : *given;
  const Schema schema = FullSchema(section, node, problems);
  return schema.options.empty() ? Options() : CheckOptions(node, schema, problems);
}

const Options& Request::Of(const std::string& section) const {
  auto found = sections.find(section);
  QWT_CHECK(found != sections.end());
  return found->second;
}

int Request::Ranks() const { return ParseRanks(Of("runtime").String("ranks")); }

std::string Request::ToYaml() const {
  std::string yaml = top.ToYaml(0);
  for (const auto& [section, options] : sections) absl::StrAppend(&yaml, section, ":\n", options.ToYaml(2));
  return yaml;
}

Request CheckRequest(const ConfigNode& config, Problems* problems) {
  Request request;
  const size_t problems_before = problems->lines().size();
  std::vector<Section> sections = AllSections();
  std::vector<std::string> section_names;
  for (const Section& section : sections) section_names.push_back(section.name);
  Schema top_schema = TopLevelSchema();
  top_schema.sections = section_names;
  request.top = CheckOptions(config, top_schema, problems);
  const Options& top = request.top;
  const bool top_is_sound = problems->lines().size() == problems_before;

  std::vector<std::string> used = {"runtime"};
  if (SectionOf(config, kExpected) != nullptr) used.push_back(kExpected);
  if (top_is_sound) {
    request.name = top.String("name");
    request.seed = top.Int("seed");
    request.stages = top.Strings("stages");
    if (request.stages.empty()) problems->Add(top.Where("stages"), "must name at least one stage");
    for (const std::string& stage : request.stages) {
      for (const std::string& section : CreateStage(stage)->Sections()) used.push_back(section);
    }
  }
  for (const Section& section : sections) {
    const bool needed = std::find(used.begin(), used.end(), section.name) != used.end();
    if (SectionOf(config, section.name) == nullptr && !needed) continue;
    Options options = CheckSection(section, config, problems);
    const bool sound = problems->lines().size() == problems_before;
    if (sound && section.name == "runtime") CheckCacheOptions(options, problems);
    if (sound && section.name == "runtime" && ParseRanks(options.String("ranks")) < 0) {
      problems->Add(options.Where("ranks"), absl::StrCat("must be all or a number from 1 to ", kMostRanks, ", is '",
                                                         options.String("ranks"), "'"));
    }
    if (needed) request.sections.emplace(section.name, std::move(options));
  }
  if (problems->lines().size() == problems_before) CheckOrder(request, top.Where("stages"), problems);
  return request;
}

}  // namespace qwt
