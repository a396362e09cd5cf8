// That keys tell the truth of results, by runs: what a key leaves out changes no byte of what is stored under it, and a
// run on a store full of other settings' entries has the result of a run on an empty one.
#include <filesystem>

#include "core/tensor/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/planned_keys.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Tiny(const std::string& folder, const std::vector<std::string>& more) {
  std::vector<std::string> command = ShortQuickstart(
      folder, {"calibrate.images=4", "fit.images=8", "fit.order=random", "evaluate.images=20", "diagnose.images=4"});
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

void ExpectRuns(const std::vector<std::string>& command) {
  const ProgramResult run = RunProgram(command);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err, "");
}

std::string TextOf(const std::string& path) {
  auto file = ReadSafetensors(path);
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return "";
  std::string text;
  file->metadata.erase("images_per_second");
  for (const auto& [name, value] : file->metadata) text += name + ": " + value + "\n";
  for (const auto& [name, tensor] : file->tensors) {
    const at::Tensor values = tensor.contiguous();
    text += name + " " + c10::toString(values.scalar_type()) + " " + c10::str(values.sizes()) + ": ";
    text.append(static_cast<const char*>(values.const_data_ptr()), values.nbytes());
  }
  return text;
}

// Every byte of a store's entries but of speeds, by key.
std::map<std::string, std::string> Entries(const std::string& store) {
  std::map<std::string, std::string> entries;
  for (const auto& file : fs::recursive_directory_iterator(store)) {
    if (file.path().filename() != "payload") continue;
    entries[Contents(file.path().parent_path() / "key.txt")] = TextOf(file.path());
  }
  return entries;
}

// What a run found, but for times and for what the machine was.
std::string ResultOf(const std::string& folder) {
  const nlohmann::json result = ResultIn(folder + "/out");
  std::string text;
  for (const char* part : {"evaluation", "blocks", "diagnosis", "size_mb", "mcnemar"}) text += result[part].dump(1);
  auto predictions = ReadSafetensors(folder + "/out/predictions.safetensors");
  EXPECT_TRUE(predictions.ok()) << predictions.status();
  if (!predictions.ok()) return text;
  for (const auto& [name, tensor] : predictions->tensors) {
    text.append(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  }
  return text;
}

// The images' files elsewhere.
std::string ExampleCopy() {
  const std::string copy = TestFolder("example") + "/images";
  fs::copy("data/examples/fashion_mnist", copy);
  return copy;
}

TEST(StoreResultsTest, WhatKeysLeaveOutChangesNoByte) {
  const std::string base = TestFolder("base");
  ExpectRuns(Tiny(base, {}));
  const auto expected = Entries(base + "/store");
  ASSERT_EQ(expected.size(), 13);  // scales, weights, six blocks, three evaluations, two of the diagnosis
  std::map<std::string, std::string> options = OptionsWithoutEffect();
  const std::string elsewhere = TestFolder("elsewhere");
  options["runtime.store"] = elsewhere;
  options["dataset.root"] = ExampleCopy();
  options["runtime.batch_size"] = "16";  // which is the default
  for (const auto& [option, value] : options) {
    SCOPED_TRACE(option);
    const std::string folder = TestFolder("without_effect");
    ExpectRuns(Tiny(folder, {option + "=" + value}));
    const auto found = Entries(option == "runtime.store" ? elsewhere : folder + "/store");
    for (const auto& [key, entry] : expected) {
      ASSERT_TRUE(found.count(key)) << key;
      EXPECT_TRUE(found.at(key) == entry) << "another value under the key\n" << key;
    }
    EXPECT_EQ(ResultOf(folder), ResultOf(base));
    const bool stores_more =
        option == "evaluate.crop_cache" || option == "fit.store_sums" || option == "runtime.stored_cache_bytes";
    EXPECT_EQ(found.size() > expected.size(), stores_more);
  }
}

// The demo's weights with the lowest bit of one of them flipped that is in no scale.
std::string OtherWeights() {
  auto file = ReadSafetensors("models/demo/demo_vit.safetensors");
  EXPECT_TRUE(file.ok()) << file.status();
  at::Tensor& bias = file->tensors.at("head.bias");
  bias = bias.clone();
  static_cast<char*>(bias.mutable_data_ptr())[0] ^= 1;
  const std::string path = TestFolder("other_weights") + "/weights.safetensors";
  EXPECT_TRUE(WriteSafetensors(path, *file).ok());
  return path;
}

TEST(StoreResultsTest, AStoreOfOtherSettingsGivesTheResultOfAnEmptyOne) {
  const std::string shared = TestFolder("shared");
  ExpectRuns(Tiny(shared, {"fit.store_sums=true", "runtime.stored_cache_bytes=100MB"}));
  const std::string before = ResultOf(shared);
  MakeFile(shared + "/classes", "1\n0\n2\n3\n4\n5\n6\n7\n8\n9\n");
  for (const std::string& change :
       {std::string("seed=1"), "model.weights=" + OtherWeights(), "model.class_map=" + shared + "/classes",
        std::string("quantize.weight_bits=4"), std::string("fit.images=9"), std::string("fit.ridge=10"),
        std::string("fit.prefix=quantized"), std::string("evaluate.images=21")}) {
    SCOPED_TRACE(change);
    const std::string fresh = TestFolder("fresh");
    ExpectRuns(Tiny(shared, {"fit.store_sums=true", "runtime.stored_cache_bytes=100MB", change}));
    ExpectRuns(Tiny(fresh, {change}));
    EXPECT_TRUE(ResultOf(shared) == ResultOf(fresh)) << "stale";
    EXPECT_FALSE(ResultOf(shared) == before) << "changes nothing: no proof";
  }
  ExpectRuns(Tiny(shared, {}));
  EXPECT_TRUE(ResultOf(shared) == before) << "and back";
}

}  // namespace
}  // namespace qwt
