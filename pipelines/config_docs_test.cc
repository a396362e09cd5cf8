#include "pipelines/config_docs.h"

#include <fstream>
#include <sstream>
#include <string>

#include "core/registry/markdown.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

// "" for equal texts; the texts themselves are too long to be printed.
std::string FirstDifference(const std::string& file, const std::string& code) {
  if (file == code) return "";
  std::istringstream file_lines(file), code_lines(code);
  std::string in_file, in_code;
  int line = 0;
  do {
    ++line;
    if (!std::getline(file_lines, in_file)) in_file = "(end)";
    if (!std::getline(code_lines, in_code)) in_code = "(end)";
  } while (in_file == in_code && file_lines && code_lines);
  return "docs/config.md:" + std::to_string(line) + " has\n  " + in_file + "\nbut the code says\n  " + in_code +
         "\nRun\n  ./bazelw run //pipelines:list -- --markdown > docs/config.md\n";
}

TEST(ConfigDocsTest, DocsAreWhatTheCodeChecks) {
  std::ifstream file("docs/config.md", std::ios::binary);
  ASSERT_TRUE(file.is_open()) << "docs/config.md is missing";
  std::ostringstream text;
  text << file.rdbuf();
  const std::string difference = FirstDifference(text.str(), ConfigDocs());
  EXPECT_TRUE(difference.empty()) << difference;
}

// What //pipelines:list prints.
TEST(ConfigDocsTest, TheListFitsA100ColumnTerminal) {
  std::istringstream list(RegistriesToText());
  std::string line;
  int lines = 0;
  for (; std::getline(list, line); ++lines) EXPECT_LE(line.size(), 100u) << line;
  EXPECT_GT(lines, 50);
}

}  // namespace
}  // namespace qwt
