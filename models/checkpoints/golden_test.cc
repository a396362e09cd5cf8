// Files that must load and files that must be refused: tests/golden/checkpoints, as its manifest says.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "ATen/Parallel.h"
#include "ATen/ops/cat.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/files.h"
#include "core/base/status.h"
#include "core/tensor/copy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "models/checkpoints/checkpoint.h"
#include "models/checkpoints/layout.h"
#include "nlohmann/json.hpp"
#include "tests/helpers/contained.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr uint64_t kMemoryBytes = 100'000'000;
constexpr uint64_t kProcessorSeconds = 2;
constexpr char kMarker[] = "qwt_hostile_marker";  // what a payload that ran leaves behind

Json ReadJson(const fs::path& path) { return Json::parse(std::ifstream(path)); }

// Absolute: the tests change the working directory.
const fs::path& Folder() {
  static const fs::path folder = fs::absolute("tests/golden/checkpoints");
  return folder;
}
const Json& Manifest() {
  static const Json manifest = ReadJson(Folder() / "manifest.json");
  return manifest;
}
// Hostile file -> what its refusal must say. Those that are not in it must load.
const Json& Reasons() {
  static const Json reasons = ReadJson(Folder().parent_path() / "checkpoints_reasons.json");
  return reasons;
}

TensorMap ReadState(const std::string& file) {
  absl::StatusOr<TensorFile> state = ReadSafetensors((Folder() / file).string());
  EXPECT_TRUE(state.ok()) << state.status();
  return state.ok() ? std::move(state->tensors) : TensorMap();
}

// What layouts are told by: the names that the network has.
Graph NamesOf(const std::string& model) {
  Graph graph;
  for (const auto& [name, tensor] : ReadState(Manifest()["models"][model]["state"])) {
    graph.parameters.push_back({name, tensor.sizes().vec()});
  }
  return graph;
}

// The names and layout of the model, as parameters are loaded; this takes the prefix "strip" off, too.
// One above the other; aligned, as LibTorch needs it for cat.
at::Tensor Whole(const Parts& parts) {
  std::vector<at::Tensor> copies;
  for (const at::Tensor& part : parts) copies.push_back(AlignedCopy(part));
  return copies.size() == 1 ? copies[0] : at::cat(copies);
}

absl::StatusOr<TensorMap> Load(const Json& item) {
  QWT_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint((Folder() / item["file"]).string()));
  if (!item.contains("model")) return checkpoint.tensors;
  TensorMap adapted;
  for (const auto& [name, parts] : AdaptLayout(checkpoint.tensors, NamesOf(item["model"])))
    adapted[name] = Whole(parts);
  return adapted;
}

std::string Bytes(const at::Tensor& tensor) {
  const at::Tensor rows = AlignedCopy(tensor);
  return std::string(static_cast<const char*>(rows.const_data_ptr()), rows.nbytes());
}

// "" where both hold the same names, shapes and bits; other floating dtypes only if all values are the same.
std::string Difference(const TensorMap& actual, const TensorMap& expected) {
  for (const auto& [name, tensor] : actual) {
    if (expected.count(name) == 0) return absl::StrCat("has ", name, " besides");
  }
  for (const auto& [name, tensor] : expected) {
    const auto found = actual.find(name);
    if (found == actual.end()) return absl::StrCat("lacks ", name);
    at::Tensor other = AlignedCopy(found->second);
    if (other.sizes() != tensor.sizes()) return absl::StrCat("another shape of ", name);
    if (other.scalar_type() != tensor.scalar_type()) {
      const at::Tensor same = other.to(tensor.scalar_type());
      if (!other.is_floating_point() || Bytes(same.to(other.scalar_type())) != Bytes(other)) {
        return absl::StrCat("another dtype of ", name);
      }
      other = same;
    }
    if (Bytes(other) != Bytes(tensor)) return absl::StrCat("other values of ", name);
  }
  return "";
}

// What loading a file of the manifest gives: "" where it equals what it must, or how it differs or the error.
std::string Outcome(const Json& item) {
  absl::StatusOr<TensorMap> tensors = Load(item);
  if (!tensors.ok()) return tensors.status().ToString();
  if (!item.contains("equals")) return "loads";
  tensors->erase("../../qwt_hostile_marker");  // an array of npz_traversal.npz: a name as any other
  return Difference(*tensors, ReadState(item["equals"]));
}

// A test in a folder of its own, two levels below another: what a payload writes is found in either.
class CheckpointGoldenTest : public testing::Test {
 protected:
  CheckpointGoldenTest() : before_(fs::current_path()), top_(fs::path(testing::TempDir()) / "golden_test") {
    Folder();
    at::set_num_threads(1);  // threads do not survive a fork
    fs::remove_all(top_);
    fs::create_directories(top_ / "a/b");
    // A name that hostile files give in place of a storage: 48 bytes of other values.
    std::ofstream(top_ / "qwt_secret") << std::string(48, 's');
    fs::current_path(top_ / "a/b");
  }
  ~CheckpointGoldenTest() override { fs::current_path(before_); }

