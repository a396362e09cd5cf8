#include "core/registry/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/log.h"
#include "core/base/strings.h"

namespace qwt {
namespace {

std::vector<const RegistryBase*>& AllRegistries() {
  static auto* all = new std::vector<const RegistryBase*>;
  return *all;
}

}  // namespace

RegistryBase::RegistryBase(std::string kind) : kind_(std::move(kind)) {
  std::vector<const RegistryBase*>& all = AllRegistries();
  const auto later =
      std::find_if(all.begin(), all.end(), [this](const RegistryBase* other) { return other->kind() > kind_; });
  all.insert(later, this);
}

const std::vector<const RegistryBase*>& RegistryBase::All() { return AllRegistries(); }

absl::Status RegistryBase::NotFound(const std::string& name) const {
  std::vector<std::string> names;
  for (const Description& description : Descriptions()) names.push_back(description.name);
  const std::string nearest = NearestName(name, names);
  const std::string suggestion = nearest.empty() ? "there" : absl::StrCat("did you mean '", nearest, "'? There");
  const std::string unknown = absl::StrCat("unknown ", kind_, " '", name, "'; ");
  if (names.empty()) return absl::NotFoundError(unknown + "none is registered");
  return absl::NotFoundError(absl::StrCat(unknown, suggestion, " are: ", absl::StrJoin(names, ", ")));
}

void RegistryBase::FailDuplicate(const std::string& name) const {
  CheckFailed(absl::StrCat(kind_, " '", name, "' is registered twice").c_str(), __FILE__, __LINE__);
}

}  // namespace qwt
