// What is registered, as documents: the reference of all components and the list that //pipelines:list prints.
#pragma once

#include <string>

#include "core/config/schema.h"

namespace qwt {

// "## Datasets" with a "### `name`" for each component: its doc and the table of its options.
std::string RegistriesToMarkdown();
// The same for a terminal, at most 100 columns wide (longer only where a single word is).
std::string RegistriesToText();
// "## TITLE" and the table of the options of one section of a config.
std::string SchemaToMarkdown(const std::string& title, const Schema& schema);

}  // namespace qwt
