#include "core/base/paths.h"

#include <cstdlib>
#include <filesystem>

#include "gtest/gtest.h"

namespace qwt {
namespace {

TEST(AbsolutePathTest, StartsWhereTheUserStands) {
  setenv("BUILD_WORKING_DIRECTORY", "/home/ada/qwt", 1);
  EXPECT_EQ(AbsolutePath("weights/deit.pth"), "/home/ada/qwt/weights/deit.pth");
  EXPECT_EQ(AbsolutePath("./a/../b/"), "/home/ada/qwt/b");
  EXPECT_EQ(AbsolutePath("/data/./imagenet/"), "/data/imagenet");
  EXPECT_EQ(AbsolutePath("/"), "/");
  EXPECT_EQ(AbsolutePath(""), "");
  unsetenv("BUILD_WORKING_DIRECTORY");
  EXPECT_EQ(AbsolutePath("weights"), (std::filesystem::current_path() / "weights").string());
}

TEST(AbsolutePathTest, TildeIsTheHomeFolder) {
  setenv("HOME", "/home/ada", 1);
  EXPECT_EQ(AbsolutePath("~/.cache/qwt"), "/home/ada/.cache/qwt");
  EXPECT_EQ(AbsolutePath("~"), "/home/ada");
  setenv("BUILD_WORKING_DIRECTORY", "/w", 1);
  EXPECT_EQ(AbsolutePath("~ada/x"), "/w/~ada/x");
}

}  // namespace
}  // namespace qwt
