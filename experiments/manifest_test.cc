#include "experiments/manifest.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/helpers/program.h"

namespace qwt {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class ManifestTest : public testing::Test {
 protected:
  ManifestTest() {
    MakeFile(folder_ + "/a.yaml", "name: a\nseed: 3\nmodel: {name: vit, depth: 6}\nquantize: {weight_bits: 4}\n");
    MakeFile(folder_ + "/b.yaml", "name: b\nmodel: {name: swin}\n");
  }

  Manifest Read(const std::string& text, const std::vector<std::string>& overrides = {}) {
    MakeFile(path_, text);
    auto manifest = ReadManifest(path_, overrides, &problems_);
    EXPECT_TRUE(manifest.ok()) << manifest.status();
    return manifest.ok() ? *std::move(manifest) : Manifest();
  }

  static std::vector<std::string> Names(const Manifest& manifest) {
    std::vector<std::string> names;
    for (const ManifestRun& run : manifest.runs) names.push_back(run.name);
    return names;
  }

  static std::string Value(const ManifestRun& run, const std::string& section, const std::string& option) {
    return run.config.Find(section)->Find(option)->scalar();
  }

  // What is wrong with a manifest, without the path of its folder.
  std::vector<std::string> Wrong(const std::string& text) {
    Read(text);
    std::vector<std::string> lines = problems_.lines();
    for (std::string& line : lines) {
      for (size_t at = line.find(folder_ + "/"); at != std::string::npos; at = line.find(folder_ + "/")) {
        line.erase(at, folder_.size() + 1);
      }
    }
    problems_ = Problems();
    return lines;
  }

