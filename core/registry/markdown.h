// What is registered, as documents: the reference of all components and the list that //pipelines:list prints.
#pragma once

#include <string>

#include "core/config/schema.h"
#include "core/registry/registry.h"

namespace qwt {

// A component whose options differ from an earlier one's in the defaults alone refers to that one and names its own
// defaults, so that presets of one network do not repeat its options.

// "## Datasets" with each component of the registry, as ComponentsToMarkdown has them.
std::string RegistriesToMarkdown();
// The same for a terminal, at most 100 columns wide (longer only where a single word is).
std::string RegistriesToText();
// "### `PREFIXname`" for each component: its doc and the table of its options.
std::string ComponentsToMarkdown(const RegistryBase& registry, const std::string& prefix = "");
// "## TITLE" and the table of the schema's options.
std::string SchemaToMarkdown(const std::string& title, const Schema& schema);
// The table alone: a line for each option with its allowed values, default and meaning; "No options." without any.
std::string OptionTable(const Schema& schema);

}  // namespace qwt
