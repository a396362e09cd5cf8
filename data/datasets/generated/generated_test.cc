#include "data/datasets/generated/generated.h"

#include <set>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "core/base/sha256.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

std::string Hash(const Dataset& dataset, int64_t index) {
  const at::Tensor pixels = dataset.Get(index)->pixels;
  return Sha256({static_cast<const char*>(pixels.const_data_ptr()), static_cast<size_t>(pixels.numel())});
}

TEST(GeneratedTest, SizesClassesAndNames) {
  const GeneratedOptions options = {30, 20, 7, 32};
  const auto train = MakeGenerated(options, Split::kTrain), eval = MakeGenerated(options, Split::kEval);
  EXPECT_EQ(train->size(), 20);
  EXPECT_EQ(eval->size(), 30);
  EXPECT_EQ(eval->classes(), 7);
  EXPECT_EQ(eval->NameOf(3), "generated eval[3]");
  EXPECT_EQ(eval->Get(29)->label, 1);
  EXPECT_EQ(eval->Get(0)->pixels.sizes(), (std::vector<int64_t>{32, 32, 3}));
}

TEST(GeneratedTest, NoTwoAreAlike) {
  const GeneratedOptions options = {40, 40, 10, 24};
  std::set<std::string> hashes;
  for (const Split split : {Split::kTrain, Split::kEval}) {
    const auto dataset = MakeGenerated(options, split);
    for (int64_t i = 0; i < dataset->size(); ++i) hashes.insert(Hash(*dataset, i));
  }
  EXPECT_EQ(hashes.size(), 80u);
}

// Neighbours are alike, as in a photograph, and yet there is something to be seen in every channel.
TEST(GeneratedTest, SmoothWithStructure) {
  const auto dataset = MakeGenerated({10, 10, 10, 256}, Split::kEval);
  for (int64_t i = 0; i < 10; ++i) {
    const at::Tensor pixels = dataset->Get(i)->pixels.to(at::kFloat);
    EXPECT_LT(pixels.diff(1, 0).abs().max().item<float>(), 40);
    EXPECT_LT(pixels.diff(1, 1).abs().max().item<float>(), 40);
    EXPECT_GT(pixels.std().item<float>(), 5) << i;
    EXPECT_FALSE(pixels.select(2, 0).equal(pixels.select(2, 1))) << i;
  }
}

// Stored scales and solutions belong to these pixels: another formula needs another version in the fingerprint.
TEST(GeneratedTest, TheFormulaStays) {
  EXPECT_EQ(Hash(*MakeGenerated({}, Split::kEval), 9999),
            "2b242d4810164de5922fee077d046c44f0bbf8b72f2c23572190a10a6768e3c2");
}

TEST(GeneratedTest, FingerprintSeesWhatChangesAnImage) {
  const std::vector<int64_t> indices = {0, 3};
  const GeneratedOptions options;
  const std::string fingerprint = *MakeGenerated(options, Split::kEval)->Fingerprint(indices);
  EXPECT_NE(*MakeGenerated(options, Split::kTrain)->Fingerprint(indices), fingerprint);
  GeneratedOptions other = options;
  other.side = 248;
  EXPECT_NE(*MakeGenerated(other, Split::kEval)->Fingerprint(indices), fingerprint);
  other = options;
  other.classes = 10;
  EXPECT_NE(*MakeGenerated(other, Split::kEval)->Fingerprint(indices), fingerprint);
  other = options;
  other.images = 5;
  EXPECT_EQ(*MakeGenerated(other, Split::kEval)->Fingerprint(indices), fingerprint) << "the same images of fewer";
}

}  // namespace
}  // namespace qwt
