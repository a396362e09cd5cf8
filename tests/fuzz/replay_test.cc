// What run.sh does for hours, for a few seconds under any compiler: a fuzzer's LLVMFuzzerTestOneInput on the files of
// tests/golden and of tests/fuzz/corpus that it is given, whole, cut and with single bytes changed.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "gtest/gtest.h"
#include "tests/fuzz/fuzz.h"

namespace qwt {
namespace {

std::string* current = new std::string;  // what is being fed, for who looks at a test that died

void SayWhatWasFed(int signal) {
  std::fprintf(stderr, "the input was %s\n", current->c_str());
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void Feed(const std::string& bytes, std::string name) {
  *current = std::move(name);
  ASSERT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), 0);
}

class ReplayTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, SayWhatWasFed);
    for (const char* folder : {"tests/golden/checkpoints", "tests/golden/transforms", "tests/fuzz/corpus"}) {
      if (!std::filesystem::exists(folder)) continue;
      for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) files_[entry.path()] = *ReadFile(entry.path());
      }
    }
  }

  // Deterministic places in a file, spread evenly; few in large files, of which a reader takes longer.
  static std::vector<size_t> Places(const std::string& bytes) {
    const size_t count = std::min<size_t>(bytes.size(), bytes.size() < 16384 ? 100 : 20);
    std::vector<size_t> places;
    for (size_t i = 0; i < count; ++i) places.push_back(i * bytes.size() / count);
    return places;
  }

  static std::map<std::string, std::string> files_;
};

std::map<std::string, std::string> ReplayTest::files_;

TEST_F(ReplayTest, WholeFiles) {
  ASSERT_GT(files_.size(), std::filesystem::exists("tests/golden/checkpoints") ? 230 : 8);
  for (const auto& [name, bytes] : files_) Feed(bytes, name);
  EXPECT_GT(ThingsChecked(), 0) << "no file was read";
}

TEST_F(ReplayTest, CutFiles) {
  for (const auto& [name, bytes] : files_) {
    for (size_t place : Places(bytes)) {
      Feed(bytes.substr(0, place), absl::StrCat(name, ", its first ", place, " bytes"));
    }
  }
}

TEST_F(ReplayTest, ChangedBytes) {
  for (const auto& [name, bytes] : files_) {
    for (size_t place : Places(bytes)) {
      for (unsigned char bits : {0x01, 0x80, 0xff}) {
        std::string changed = bytes;
        changed[place] = static_cast<char>(changed[place] ^ bits);
        Feed(changed, absl::StrCat(name, ", byte ", place, " xor ", bits));
      }
    }
  }
}

}  // namespace
}  // namespace qwt
