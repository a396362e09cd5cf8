#include "core/config/node.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(ParseConfigTest, OverridesAndVariables) {
  auto root = ParseConfig("a: {b: 1, c: [2, 3]}\nd: \"${N}\"\ne: ${N}\nf: $${x}\n", "x.yaml", {"a.b=3"}, {{"N", "4"}});
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->ToYaml(), "a:\n  b: 3\n  c: [2, 3]\nd: \"4\"\ne: 4\nf: \"$${x}\"\n");
}

}  // namespace
}  // namespace qwt
