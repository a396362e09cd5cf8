// The bundle as another machine unpacks it: its programs run with a LibTorch that is named to them, and what is missing
// is said.
#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

using testing::AnyOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

using Variables = std::map<std::string, std::string>;

class BundleTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = TestFolder("unpacked");
    const ProgramResult tar = RunProgram({"/bin/tar", "-xzf", "pipelines/bundle.tar.gz", "-C", folder_});
    ASSERT_EQ(tar.exit_code, 0) << tar.err;
  }
  static const std::string& folder() { return folder_; }
  static std::string LibTorch() { return Contents("external/libtorch/folder.txt"); }

  // A folder that looks like a LibTorch from outside.
  static std::string FakeLibTorch(const std::string& name, const std::string& minor) {
    const std::string path = TestFolder(name + "/torch");
    std::filesystem::create_directories(path + "/include/torch/headeronly");
    std::filesystem::create_directories(path + "/lib");
    MakeFile(path + "/include/torch/headeronly/version.h",
             "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR " + minor + "\n");
    MakeFile(path + "/lib/libtorch_cpu.so", "");
    return path;
  }

  // A folder to put first on PATH, where `name` is a command that prints `text`.
  static std::string FakeCommand(const std::string& name, const std::string& text) {
    const std::string path = TestFolder("bin_" + name);
    MakeFile(path + "/" + name, "#!/bin/sh\necho '" + text + "'\n");
    chmod((path + "/" + name).c_str(), 0755);
    return path + ":/usr/bin:/bin";
  }

  static ProgramResult Start(std::vector<std::string> arguments, const Variables& variables = {}) {
    arguments[0] = folder() + "/qwt/" + arguments[0];
    return RunProgram(arguments, variables);
  }
  // Started by a user who stands in `where`.
  static ProgramResult StartIn(const std::string& where, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"/usr/bin/env", "-C", where});
    return RunProgram(arguments, {{"LIBTORCH", LibTorch()}});
  }
  static void ExpectRefusal(const Variables& variables, const std::string& message) {
    const ProgramResult run = Start({"qwt-run", "configs/quickstart.yaml"}, variables);
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(run.err, message);
  }

 private:
  static std::string folder_;
};

std::string BundleTest::folder_;

constexpr char kAdvice[] =
    "Install one (pip install 'torch==2.11.*') or set LIBTORCH to the folder of a LibTorch 2.11.\n";

TEST_F(BundleTest, RunsFromAnyFolderAndWritesWhereTheUserStands) {
  const std::string here = TestFolder("here");
  std::vector<std::string> arguments = ShortQuickstart(here, {"--out=out"});
  arguments[0] = folder() + "/qwt/qwt-run";
  const ProgramResult run = StartIn(here, arguments);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  const nlohmann::json result = ResultIn(here + "/out");
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result["status"], "ok");
  EXPECT_EQ(result["evaluation"]["compensated"]["images"], 100);
  EXPECT_GT(result["evaluation"]["compensated"]["top1"], 70);
}

TEST_F(BundleTest, TwoRanksGiveTheResultOfOne) {
  const std::string here = TestFolder("ranks");
  nlohmann::json evaluation[2];
  for (int ranks : {1, 2}) {
    const std::string out = here + "/" + std::to_string(ranks);
    std::vector<std::string> arguments =
        ShortQuickstart(here, {"--nproc=" + std::to_string(ranks), "--out=" + out, "runtime.store=" + out + "_store"});
    arguments[0] = folder() + "/qwt/qwt-run";
    const ProgramResult run = StartIn(here, arguments);
    ASSERT_EQ(run.exit_code, 0) << run.err;
    evaluation[ranks - 1] = ResultIn(out)["evaluation"];
  }
  EXPECT_EQ(evaluation[0], evaluation[1]);
}

TEST_F(BundleTest, OtherProgramsAreBesideIt) {
  const Variables variables = {{"LIBTORCH", LibTorch()}};
  const ProgramResult inspect = Start({"qwt-inspect", "configs/quickstart.yaml"}, variables);
  ASSERT_EQ(inspect.exit_code, 0) << inspect.err;
  EXPECT_THAT(inspect.out, StartsWith("vit: an image [3, 28, 28]\n"));
  const ProgramResult list = Start({"qwt-list"}, variables);
  ASSERT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr("repq_vit"));
}

