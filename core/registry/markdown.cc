#include "core/registry/markdown.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/registry/registry.h"

namespace qwt {
namespace {

constexpr size_t kColumns = 100;

std::string Cell(const std::string& text) { return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}}); }

bool IsNotGiven(const std::string& default_yaml) { return default_yaml.empty() || default_yaml == "\"\""; }

std::string OptionTable(const Schema& schema) {
  if (schema.options.empty()) return "No options.\n";
  std::string table = "| option | value | default | meaning |\n|---|---|---|---|\n";
  for (const Option& option : schema.options) {
    std::string default_text = "required";
    if (option.default_yaml.has_value()) {
      default_text = IsNotGiven(*option.default_yaml) ? "none" : absl::StrCat("`", *option.default_yaml, "`");
    }
    absl::StrAppend(&table, "| `", option.name, "` | ", Cell(AllowedValues(option)), " | ", Cell(default_text), " | ",
                    Cell(option.doc), " |\n");
  }
  return table;
}

// "dataset" -> "Datasets", "quant method" -> "Quant methods", "registry" -> "Registries".
std::string Heading(const std::string& kind) {
  std::string heading = kind;
  heading[0] = absl::ascii_toupper(heading[0]);
  if (heading.back() != 'y') return heading + "s";
  heading.pop_back();
  return heading + "ies";
}

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
  if (!option.default_yaml.has_value()) {
    value += "; required";
  } else if (!IsNotGiven(*option.default_yaml)) {
    absl::StrAppend(&value, "; default ", *option.default_yaml);
  }
  std::string first = absl::StrCat("      ", option.name);
  const size_t indent = 6 + name_width + 2;
  first.resize(indent, ' ');
  return Wrapped(first, indent, absl::StrCat(value, ". ", option.doc));
}

}  // namespace

std::string SchemaToMarkdown(const std::string& title, const Schema& schema) {
  return absl::StrCat("## ", title, "\n\n", OptionTable(schema));
}

std::string RegistriesToMarkdown() {
  std::string markdown;
  for (const RegistryBase* registry : RegistryBase::All()) {
    absl::StrAppend(&markdown, markdown.empty() ? "" : "\n", "## ", Heading(registry->kind()), "\n");
    for (const RegistryBase::Description& component : registry->Descriptions()) {
      absl::StrAppend(&markdown, "\n### `", component.name, "`\n\n", component.doc, "\n\n",
                      OptionTable(component.schema));
    }
  }
  return markdown;
}

std::string RegistriesToText() {
  std::string text;
  for (const RegistryBase* registry : RegistryBase::All()) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", Heading(registry->kind()), "\n");
    for (const RegistryBase::Description& component : registry->Descriptions()) {
      absl::StrAppend(&text, Wrapped(absl::StrCat("  ", component.name, "  "), 6, component.doc));
      size_t width = 0;
      for (const Option& option : component.schema.options) width = std::max(width, option.name.size());
      for (const Option& option : component.schema.options) absl::StrAppend(&text, OptionText(option, width));
    }
  }
  return text;
}

}  // namespace qwt
