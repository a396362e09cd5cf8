// A registered component from its options as YAML, for tests.
#pragma once

#include <string>
#include <utility>

#include "core/base/log.h"
#include "core/config/node.h"
#include "core/config/schema.h"
#include "gtest/gtest.h"

namespace qwt {

// options: as they stand in a config, "{weight_bits: 3}". `arguments`: what the registry's factories take beside them.
// Ends the test program where the name or the options are wrong.
template <typename Registry, typename... Arguments>
auto MakeComponent(const std::string& name, const std::string& options, Arguments&&... arguments) {
  const auto component = Registry::Get().Find(name);
  EXPECT_EQ(component.status(), absl::OkStatus());
  const auto config = ParseConfig(options, "test");
  EXPECT_EQ(config.status(), absl::OkStatus());
  QWT_CHECK(component.ok() && config.ok());
  Problems problems;
  const Options checked = CheckOptions(*config, (*component)->schema, &problems);
  EXPECT_EQ(problems.ToStatus(), absl::OkStatus());
  QWT_CHECK(problems.empty());
  auto made = (*component)->create(checked, std::forward<Arguments>(arguments)...);
  EXPECT_EQ(made.status(), absl::OkStatus());
  return *std::move(made);
}

}  // namespace qwt
