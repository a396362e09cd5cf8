// A checked config: every section's options with types and defaults, and the stages in order.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/config/node.h"
#include "core/config/schema.h"
#include "core/registry/registry.h"

namespace qwt {

// A section of a config. Where it chooses a component (`model: {name: vit}`), that component's options stand in it too.
struct Section {
  std::string name;  // "model", "quantize"
  std::string doc;
  Schema schema;                             // its own options
  std::string selector;                      // the option that names the component: "name", "method"; "" for none
  const RegistryBase* components = nullptr;  // where that name is looked up
};

// The section's own options, behind the selector where it has one: any component's name.
Schema OwnSchema(const Section& section);

// All sections there are: model, dataset, runtime, and one for each registered stage that has options or chooses a
// component.
std::vector<Section> AllSections();
// The options above the sections: name, seed, stages.
Schema TopLevelSchema();

// The section of a config (none: left out) against its own schema and that of the component it chooses. The options may
// be used only if nothing was added to *problems.
Options CheckSection(const Section& section, const ConfigNode& config, Problems* problems);

// The section of published figures, the one that a request may lack.
inline constexpr char kExpected[] = "expected";

struct Request {
  std::string name;
  uint64_t seed = 0;
  std::vector<std::string> stages;
  Options top;                              // name, seed and stages as options
  std::map<std::string, Options> sections;  // those of the stages, and runtime

  const Options& Of(const std::string& section) const;  // must be there
  int Ranks() const;                                    // runtime.ranks; 0 for all
  // YAML that runs again as it is: no base, no variables, every default written out, paths absolute.
  std::string ToYaml() const;
};

// Checks everything that a config alone can tell and reports all of it in *problems; the request may be used only if
// nothing was added.
Request CheckRequest(const ConfigNode& config, Problems* problems);

}  // namespace qwt
