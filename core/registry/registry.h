// Components by name. A component registers itself in its own .cc (alwayslink = 1):
//
//   static const bool registered = DatasetRegistry::Get().Register({"fashion_mnist", "Fashion-MNIST (IDX files).",
//   schema, factory});
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/config/schema.h"

namespace qwt {

// What every registry can say of its components, whatever they are: for lists, docs and "did you mean".
class RegistryBase {
 public:
  struct Description {
    std::string name;
    std::string doc;
    Schema schema;
  };

  explicit RegistryBase(std::string kind);
  virtual ~RegistryBase() = default;
  const std::string& kind() const { return kind_; }           // "model", "dataset", "quantiser", ...
  virtual std::vector<Description> Descriptions() const = 0;  // by name

  static const std::vector<const RegistryBase*>& All();  // by kind

 protected:
  // NotFound: "unknown dataset 'fashion'; did you mean 'fashion_mnist'? There are: fashion_mnist, image_folder".
  absl::Status NotFound(const std::string& name) const;
  [[noreturn]] void FailDuplicate(const std::string& name) const;

 private:
  std::string kind_;
};

// The components that make a Product from checked options (and Args, where the kind needs more).
template <typename Product, const char* kKind, typename... Args>
class Registry : public RegistryBase {
 public:
  struct Component : Description {
    std::function<absl::StatusOr<Product>(const Options&, Args...)> create;
  };

  static Registry& Get() {
    static auto* registry = new Registry;
    return *registry;
  }

  bool Register(Component component) {
    if (components_.count(component.name)) FailDuplicate(component.name);
    components_.emplace(component.name, std::move(component));
    return true;
  }

  absl::StatusOr<const Component*> Find(const std::string& name) const {
    auto found = components_.find(name);
    if (found == components_.end()) return NotFound(name);
    return &found->second;
  }

  std::vector<Description> Descriptions() const override {
    std::vector<Description> descriptions;
    for (const auto& [name, component] : components_) descriptions.push_back(component);
    return descriptions;
  }

 private:
  Registry() : RegistryBase(kKind) {}
  std::map<std::string, Component> components_;
};

}  // namespace qwt
