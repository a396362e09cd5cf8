// What every dataset promises (data/dataset.h), over all that are registered. A new dataset adds its data to
// Fixtures().
#include "data/dataset.h"

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/config/node.h"
#include "core/config/schema.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

// Makes data for a dataset in the given folder and returns the options that name them, as YAML.
using Fixture = std::function<std::string(const std::string& folder)>;

// What needs no files, or has them.
std::string EmbeddedExample(const std::string&) { return "{}"; }

std::string FolderOfGoldenImages(const std::string& folder) {
  const std::vector<std::pair<std::string, std::string>> images = {{"n01/a.JPEG", "narrow.jpg"},
                                                                   {"n01/b.png", "alpha.png"},
                                                                   {"n02/c.jpg", "grey.jpg"},
                                                                   {"n03/d.JPEG", "palette_png.JPEG"}};
  for (const char* split : {"train", "val"}) {
    for (const auto& [name, golden] : images) {
      const fs::path target = fs::path(folder) / split / name;
      fs::create_directories(target.parent_path());
      fs::copy_file("tests/golden/transforms/" + golden, target, fs::copy_options::overwrite_existing);
    }
  }
  return "{root: '" + folder + "'}";
}

const std::map<std::string, Fixture>& Fixtures() {
  static const auto* fixtures = new std::map<std::string, Fixture>{
      {"fashion_mnist", EmbeddedExample},
      {"generated", EmbeddedExample},
      {"image_folder", FolderOfGoldenImages},
  };
  return *fixtures;
}

std::vector<std::string> RegisteredNames() {
  std::vector<std::string> names;
  for (const RegistryBase::Description& description : DatasetRegistry::Get().Descriptions())
    names.push_back(description.name);
  return names;
}

class DatasetTest : public testing::TestWithParam<std::tuple<std::string, Split>> {
 protected:
  void SetUp() override {
    const auto fixture = Fixtures().find(Name());
    ASSERT_NE(fixture, Fixtures().end()) << "dataset '" << Name()
                                         << "' is registered but has no data here; add some to Fixtures()";
    yaml_ = fixture->second(testing::TempDir() + "/" + Name());
    dataset_ = Make();
    ASSERT_NE(dataset_, nullptr);
    const int64_t last = dataset_->size() - 1;
    ASSERT_GE(last, 3) << "too few images to see their order";
    some_ = {0, 1, (last + 1) / 2, last};
  }

  std::string Name() const { return std::get<0>(GetParam()); }

  std::unique_ptr<Dataset> Make(const std::string& cache_folder = "") const {
    const auto* component = *DatasetRegistry::Get().Find(Name());
    absl::StatusOr<ConfigNode> node = ParseConfig(yaml_, "test.yaml");
    EXPECT_TRUE(node.ok()) << node.status();
    Problems problems;
    const Options options = CheckOptions(*node, component->schema, &problems);
    EXPECT_TRUE(problems.empty()) << problems.ToStatus();
    absl::StatusOr<std::unique_ptr<Dataset>> dataset =
        component->create(options, {std::get<1>(GetParam()), cache_folder});
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    return dataset.ok() ? *std::move(dataset) : nullptr;
  }

  std::string yaml_;
  std::unique_ptr<const Dataset> dataset_;
  std::vector<int64_t> some_;
};

INSTANTIATE_TEST_SUITE_P(Registered, DatasetTest,
                         testing::Combine(testing::ValuesIn(RegisteredNames()),
                                          testing::Values(Split::kTrain, Split::kEval)),
                         [](const auto& info) {
                           return std::get<0>(info.param) +
                                  (std::get<1>(info.param) == Split::kTrain ? "_train" : "_eval");
                         });

TEST_P(DatasetTest, ExamplesAreRgbPixelsWithALabelInRange) {
  EXPECT_GE(dataset_->classes(), 2);
  for (int64_t index : some_) {
    absl::StatusOr<Example> example = dataset_->Get(index);
    ASSERT_TRUE(example.ok()) << example.status();
    EXPECT_EQ(example->pixels.scalar_type(), at::kByte);
    ASSERT_EQ(example->pixels.dim(), 3);
    EXPECT_GE(example->pixels.size(0), 1);
    EXPECT_GE(example->pixels.size(1), 1);
    EXPECT_EQ(example->pixels.size(2), 3);
    EXPECT_GE(example->label, 0);
    EXPECT_LT(example->label, dataset_->classes());
  }
}

TEST_P(DatasetTest, AnImageIsTheSameEachTime) {
  const std::unique_ptr<Dataset> again = Make();
  EXPECT_EQ(again->size(), dataset_->size());
  EXPECT_EQ(again->classes(), dataset_->classes());
  for (int64_t index : some_) {
    Example first = *dataset_->Get(index);
    for (const Dataset* dataset : {dataset_.get(), static_cast<const Dataset*>(again.get())}) {
      const Example second = *dataset->Get(index);
      EXPECT_TRUE(first.pixels.equal(second.pixels));
      EXPECT_EQ(first.label, second.label);
    }
    first.pixels.bitwise_not_();  // the caller's own copy: no later Get() may show this
    EXPECT_FALSE(first.pixels.equal(dataset_->Get(index)->pixels));
  }
}

