#include "tests/helpers/contained.h"

#include <memory>
#include <stdexcept>

#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr uint64_t kMegabyte = 1 << 20;

// Touches every page: memory that is only reserved would count too, but that is not the point.
std::string Take(uint64_t bytes) {
  const std::unique_ptr<char[]> memory(new char[bytes]);
  for (uint64_t i = 0; i < bytes; i += 4096) static_cast<volatile char*>(memory.get())[i] = 1;
  return "taken";
}

TEST(ContainedTest, GivesWhatTheFunctionReturns) {
  const std::string long_text(100'000, 'x');
  const ContainedResult result = RunContained([&] { return long_text; }, kMegabyte, 1);
  EXPECT_EQ(result.said, long_text);
  EXPECT_EQ(result.ended, "");
}

TEST(ContainedTest, GivesWhatTheFunctionThrew) {
  const ContainedResult result = RunContained([]() -> std::string { throw std::runtime_error("no"); }, kMegabyte, 1);
  EXPECT_EQ(result.said, "exception: no");
  EXPECT_EQ(result.ended, "");
}

TEST(ContainedTest, MemoryIsBounded) {
  EXPECT_EQ(RunContained([] { return Take(50 * kMegabyte); }, 100 * kMegabyte, 2).said, "taken");
  // std::bad_alloc; the address sanitizer's allocator ends the process instead.
  EXPECT_NE(RunContained([] { return Take(200 * kMegabyte); }, 100 * kMegabyte, 2).said, "taken");
}

TEST(ContainedTest, TimeIsBounded) {
  const auto forever = []() -> std::string {
    for (volatile bool go = true; go;) {
    }
    return "";
  };
  EXPECT_EQ(RunContained(forever, kMegabyte, 1).ended, "signal 9");
}

TEST(ContainedTest, CrashesAreTold) {
  EXPECT_EQ(RunContained([]() -> std::string { abort(); }, kMegabyte, 1).ended, "signal 6");
}

}  // namespace
}  // namespace qwt
