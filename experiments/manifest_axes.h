// The axes of a manifest: what runs differ in, and the combinations of it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config/settings.h"

namespace qwt {

inline constexpr char kBaseKey[] = "base";

// Values by key path that a run takes together.
using Choice = std::vector<Setting>;
// The choices of an axis, of which each run takes one.
using Axis = std::vector<Choice>;
inline constexpr size_t kMostRuns = 10000;

// The value in the choice; null if there is none.
const ConfigNode* ValueIn(const Choice& choice, const std::string& key);

// Whether `key` may be set to `value` by a manifest.
bool CheckKey(const std::string& key, const ConfigNode& value, Problems* problems);
// A map of key paths to values.
Choice ChoiceOf(const ConfigNode& entry, Problems* problems);

// The sections of a manifest that hold axes, by name: grid, list, zip, seeds. Each adds its own.
using AxisReader = void (*)(const ConfigNode& section, std::vector<Axis>* axes, Problems* problems);
const std::map<std::string, AxisReader>& AxisReaders();

// The key paths that the axes set, in order; a problem where two axes set the same.
std::vector<std::string> KeysOf(const std::vector<Axis>& axes, Problems* problems);
// Every combination, the last axis varying fastest; more than kMostRuns where there are more.
std::vector<Choice> Product(const std::vector<Axis>& axes);
// Takes away what an entry of the section matches, each of which must match some. keys: KeysOf.
void Exclude(const ConfigNode& section, const std::vector<std::string>& keys, std::vector<Choice>* choices,
             Problems* problems);

}  // namespace qwt
