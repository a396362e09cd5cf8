#include "core/registry/markdown.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace qwt {
namespace {

using Description = RegistryBase::Description;

constexpr size_t kColumns = 100;

std::string Cell(const std::string& text) { return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}}); }

bool IsNotGiven(const std::string& default_yaml) { return default_yaml.empty() || default_yaml == "\"\""; }

bool SameButDefaults(const Option& a, const Option& b) {
  return a.name == b.name && a.type == b.type && a.doc == b.doc && AllowedValues(a) == AllowedValues(b) &&
         a.default_yaml.has_value() == b.default_yaml.has_value();
}

// The first component with the same options; the component itself if there is none before it.
const Description& FirstLike(const Description& component, const std::vector<Description>& components) {
  if (component.schema.options.empty()) return component;
  for (const Description& other : components) {
    if (other.name == component.name) break;
    if (std::equal(other.schema.options.begin(), other.schema.options.end(), component.schema.options.begin(),
                   component.schema.options.end(), SameButDefaults)) {
      return other;
    }
  }
  return component;
}

// "The options of deit_base with the defaults heads 6, width 384." `quote` stands around each name and value.
std::string Difference(const Description& component, const Description& first, const std::string& quote) {
  std::vector<std::string> defaults;
  for (size_t i = 0; i < component.schema.options.size(); ++i) {
    const Option& option = component.schema.options[i];
    if (option.default_yaml == first.schema.options[i].default_yaml) continue;
    const std::string value =
        IsNotGiven(*option.default_yaml) ? "none" : absl::StrCat(quote, *option.default_yaml, quote);
    defaults.push_back(absl::StrCat(quote, option.name, quote, " ", value));
  }
  const std::string same = absl::StrCat("The options of ", quote, first.name, quote);
  if (defaults.empty()) return same + ".";
  return absl::StrCat(same, " with ", defaults.size() == 1 ? "the default " : "the defaults ",
                      absl::StrJoin(defaults, ", "), ".");
}

// "dataset" -> "Datasets", "quant method" -> "Quant methods", "registry" -> "Registries".
std::string Heading(const std::string& kind) {
  std::string heading = kind;
  heading[0] = absl::ascii_toupper(heading[0]);
  if (heading.back() != 'y') return heading + "s";
  heading.pop_back();
  return heading + "ies";
}

// With a row for each option of a list of maps behind it: "overrides", "overrides[].match".
std::vector<Option> Rows(const Schema& schema, const std::string& prefix = "") {
  std::vector<Option> rows;
  for (const Option& option : schema.options) {
    rows.push_back(option);
    rows.back().name = prefix + option.name;
    const std::vector<Option> fields = Rows({option.fields}, rows.back().name + "[].");
    rows.insert(rows.end(), fields.begin(), fields.end());
  }
  return rows;
}

bool IsRequired(const Option& option) { return !option.default_yaml.has_value() && !option.optional; }

bool HasDefault(const Option& option) { return option.default_yaml.has_value() && !IsNotGiven(*option.default_yaml); }

// The words of `text` after `first`, broken so that lines end before kColumns; further lines begin with `indent`
// spaces.
std::string Wrapped(const std::string& first, size_t indent, const std::string& text) {
  std::string wrapped = first;
  size_t column = first.size();
  bool line_has_words = false;
  for (const absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (line_has_words && column + 1 + word.size() > kColumns) {
      absl::StrAppend(&wrapped, "\n", std::string(indent, ' '));
      column = indent;
    } else if (line_has_words) {
      wrapped += ' ';
      ++column;
    }
    absl::StrAppend(&wrapped, word);
    column += word.size();
    line_has_words = true;
  }
  return wrapped + "\n";
}

std::string OptionText(const Option& option, size_t name_width) {
  std::string value = AllowedValues(option);
  if (IsRequired(option)) {
    value += "; required";
  } else if (HasDefault(option)) {
    absl::StrAppend(&value, "; default ", *option.default_yaml);
  }
  std::string first = absl::StrCat("      ", option.name);
  const size_t indent = 6 + name_width + 2;
  first.resize(indent, ' ');
  return Wrapped(first, indent, absl::StrCat(value, ". ", option.doc));
}

// A line of name and doc, then one for each option.
std::string ComponentText(const Description& component, const Description& first) {
  std::string text = Wrapped(absl::StrCat("  ", component.name, "  "), 6, component.doc);
  if (&first != &component) return text + Wrapped("      ", 6, Difference(component, first, ""));
  size_t width = 0;
  const std::vector<Option> rows = Rows(component.schema);
  for (const Option& option : rows) width = std::max(width, option.name.size());
  for (const Option& option : rows) text += OptionText(option, width);
  return text;
}

}  // namespace

std::string OptionTable(const Schema& schema) {
  if (schema.options.empty()) return "No options.\n";
  std::string table = "| option | value | default | meaning |\n|---|---|---|---|\n";
  for (const Option& option : Rows(schema)) {
    std::string default_text = IsRequired(option) ? "required" : "none";
    if (HasDefault(option)) default_text = absl::StrCat("`", *option.default_yaml, "`");
    absl::StrAppend(&table, "| `", option.name, "` | ", Cell(AllowedValues(option)), " | ", Cell(default_text), " | ",
                    Cell(option.doc), " |\n");
  }
  return table;
}

std::string SchemaToMarkdown(const std::string& title, const Schema& schema) {
  return absl::StrCat("## ", title, "\n\n", OptionTable(schema));
}

std::string ComponentsToMarkdown(const RegistryBase& registry, const std::string& prefix) {
  std::string markdown;
  const std::vector<Description> components = registry.Descriptions();
  for (const Description& component : components) {
    const Description& first = FirstLike(component, components);
    absl::StrAppend(&markdown, markdown.empty() ? "" : "\n", "### `", prefix, component.name, "`\n\n", component.doc,
                    "\n\n");
    markdown += &first == &component ? OptionTable(component.schema) : Difference(component, first, "`") + "\n";
  }
  return markdown;
}

std::string RegistriesToMarkdown() {
  std::string markdown;
  for (const RegistryBase* registry : RegistryBase::All()) {
    absl::StrAppend(&markdown, markdown.empty() ? "" : "\n", "## ", Heading(registry->kind()), "\n\n",
                    ComponentsToMarkdown(*registry));
  }
  return markdown;
}

std::string RegistriesToText() {
  std::string text;
  for (const RegistryBase* registry : RegistryBase::All()) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", Heading(registry->kind()), "\n");
    const std::vector<Description> components = registry->Descriptions();
    for (const Description& component : components) {
      text += ComponentText(component, FirstLike(component, components));
    }
  }
  return text;
}

}  // namespace qwt
