// //models:inspect as a user runs it.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

ProgramResult Inspect(std::vector<std::string> arguments, const std::map<std::string, std::string>& environment = {}) {
  arguments.insert(arguments.begin(), "pipelines/inspect");
  return RunProgram(arguments, environment);
}

TEST(InspectTest, WithoutArgumentsItSaysWhatThereIs) {
  const ProgramResult run = Inspect({});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("Usage: "), HasSubstr("--json"),
                             HasSubstr("\n  deit_small            DeiT-S (arXiv 2012.12877).\n")));
  EXPECT_EQ(run.err, "");
}

TEST(InspectTest, ANetworkAsATable) {
  const ProgramResult run = Inspect({"deit_small"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("deit_small: an image [3, 224, 224]\n\n  segment "));
  EXPECT_THAT(run.out,
              HasSubstr("  total      [1000]      22,050,664  4.599 G       50      98  11.848  22.465  88.203 "
                        "   3.026\n"));
  EXPECT_EQ(run.err, "");
}

TEST(InspectTest, AConfigFromWhereTheUserStandsAsJsonAndNothingWritten) {
  const std::string folder = TestFolder("stands");
  MakeFile(folder + "/mine.yaml", "model: {name: vit, image: 32, patch: 8, width: 48, depth: 2, heads: 3}\n");
  const ProgramResult run =
      Inspect({"mine.yaml", "model.classes=10", "--json", "--batch=2"}, {{"BUILD_WORKING_DIRECTORY", folder}});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const auto json = nlohmann::json::parse(run.out, nullptr, false);
  EXPECT_EQ(json["model"], "vit");
  EXPECT_EQ(json["batch"], 2);
  EXPECT_EQ(json["segments"].size(), 4u);
  EXPECT_EQ(json["totals"]["output"], nlohmann::json({10}));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST(InspectTest, WeightsFromTheCommandLine) {
  const std::vector<std::string> network = {"vit",           "model.image=28", "model.patch=4",   "model.width=96",
                                            "model.depth=6", "model.heads=3",  "model.classes=10"};
  std::vector<std::string> arguments = network;
  arguments.push_back("--weights=models/demo/demo_vit.safetensors");
  const ProgramResult run = Inspect(arguments), config = Inspect({"configs/quickstart.yaml"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, config.out);
  EXPECT_EQ(run.err, "");
}

TEST(InspectTest, WeightsThatAreNoneOrOfAnotherNetwork) {
  const std::string path = TestFolder("no_weights") + "/text.safetensors";
  MakeFile(path, "these are no weights at all");
  ProgramResult run = Inspect({"deit_tiny", "--weights", path});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, StartsWith("error: " + path));
  EXPECT_EQ(run.out, "");
  run = Inspect({"configs/quickstart.yaml", "model.depth=5"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, AllOf(HasSubstr("demo_vit.safetensors: "), HasSubstr("blocks.5.norm1.weight")));
}

// A run's saved model: evaluated nowhere, so that it takes a second.
TEST(InspectTest, ASavedModel) {
  const std::string folder = TestFolder("saved");
  const ProgramResult made = RunProgram({"pipelines/run", "configs/quickstart.yaml", "fit.images=16",
                                         "calibrate.images=8", "stages=[load, calibrate, quantize, fit]",
                                         "runtime.store=" + folder + "/store", "--out=" + folder + "/out"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::string path = folder + "/out/model.safetensors";
  const ProgramResult run = Inspect({path});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("vit, quantised: an image [3, 28, 28], 10 classes, compensation: linear\n\n"));
  EXPECT_THAT(run.out,
              AllOf(HasSubstr("\n  run            quickstart\n"), HasSubstr("\n  compensated         0.418\n"),
                    HasSubstr("\n  blocks.5 "), HasSubstr("\n  blocks.0.attn.matmul2.left   log_sqrt2     3 ")));
  const auto json = nlohmann::json::parse(Inspect({path, "--json"}).out, nullptr, false);
  EXPECT_EQ(json["file_bytes"], fs::file_size(path));
  EXPECT_EQ(json["size_mb"]["quantized"], 0.305128);
  EXPECT_EQ(json["blocks"].size(), 6u);
  EXPECT_EQ(json["sites"].size(), 76u);
  EXPECT_EQ(json["sites"][1]["name"], "patch_embed.proj.weight");
  EXPECT_EQ(json["sites"][1]["bits"], 8);
  EXPECT_EQ(json["sites"][1]["scales"], 96);
  EXPECT_EQ(json["provenance"]["run"], "quickstart");

  ProgramResult refused = Inspect({path, "--batch=2"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(refused.err, "error: a saved model is printed as it is; the only option is --json\n");
  refused = Inspect({"models/demo/demo_vit.safetensors"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err,
              HasSubstr("demo_vit.safetensors: is no quantised model, which a run writes as model.safetensors"));
  std::string content = Contents(path);
  content.back() ^= 1;
  MakeFile(folder + "/damaged.safetensors", content);
  refused = Inspect({folder + "/damaged.safetensors"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("damaged.safetensors: the checksum differs: the file is damaged"));
}

TEST(InspectTest, WrongRequests) {
  const auto expect_refused = [](const std::vector<std::string>& arguments, const std::string& message) {
    const ProgramResult run = Inspect(arguments);
    EXPECT_EQ(run.exit_code, 2) << run.out << run.err;
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_EQ(run.out, "");
  };
  expect_refused({"deit_smal"},
                 "error: command line: model.name: unknown model 'deit_smal' (did you mean 'deit_small'?)");
  expect_refused({"quickstart.yaml"}, "error: cannot read 'quickstart.yaml': No such file or directory");
  expect_refused({"deit_small", "model.depth=0"},
                 "error: command line: model.depth: must be an integer from 1 to 1024");
  expect_refused({"deit_small", "--batch=0"}, "--batch: Value 0 not in range");
  expect_refused({"deit_small", "--jsn"}, "The following argument was not expected: --jsn");
}

// Commands of a page, which stand behind four blanks as what they print does, and that: up to the next command or
// heading.
struct Example {
  std::vector<std::string> arguments, lines;
};
std::vector<Example> ExamplesOf(const std::string& page) {
  std::vector<Example> examples;
  bool in_example = false;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(Contents(page), '\n'))) {
    if (absl::string_view command = line; absl::ConsumePrefix(&command, "    ./bazelw run //models:inspect -- ")) {
      in_example = !absl::StartsWith(command, "NETWORK");
      if (in_example) examples.push_back({absl::StrSplit(command, ' '), {}});
    } else if (absl::StartsWith(line, "#")) {
      in_example = false;
    } else if (in_example && absl::StartsWith(line, "    ") && !absl::StrContains(line, "…")) {
      examples.back().lines.push_back(line.substr(4));
    }
  }
  return examples;
}

TEST(PagesTest, ExamplesAreWhatIsPrinted) {
  int examples = 0;
  for (const char* page : {"README.md", "docs/inspect.md"}) {
    for (const Example& example : ExamplesOf(page)) {
      const ProgramResult run = Inspect(example.arguments);
      EXPECT_EQ(run.exit_code, 0) << run.err;
      EXPECT_GT(example.lines.size(), 5u) << page;
      size_t position = 0;
      for (const std::string& line : example.lines) {
        const size_t found = run.out.find(line, position);
        EXPECT_NE(found, std::string::npos) << page << ": " << line;
        if (found != std::string::npos) position = found + line.size();
      }
      ++examples;
    }
  }
  EXPECT_EQ(examples, 4);
}

}  // namespace
}  // namespace qwt