TEST_P(DatasetTest, ScalingMustBeAskedForInTheOptions) {
  for (int64_t index : some_) {
    EXPECT_TRUE(dataset_->GetScaled(index, 0)->pixels.equal(dataset_->Get(index)->pixels));
    EXPECT_TRUE(dataset_->GetScaled(index, 1)->pixels.equal(dataset_->Get(index)->pixels));
  }
}

TEST_P(DatasetTest, PlanningWritesNothing) {
  const fs::path store = fs::path(testing::TempDir()) / (Name() + "_store");
  fs::remove_all(store);
  fs::create_directory(store);
  const std::unique_ptr<Dataset> dataset = Make((store / "cache").string());
  ASSERT_NE(dataset, nullptr);
  ASSERT_TRUE(dataset->Fingerprint(some_).ok());
  EXPECT_TRUE(fs::is_empty(store)) << "before the first Get()";
  const Example expected = *dataset->Get(0);
  const std::unique_ptr<Dataset> again = Make((store / "cache").string());
  EXPECT_EQ(*again->Fingerprint(some_), *dataset_->Fingerprint(some_));
  EXPECT_TRUE(again->Get(0)->pixels.equal(expected.pixels));
  fs::remove_all(store);  // nor is a store made that is not there
  EXPECT_TRUE(Make((store / "cache").string())->Get(0).ok());
  EXPECT_FALSE(fs::exists(store));
}

TEST_P(DatasetTest, ManyThreadsMayRead) {
  std::vector<Example> expected;
  for (int64_t index : some_) expected.push_back(*dataset_->Get(index));
  std::vector<std::thread> readers;
  for (int thread = 0; thread < 4; ++thread) {
    readers.emplace_back([&, thread] {
      for (size_t i = 0; i < 4 * some_.size(); ++i) {
        const size_t which = (i + thread) % some_.size();
        absl::StatusOr<Example> example = dataset_->Get(some_[which]);
        ASSERT_TRUE(example.ok()) << example.status();
        EXPECT_TRUE(example->pixels.equal(expected[which].pixels));
        EXPECT_EQ(example->label, expected[which].label);
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
}

TEST_P(DatasetTest, NamesTellImagesApart) {
  std::set<std::string> names;
  for (int64_t index : some_) names.insert(dataset_->NameOf(index));
  EXPECT_EQ(names.size(), some_.size());
  EXPECT_EQ(names.count(""), 0);
}

TEST_P(DatasetTest, FingerprintIsOfTheListedImagesInTheirOrder) {
  const auto fingerprint = [&](const Dataset& dataset, std::vector<int64_t> indices) {
    absl::StatusOr<std::string> text = dataset.Fingerprint(indices);
    EXPECT_TRUE(text.ok()) << text.status();
    return *text;
  };
  const std::string all = fingerprint(*dataset_, some_);
  EXPECT_FALSE(all.empty());
  EXPECT_EQ(fingerprint(*dataset_, some_), all);
  EXPECT_EQ(fingerprint(*Make(), some_), all);
  EXPECT_NE(fingerprint(*dataset_, {some_[1], some_[0], some_[2], some_[3]}), all);
  EXPECT_NE(fingerprint(*dataset_, {some_[0], some_[1], some_[2]}), all);
  EXPECT_NE(fingerprint(*dataset_, {some_[0], some_[1], some_[2], some_[3], some_[3]}), all);
  EXPECT_NE(fingerprint(*dataset_, {some_[0]}), fingerprint(*dataset_, {some_[1]}));
}

TEST(DatasetRegistryTest, EveryFixtureIsOfARegisteredDataset) {
  std::vector<std::string> fixtures;
  for (const auto& [name, fixture] : Fixtures()) fixtures.push_back(name);
  EXPECT_EQ(fixtures, RegisteredNames());
}

// Errors of a factory name the option's place in the config.
TEST(DatasetRegistryTest, AMissingFolderIsToldWithTheOption) {
  for (const char* name : {"fashion_mnist", "image_folder"}) {
    const auto* component = *DatasetRegistry::Get().Find(name);
    Problems problems;
    const Options options = CheckOptions(*ParseConfig("root: /nowhere", "test.yaml"), component->schema, &problems);
    ASSERT_TRUE(problems.empty()) << problems.ToStatus();
    const absl::Status status = component->create(options, {Split::kEval, ""}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(status.message().substr(0, 32), "test.yaml:1: root: no folder '/n") << status;
  }
}

}  // namespace
}  // namespace qwt
