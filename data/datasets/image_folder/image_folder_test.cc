#include "data/datasets/image_folder/image_folder.h"

#include <chrono>
#include <filesystem>

#include "core/base/files.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr char kGolden[] = "tests/golden/transforms/";

class ImageFolderTest : public testing::Test {
 protected:
  ImageFolderTest() { fs::remove_all(root_); }

  // A copy of a golden image, or an empty file.
  void Put(const std::string& path, const std::string& golden = "alpha.png") {
    fs::create_directories((fs::path(root_) / path).parent_path());
    fs::copy_file(kGolden + golden, fs::path(root_) / path, fs::copy_options::overwrite_existing);
  }
  void Write(const std::string& path, const std::string& bytes) {
    fs::create_directories((fs::path(root_) / path).parent_path());
    ASSERT_TRUE(WriteFileAtomically(root_ + "/" + path, bytes).ok());
  }
  std::unique_ptr<Dataset> Open(const std::string& split = "val") {
    absl::StatusOr<std::unique_ptr<Dataset>> dataset = OpenImageFolder(root_, split);
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    return *std::move(dataset);
  }

  const std::string root_ = testing::TempDir() + "/images";
};

TEST_F(ImageFolderTest, NumbersClassesByNameAndSortsImagesByPath) {
  Put("val/n02/b.JPEG", "narrow.jpg");
  Put("val/n02/a.png");
  Put("val/n01/z.jpeg", "grey.jpg");
  Put("val/n01/Z.jpg", "cmyk.jpg");
  Put("val/n10/palette.JPEG", "palette_png.JPEG");  // a PNG under a JPEG's name
  Put("val/n01/.hidden.png");
  Put("val/.thumbnails/a.png");
  Write("val/n01/notes.txt", "no image");
  Write("val/labels.csv", "no class");
  Put("train/other/a.png");
  const std::unique_ptr<Dataset> dataset = Open();
  ASSERT_EQ(dataset->size(), 5);
  EXPECT_EQ(dataset->classes(), 3);
  const std::vector<std::string> names = {"n01/Z.jpg", "n01/z.jpeg", "n02/a.png", "n02/b.JPEG", "n10/palette.JPEG"};
  const std::vector<int64_t> labels = {0, 0, 1, 1, 2};
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(dataset->NameOf(i), root_ + "/val/" + names[i]);
    absl::StatusOr<Example> example = dataset->Get(i);
    ASSERT_TRUE(example.ok()) << example.status();
    EXPECT_EQ(example->label, labels[i]);
  }
  EXPECT_EQ(dataset->Get(3)->pixels.sizes(), (std::vector<int64_t>{260, 97, 3}));
  EXPECT_EQ(Open("train")->size(), 1);
}

TEST_F(ImageFolderTest, MissingFolders) {
  EXPECT_EQ(OpenImageFolder(root_, "val").status(),
            absl::NotFoundError("no folder '" + root_ + "/val'; expected is SPLIT/CLASS/*.{jpg,jpeg,png} in '" + root_ +
                                "'"));
  Write("val/a.txt", "x");
  EXPECT_EQ(
      OpenImageFolder(root_, "val").status(),
      absl::NotFoundError("folder '" + root_ + "/val' has no class folders; expected is SPLIT/CLASS/*.{jpg,jpeg,png}"));
  Put("val/cat/a.png");
  Write("val/dog/a.gif", "GIF89a");
  EXPECT_EQ(OpenImageFolder(root_, "val").status(),
            absl::NotFoundError("class folder '" + root_ +
                                "/val/dog' has no images; expected is SPLIT/CLASS/*.{jpg,jpeg,png}"));
}

TEST_F(ImageFolderTest, ErrorsNameTheFile) {
  Write("val/cat/a.jpg", "");
  Write("val/cat/b.jpg", "GIF89a");
  Put("val/cat/c.jpg", "narrow.jpg");
  const std::unique_ptr<Dataset> dataset = Open();
  EXPECT_EQ(dataset->Get(0).status(), absl::DataLossError(root_ + "/val/cat/a.jpg: the file is empty"));
  EXPECT_EQ(dataset->Get(1).status(),
            absl::DataLossError(root_ + "/val/cat/b.jpg: neither a JPEG nor a PNG image: begins with 0x47494638"));
  fs::remove(root_ + "/val/cat/c.jpg");
  EXPECT_EQ(dataset->Get(2).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(dataset->Fingerprint({2}).status(),
            absl::NotFoundError("stat '" + root_ + "/val/cat/c.jpg': No such file or directory"));
}

TEST_F(ImageFolderTest, FingerprintSeesContentNameTimeAndLabelButNotTheRoot) {
  Put("val/cat/a.png");
  Put("val/dog/b.png");
  const std::string cat = *Open()->Fingerprint({0}), dog = *Open()->Fingerprint({1});
  const auto time = fs::last_write_time(root_ + "/val/cat/a.png");

  fs::last_write_time(root_ + "/val/cat/a.png", time + std::chrono::microseconds(1));
  EXPECT_NE(*Open()->Fingerprint({0}), cat);
  EXPECT_EQ(*Open()->Fingerprint({1}), dog);

  Put("val/cat/a.png", "grey16.png");  // another size, the same time
  fs::last_write_time(root_ + "/val/cat/a.png", time);
  EXPECT_NE(*Open()->Fingerprint({0}), cat);
  Put("val/cat/a.png");
  fs::last_write_time(root_ + "/val/cat/a.png", time);
  EXPECT_EQ(*Open()->Fingerprint({0}), cat);

  fs::rename(root_ + "/val/cat/a.png", root_ + "/val/cat/c.png");
  EXPECT_NE(*Open()->Fingerprint({0}), cat);

  Put("val/bird/a.png");  // a class before it: the dog's label changes
  EXPECT_NE(*Open()->Fingerprint({2}), dog);
  fs::remove_all(root_ + "/val/bird");
  EXPECT_EQ(*Open()->Fingerprint({1}), dog);

  const std::string moved = root_ + "_moved";
  fs::remove_all(moved);
  fs::rename(root_, moved);
  EXPECT_EQ(*(*OpenImageFolder(moved, "val"))->Fingerprint({1}), dog);
  fs::remove_all(moved);
}

}  // namespace
}  // namespace qwt
