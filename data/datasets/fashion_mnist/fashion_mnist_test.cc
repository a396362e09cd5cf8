#include "data/datasets/fashion_mnist/fashion_mnist.h"

#include <cstdlib>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/sha256.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

std::string Idx(std::vector<uint32_t> dimensions, const std::string& values) {
  std::string bytes = {0, 0, 8, static_cast<char>(dimensions.size())};
  for (uint32_t dimension : dimensions) {
    for (int shift : {24, 16, 8, 0}) bytes += static_cast<char>(dimension >> shift);
  }
  return bytes + values;
}

std::string Images(uint32_t count) { return Idx({count, 28, 28}, std::string(count * 28 * 28, '\7')); }

class FashionMnistTest : public testing::Test {
 protected:
  FashionMnistTest() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    Write("train-images-idx3-ubyte", Images(3));
    Write("train-labels-idx1-ubyte", Idx({3}, std::string("\3\0\11", 3)));
  }
  void Write(const std::string& name, const std::string& bytes) {
    ASSERT_TRUE(WriteFileAtomically(root_ + "/" + name, bytes).ok());
  }
  absl::Status Open(Split split = Split::kTrain) { return OpenFashionMnist(root_, split).status(); }

  const std::string root_ = testing::TempDir() + "/fashion";
};

TEST_F(FashionMnistTest, ReadsPlainFiles) {
  const auto dataset = *OpenFashionMnist(root_, Split::kTrain);
  EXPECT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->classes(), 10);
  EXPECT_EQ(dataset->NameOf(2), "train-images-idx3-ubyte[2]");
  EXPECT_EQ(dataset->Get(0)->label, 3);
  EXPECT_EQ(dataset->Get(2)->label, 9);
  EXPECT_EQ(dataset->Get(1)->pixels.min().item<uint8_t>(), 7);
}

// The figures are of Debian's files, read by a Python program.
TEST(FashionMnistExampleTest, IsTheFirst512TrainingAndAllTestImages) {
  std::map<Split, std::string> hashes;
  for (const Split split : {Split::kTrain, Split::kEval}) {
    const auto dataset = *OpenFashionMnist("", split);
    EXPECT_EQ(dataset->size(), split == Split::kTrain ? 512 : 10000);
    std::string content;
    for (int64_t i = 0; i < dataset->size(); ++i) {
      const Example example = *dataset->Get(i);
      const uint8_t* rgb = example.pixels.const_data_ptr<uint8_t>();
      for (int64_t k = 0; k < 28 * 28; ++k) {
        ASSERT_TRUE(rgb[3 * k] == rgb[3 * k + 1] && rgb[3 * k] == rgb[3 * k + 2]);
        content.push_back(static_cast<char>(rgb[3 * k]));
      }
      content.push_back(static_cast<char>(example.label));
    }
    hashes[split] = Sha256(content);
  }
  EXPECT_EQ(hashes[Split::kTrain], "9f4b280455c7719d0df41ef4a5e1e522d764ee49dae6f151edb0501b1440a191");
  EXPECT_EQ(hashes[Split::kEval], "ffd391374f349fcbb4f9458aed5724cad2dd44c3f0c36f460a93d43959ec239e");
}

TEST(FashionMnistExampleTest, IsLookedForUnderQwtHome) {
  ASSERT_EQ(setenv("QWT_HOME", "/nowhere", 1), 0);
  const absl::Status status = OpenFashionMnist("", Split::kEval).status();
  ASSERT_EQ(unsetenv("QWT_HOME"), 0);
  EXPECT_EQ(status,
            absl::NotFoundError(
                "no folder '/nowhere/data/examples/fashion_mnist'; looked there for t10k-images-idx3-ubyte or "
                "t10k-images-idx3-ubyte.gz; install the Debian package dataset-fashion-mnist and set dataset.root to "
                "/usr/share/datasets/fashion-mnist, or to another folder with the four files"));
}

TEST_F(FashionMnistTest, MissingFile) {
  EXPECT_EQ(Open(Split::kEval),
            absl::NotFoundError(absl::StrCat(
                "folder '", root_,
                "' has neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz; install the Debian package ",
                "dataset-fashion-mnist and set dataset.root to /usr/share/datasets/fashion-mnist, or to another folder "
                "with the four files")));
  std::filesystem::remove(root_ + "/train-labels-idx1-ubyte");
  EXPECT_EQ(Open(),
            absl::NotFoundError(absl::StrCat(
                "folder '", root_,
                "' has neither train-labels-idx1-ubyte nor train-labels-idx1-ubyte.gz; install the Debian package ",
                "dataset-fashion-mnist and set dataset.root to /usr/share/datasets/fashion-mnist, or to another folder "
                "with the four files")));
}

TEST_F(FashionMnistTest, DamagedFile) {
  Write("train-images-idx3-ubyte", Images(3).substr(0, 1000));
  EXPECT_EQ(
      Open(),
      absl::DataLossError(
          root_ + "/train-images-idx3-ubyte: truncated: the header says [3, 28, 28], 2352 bytes, the file has 984"));
}

TEST_F(FashionMnistTest, OtherImageSize) {
  Write("train-images-idx3-ubyte", Idx({1, 32, 30}, std::string(960, 'x')));
  EXPECT_EQ(Open(),
            absl::DataLossError(root_ + "/train-images-idx3-ubyte: images are 32 x 30 pixels, must be 28 x 28"));
}

TEST_F(FashionMnistTest, CountsThatDiffer) {
  Write("train-labels-idx1-ubyte", Idx({2}, std::string(2, '\0')));
  EXPECT_EQ(Open(), absl::DataLossError(root_ + "/train-images-idx3-ubyte has 3 images, " + root_ +
                                        "/train-labels-idx1-ubyte 2 labels"));
}

TEST_F(FashionMnistTest, NoImages) {
  Write("train-images-idx3-ubyte", Images(0));
  Write("train-labels-idx1-ubyte", Idx({0}, ""));
  EXPECT_EQ(Open(), absl::DataLossError(root_ + "/train-images-idx3-ubyte: no images"));
}

TEST_F(FashionMnistTest, LabelOutOfRange) {
  Write("train-labels-idx1-ubyte", Idx({3}, "\1\2\12"));
  EXPECT_EQ(Open(), absl::DataLossError(root_ + "/train-labels-idx1-ubyte: label 10 of image 2, must be from 0 to 9"));
}

TEST_F(FashionMnistTest, FingerprintSeesPixelsAndLabels) {
  const std::vector<int64_t> indices = {0, 1, 2};
  const std::string fingerprint = *(*OpenFashionMnist(root_, Split::kTrain))->Fingerprint(indices);
  std::string images = Images(3);
  images[16 + 2 * 784 + 100] = '\10';
  Write("train-images-idx3-ubyte", images);
  const auto other_pixel = *OpenFashionMnist(root_, Split::kTrain);
  EXPECT_NE(*other_pixel->Fingerprint(indices), fingerprint);
  EXPECT_EQ(*other_pixel->Fingerprint({0, 1}), *(*OpenFashionMnist(root_, Split::kTrain))->Fingerprint({0, 1}));
  Write("train-images-idx3-ubyte", Images(3));
  EXPECT_EQ(*(*OpenFashionMnist(root_, Split::kTrain))->Fingerprint(indices), fingerprint);
  Write("train-labels-idx1-ubyte", Idx({3}, std::string("\3\1\11", 3)));
  EXPECT_NE(*(*OpenFashionMnist(root_, Split::kTrain))->Fingerprint(indices), fingerprint);
}

}  // namespace
}  // namespace qwt