  Problems problems_;
  const std::string folder_ = TestFolder("manifest");
  const std::string path_ = folder_ + "/m.yaml";
};

TEST_F(ManifestTest, AGridIsEveryCombinationTheLastVaryingFastest) {
  const Manifest manifest = Read(
      "name: bits\nbase: a.yaml\ngrid: {quantize.weight_bits: [8, 3], fit.ridge: [0, 1]}\n"
      "run_name: \"{model.name}_w{quantize.weight_bits}_r{fit.ridge}\"\n");
  EXPECT_EQ(manifest.name, "bits");
  EXPECT_THAT(manifest.axes, ElementsAre("quantize.weight_bits", "fit.ridge"));
  EXPECT_THAT(Names(manifest), ElementsAre("vit_w8_r0", "vit_w8_r1", "vit_w3_r0", "vit_w3_r1"));
  EXPECT_EQ(Value(manifest.runs[2], "quantize", "weight_bits"), "3");
  EXPECT_EQ(Value(manifest.runs[2], "fit", "ridge"), "0");
  EXPECT_EQ(manifest.runs[2].config.Find("name")->scalar(), "vit_w3_r0");
  EXPECT_THAT(manifest.runs[2].axes, ElementsAre(Pair("quantize.weight_bits", "3"), Pair("fit.ridge", "0")));
  EXPECT_TRUE(problems_.empty());
}

TEST_F(ManifestTest, TheClusterSectionIsCheckedAndOverriddenByItself) {
  const std::string text = "base: a.yaml\nslurm: {partition: cpu, time: 1:00:00}\ngrid: {fit.ridge: [0, 1]}\n";
  const Manifest manifest = Read(text, {"slurm.partition=gpu", "fit.images=16", "slurm.gpus=2"});
  EXPECT_TRUE(problems_.empty()) << problems_.ToStatus();
  EXPECT_EQ(manifest.slurm.String("partition"), "gpu");
  EXPECT_EQ(manifest.slurm.String("time"), "1:00:00");
  EXPECT_EQ(manifest.slurm.String("gpus"), "2");
  EXPECT_EQ(manifest.runs[0].config.Find("slurm"), nullptr);
  EXPECT_EQ(Value(manifest.runs[0], "fit", "images"), "16");
  Read("base: a.yaml\ngrid: {fit.ridge: [0, 1]}\n", {"slurm.patition=gpu"});
  EXPECT_THAT(problems_.lines(),
              ElementsAre(testing::HasSubstr("command line: slurm.patition: unknown key (did you mean 'partition'?)")));
}

TEST_F(ManifestTest, ListZipSeedsAndExcludeCombine) {
  const Manifest manifest = Read(
      "base: a.yaml\nzip: {x.a: [1, 2], x.b: [10, 20]}\nlist: [{y: 5}, {z: 6}]\nseeds: [0, 1]\n"
      "exclude: [{x.a: 2, y: 5}, {z: 6, seed: 1}]\nrun_name: \"{x.a}-{x.b}-{seed}-{y}\"\nset: {y: 4, w: 7}\n");
  EXPECT_EQ(manifest.name, "m");
  EXPECT_THAT(Names(manifest), ElementsAre("1-10-0-5", "1-10-1-5", "1-10-0-4", "2-20-0-4"));
  EXPECT_EQ(manifest.runs[3].config.Find("z")->scalar(), "6");
  EXPECT_EQ(manifest.runs[3].config.Find("w")->scalar(), "7");
  EXPECT_TRUE(problems_.empty()) << problems_.ToStatus();
}

TEST_F(ManifestTest, TheBaseMayBeAnAxisAndAValueAMap) {
  const Manifest manifest = Read("grid: {base: [a.yaml, b.yaml], model: [{depth: 2}, {name: deit, depth: 3}]}\n");
  EXPECT_THAT(Names(manifest), ElementsAre("a_model-depth--2-", "a_modeldeit", "b_model-depth--2-", "b_modeldeit"));
  EXPECT_EQ(Value(manifest.runs[0], "model", "name"), "vit");
  EXPECT_EQ(Value(manifest.runs[2], "model", "name"), "swin");
  EXPECT_EQ(Value(manifest.runs[3], "model", "depth"), "3");
  EXPECT_THAT(manifest.runs[3].axes, ElementsAre(Pair("base", "b"), Pair("model", "deit")));
}

TEST_F(ManifestTest, OverridesGoOverAllAndWhatIsTheSameInAllRunsIsNoAxis) {
  const Manifest manifest = Read("base: a.yaml\ngrid: {x: [1, 2], y: [3]}\n", {"x=9"});
  EXPECT_EQ(manifest.runs[1].config.Find("x")->scalar(), "9");
  EXPECT_THAT(manifest.axes, ElementsAre("x"));
  EXPECT_THAT(manifest.runs[1].axes, ElementsAre(Pair("x", "2")));
  EXPECT_THAT(Names(manifest), ElementsAre("x1", "x2"));
}

TEST_F(ManifestTest, AnAxisThatOneRunAloneSetsIsKeptWhereItAloneTellsItApart) {
  EXPECT_THAT(Read("base: a.yaml\nlist: [{x: 1}, {y: 2}]\nrun_name: \"{x}{y}{seed}\"\nset: {x: 0, y: 0}\n").axes,
              ElementsAre("x", "y"));
}

TEST_F(ManifestTest, EntriesOfAListAreNamedByAllThatTheySet) {
  EXPECT_THAT(Names(Read("base: a.yaml\nlist: [{x: 1}, {x: 1, fit.y: 2}, {x: 1, fit.y: 3}]\n")),
              ElementsAre("x1", "x1_y2", "x1_y3"));
}

TEST_F(ManifestTest, AllThatIsWrongIsSaidAtOnceWithItsPlace) {
  EXPECT_THAT(Wrong("base: a.yaml\n"
                    "grids: {x: [1]}\n"
                    "grid: {x: [], y: 1}\n"
                    "list: {x: 1}\n"
                    "zip: {p: [1, 2], q: [1]}\n"
                    "seeds: 3\n"),
              ElementsAre("m.yaml:2: grids: unknown key (did you mean 'grid'?); there are: name, base, run_name, set, "
                          "exclude, slurm, grid, list, seeds, zip",
                          "m.yaml:3: grid.x: must be a list of values", "m.yaml:3: grid.y: must be a list of values",
                          "m.yaml:4: list: must be a list of maps of key paths to values",
                          "m.yaml:5: zip.q: has 1 values where 'p' has 2; lists of zip must be as long as each other",
                          "m.yaml:6: seeds: must be a list of values"));
}

TEST_F(ManifestTest, AnAxisHasOnePlace) {
  EXPECT_THAT(Wrong("base: a.yaml\ngrid: {seed: [1]}\nseeds: [0]\nlist:\n- {name: x, base: [a], p..q: 1}\n"),
              ElementsAre("m.yaml:5: list[0].name: runs are named by run_name, not by an axis",
                          "m.yaml:5: list[0].base: must be the path of a config",
                          "m.yaml:5: list[0].p..q: 'p..q' must be a key path, as quantize.weight_bits",
                          "m.yaml:3: seeds[0]: 'seed' is set by another axis already"));
}

TEST_F(ManifestTest, ExcludeMustMatchSomething) {
  EXPECT_THAT(Wrong("base: a.yaml\ngrid: {fit.ridge: [0, 1]}\nexclude:\n- {fit.rigde: 0}\n- {fit.ridge: 2}\n"),
              ElementsAre("m.yaml:4: exclude[0].fit.rigde: 'fit.rigde' is no axis (did you mean 'fit.ridge'?); there "
                          "are: fit.ridge",
                          "m.yaml:5: exclude[1]: excludes nothing: no run has these values"));
  EXPECT_THAT(Wrong("base: a.yaml\nseeds: [0]\nexclude: [{seed: 0}]\n"), ElementsAre("m.yaml:1: has no run"));
}

TEST_F(ManifestTest, NamesMustDifferAndTemplatesNameWhatIsThere) {
  EXPECT_THAT(Wrong("base: a.yaml\ngrid: {x: [1, 2], y: [0, 1]}\nrun_name: \"r{x}\"\n"),
              ElementsAre("m.yaml:3: run_name: two runs are named 'r1'; name all that differs, as {x} {y}",
                          "m.yaml:3: run_name: two runs are named 'r2'; name all that differs, as {x} {y}"));
  EXPECT_THAT(Wrong("base: a.yaml\nrun_name: \"r{model.nam}\"\n"),
              ElementsAre("m.yaml:2: run_name: '{model.nam}': a run's config has no 'model.nam'"));
  EXPECT_THAT(Wrong("base: a.yaml\nrun_name: \"r{model\"\n"),
              ElementsAre("m.yaml:2: run_name: has a brace without its other one"));
}

TEST_F(ManifestTest, WhatManyRunsShareIsSaidOnce) {
  EXPECT_THAT(Wrong("base: c.yaml\nseeds: [0, 1]\n"),
              ElementsAre("m.yaml:1: base: cannot read 'c.yaml': No such file or directory"));
  EXPECT_THAT(Wrong("seeds: [0, 1]\n"), ElementsAre("m.yaml:1: a run has no config to start from; give base"));
  EXPECT_THAT(Wrong("base: a.yaml\ngrid: {model.name.x: [1, 2]}\n"),
              ElementsAre("m.yaml:2: model.name.x: 'model.name' (a.yaml:3) is a single value, give it whole: "
                          "model.name=..."));
}

TEST_F(ManifestTest, AFileThatIsNotThereIsNotFound) {
  EXPECT_EQ(ReadManifest(folder_ + "/none.yaml", {}, &problems_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace qwt