  // The files that should not be there.
  std::vector<std::string> Strays() const {
    std::vector<std::string> strays;
    for (const auto& entry : fs::recursive_directory_iterator(top_)) {
      if (!entry.is_directory() && entry.path().filename() != "qwt_secret") strays.push_back(entry.path().string());
    }
    for (const fs::path& folder : {before_, before_ / "../..", fs::path(testing::TempDir())}) {
      if (fs::exists(folder / kMarker)) strays.push_back((folder / kMarker).string());
    }
    return strays;
  }

 private:
  const fs::path before_, top_;
};

TEST_F(CheckpointGoldenTest, EveryFileEqualsItsState) {
  ASSERT_EQ(Manifest()["files"].size(), 43);
  for (const Json& item : Manifest()["files"]) EXPECT_EQ(Outcome(item), "") << item["file"] << ": " << item["note"];
}

TEST_F(CheckpointGoldenTest, EveryHostileFileIsRefusedForItsReason) {
  ASSERT_EQ(Manifest()["hostile"].size(), 189);
  for (const Json& item : Manifest()["hostile"]) {
    const std::string file = item["file"];
    SCOPED_TRACE(absl::StrCat(file, ": ", item["why"].get<std::string>()));
    const ContainedResult result = RunContained([&] { return Outcome(item); }, kMemoryBytes, kProcessorSeconds);
    EXPECT_EQ(result.ended, "");
    EXPECT_THAT(Strays(), testing::IsEmpty());
    const std::string name = file.substr(sizeof("hostile/") - 1);
    if (Reasons().contains(name)) {
      absl::string_view reason = result.said;
      EXPECT_TRUE(absl::ConsumePrefix(&reason, absl::StrCat("DATA_LOSS: ", (Folder() / file).string(), ": ")))
          << reason;
      EXPECT_THAT(std::string(reason), testing::HasSubstr(Reasons()[name].get<std::string>()));
    } else {
      EXPECT_EQ(item["expect"], "load_or_refuse");
      EXPECT_EQ(result.said, "");
    }
  }
}

TEST_F(CheckpointGoldenTest, EveryReasonIsOfAHostileFile) {
  std::map<std::string, std::string> reasons = Reasons();
  for (const Json& item : Manifest()["hostile"]) {
    reasons.erase(item["file"].get<std::string>().substr(sizeof("hostile/") - 1));
  }
  EXPECT_THAT(reasons, testing::IsEmpty());
}

// What the tests above rely on.
TEST_F(CheckpointGoldenTest, PayloadsAndRunawaysWouldBeSeen) {
  for (const char* place : {kMarker, "../../qwt_hostile_marker", "../x"}) {
    RunContained([&] { return std::ofstream(place) << "", ""; }, kMemoryBytes, kProcessorSeconds);
    EXPECT_EQ(Strays().size(), 1) << place;
    fs::remove(place);
  }
  const auto take = [](uint64_t bytes) { return [=] { return std::to_string(std::string(bytes, 'x').size()); }; };
  EXPECT_EQ(RunContained(take(50'000'000), kMemoryBytes, kProcessorSeconds).said, "50000000");
  EXPECT_NE(RunContained(take(200'000'000), kMemoryBytes, kProcessorSeconds).said, "200000000");
}

TEST_F(CheckpointGoldenTest, OtherValuesWouldBeSeen) {
  const TensorMap state = ReadState("mini.safetensors");
  TensorMap other = state;
  EXPECT_EQ(Difference(other, state), "");
  other["a.bias"] = state.at("a.bias").to(at::kDouble);
  EXPECT_EQ(Difference(other, state), "");
  other["a.bias"].data_ptr<double>()[0] += 1e-12;
  EXPECT_EQ(Difference(other, state), "another dtype of a.bias");
  other["a.bias"] = state.at("a.bias").clone();
  other["a.bias"].data_ptr<float>()[0] = std::nextafter(other["a.bias"].data_ptr<float>()[0], 9.0f);
  EXPECT_EQ(Difference(other, state), "other values of a.bias");
  other["a.bias"] = state.at("a.bias").view({1, -1});
  EXPECT_EQ(Difference(other, state), "another shape of a.bias");
  other.erase("a.bias");
  EXPECT_EQ(Difference(other, state), "lacks a.bias");
  EXPECT_EQ(Difference(state, other), "has a.bias besides");
}

}  // namespace
}  // namespace qwt