// Every library that is loaded is the bundle's, LibTorch's or one that each system with this glibc has.
TEST_F(BundleTest, BringsAllLibrariesButLibTorchAndTheSystems) {
  const std::string own = folder() + "/qwt/lib/";
  const std::string torch = std::filesystem::path(LibTorch()).parent_path().string() + "/";
  const std::set<std::string> of_system = {"libc.so.6",
                                           "libm.so.6",
                                           "libdl.so.2",
                                           "librt.so.1",
                                           "libpthread.so.0",
                                           "libutil.so.1",
                                           "libstdc++.so.6",
                                           "libgcc_s.so.1",
                                           "libresolv.so.2",
                                           "linux-vdso.so.1",
                                           "/lib64/ld-linux-x86-64.so.2"};
  const ProgramResult loaded =
      RunProgram({folder() + "/qwt/bin/run"},
                 {{"LD_TRACE_LOADED_OBJECTS", "1"}, {"LD_LIBRARY_PATH", own + ":" + LibTorch() + "/lib"}});
  int count = 0;
  std::istringstream words(loaded.out);
  for (std::string line; std::getline(words, line); ++count) {
    std::istringstream parts(line);
    std::string name, arrow, path;
    parts >> name >> arrow >> path;
    EXPECT_TRUE(of_system.count(name) == 1 || path.rfind(own, 0) == 0 || path.rfind(torch, 0) == 0) << line;
  }
  EXPECT_GT(count, 10);
  for (const auto& entry : std::filesystem::directory_iterator(own)) {
    EXPECT_EQ(of_system.count(entry.path().filename()), 0u) << entry.path();
    EXPECT_THAT(entry.path().filename().string(), Not(AnyOf(StartsWith("libtorch"), StartsWith("libc10"))));
  }
  EXPECT_LT(std::filesystem::file_size("pipelines/bundle.tar.gz"), 60'000'000u);
}

TEST_F(BundleTest, SaysWhereLibTorchIsMissing) {
  ExpectRefusal(
      {{"PATH", FakeCommand("python3", "")}},
      std::string("qwt-run: no LibTorch was found: LIBTORCH is not set and python3 has no torch.\n") + kAdvice);
  ExpectRefusal({{"LIBTORCH", "/nowhere"}}, std::string("qwt-run: LIBTORCH=/nowhere does not exist.\n") + kAdvice);
}

TEST_F(BundleTest, SaysWhereLibTorchIsOfAnotherVersion) {
  const std::string old = FakeLibTorch("old", "4");
  ExpectRefusal({{"LIBTORCH", old}},
                "qwt-run: LIBTORCH=" + old + " holds LibTorch 2.4, and 2.11 is needed.\n" + kAdvice);
  ExpectRefusal({{"PATH", FakeCommand("python3", old)}},
                "qwt-run: python3's torch in " + old + " holds LibTorch 2.4, and 2.11 is needed.\n" + kAdvice);
}

TEST_F(BundleTest, UsesThePythonTorchWhereNoneIsNamed) {
  const ProgramResult list = Start({"qwt-list"}, {{"PATH", FakeCommand("python3", LibTorch())}});
  EXPECT_EQ(list.exit_code, 0) << list.err;
}

TEST_F(BundleTest, SaysWhichLibrariesAreMissing) {
  const std::string half = FakeLibTorch("half", "11");
  for (const char* name : {"/lib/libtorch_cpu.so", "/lib/libtorch_cuda.so"}) {
    std::filesystem::remove(half + name);
    std::filesystem::create_symlink(LibTorch() + name, half + name);
  }
  const ProgramResult run = Start({"qwt-run", "configs/quickstart.yaml"}, {{"LIBTORCH", half}});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, StartsWith("qwt-run: bin/run with LIBTORCH=" + half + " lacks these libraries:\n"));
  EXPECT_THAT(run.err, HasSubstr("\n  libc10.so => not found\n"));
  EXPECT_THAT(run.err,
              EndsWith("\nA torch wheel and what pip installs with it have all of them (pip install 'torch==2.11.*'); "
                       "LD_LIBRARY_PATH names more folders to look in.\n"));
}

TEST_F(BundleTest, SaysWhereABundleForGpusMeetsALibTorchForCpus) {
  // Another switch in the same launcher: what this build is for does not matter here.
  const std::string path = folder() + "/qwt/qwt-list_gpu";
  std::string launcher = Contents(folder() + "/qwt/qwt-list");
  const size_t at = launcher.find("\ncuda='");
  ASSERT_NE(at, std::string::npos);
  launcher.replace(at, 9, "\ncuda='1'");
  MakeFile(path, launcher);
  chmod(path.c_str(), 0755);
  const std::string cpu = FakeLibTorch("cpu", "11");
  const ProgramResult run = Start({"qwt-list_gpu"}, {{"LIBTORCH", cpu}});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.err,
            "qwt-list_gpu: LIBTORCH=" + cpu +
                " is for CPUs only, and this bundle was built for GPUs.\n"
                "Install a LibTorch 2.11 for CUDA (pip install 'torch==2.11.*'), or take a bundle that was built "
                "without --config=cuda.\n");
}

TEST_F(BundleTest, SaysWhereGlibcIsOlder) {
  const std::string launcher = Contents(folder() + "/qwt/qwt-run");
  const size_t at = launcher.find("glibc='") + 7;
  const std::string needed = launcher.substr(at, launcher.find('\'', at) - at);
  EXPECT_THAT(needed, StartsWith("2."));
  const std::string rest =
      "Build the bundle on a system that is as old as this one, or run it in a container of a newer one.\n";
  ExpectRefusal({{"PATH", FakeCommand("getconf", "glibc 2.9")}},
                "qwt-run: glibc " + needed + " or newer is needed, and this machine has 2.9.\n" + rest);
  ExpectRefusal({{"PATH", FakeCommand("getconf", "")}},
                "qwt-run: glibc " + needed + " or newer is needed, and this machine has another C library.\n" + rest);
}

}  // namespace
}  // namespace qwt
