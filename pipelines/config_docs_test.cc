#include "pipelines/config_docs.h"

#include <fstream>
#include <sstream>

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(ConfigDocsTest, DocsAreWhatTheSchemasSay) {
  std::ifstream file("docs/config.md", std::ios::binary);
  ASSERT_TRUE(file.is_open()) << "docs/config.md is missing";
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), ConfigDocs())
      << "docs/config.md does not have the options that configs are checked against; run\n"
         "  ./bazelw run //pipelines:list -- --markdown > docs/config.md";
}

}  // namespace
}  // namespace qwt
