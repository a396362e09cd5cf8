#include "data/datasets/image_folder/image_folder.h"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "data/datasets/image_folder/tar_writer.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr char kGolden[] = "tests/golden/transforms/";

// Takes from this thread, while it lives, root's right to read every file.
class WithoutFileCapabilities {
 public:
  WithoutFileCapabilities() {
    EXPECT_EQ(syscall(SYS_capget, &header_, before_), 0);
    __user_cap_data_struct data[2] = {before_[0], before_[1]};
    data[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
    EXPECT_EQ(syscall(SYS_capset, &header_, data), 0);
  }
  ~WithoutFileCapabilities() { EXPECT_EQ(syscall(SYS_capset, &header_, before_), 0); }

 private:
  __user_cap_header_struct header_ = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2] = {};
};

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
    absl::StatusOr<std::unique_ptr<Dataset>> dataset = OpenImageFolder({.root = root_, .split = split});
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
  EXPECT_EQ(OpenImageFolder({.root = root_, .split = "val"}).status(),
            absl::NotFoundError("no folder '" + root_ + "/val' and no tar '" + root_ +
                                "/val.tar'; expected is SPLIT/CLASS/*.{jpg,jpeg,png} in '" + root_ + "'"));
  Write("val/a.txt", "x");
  EXPECT_EQ(
      OpenImageFolder({.root = root_, .split = "val"}).status(),
      absl::NotFoundError("folder '" + root_ + "/val' has no class folders; expected is SPLIT/CLASS/*.{jpg,jpeg,png}"));
  Put("val/cat/a.png");
  Write("val/dog/a.gif", "GIF89a");
  EXPECT_EQ(OpenImageFolder({.root = root_, .split = "val"}).status(),
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

TEST_F(ImageFolderTest, WrongExtensions) {
  Put("val/cat/a.png", "narrow.jpg");
  Put("val/cat/b.jpg", "alpha.png");
  Write("val/cat/c.jpg", "Not found. Please log in.");
  const std::unique_ptr<Dataset> dataset = Open();
  EXPECT_EQ(dataset->Get(0)->pixels.sizes(), (std::vector<int64_t>{260, 97, 3}));
  EXPECT_EQ(dataset->Get(1)->pixels.sizes(), (std::vector<int64_t>{236, 230, 3}));
  EXPECT_EQ(dataset->Get(2).status(),
            absl::DataLossError(root_ + "/val/cat/c.jpg: neither a JPEG nor a PNG image: begins with 0x4e6f7420"));
}

TEST_F(ImageFolderTest, TruncatedFilesAreNamed) {
  const std::string jpeg = *ReadFile(std::string(kGolden) + "landscape.jpg");
  const std::string png = *ReadFile(std::string(kGolden) + "alpha.png");
  Write("val/cat/a.jpg", jpeg.substr(0, jpeg.size() / 2));
  Write("val/cat/b.png", png.substr(0, png.size() / 2));
  const std::unique_ptr<Dataset> dataset = Open();
  EXPECT_EQ(dataset->Get(0).status(),
            absl::DataLossError(root_ + "/val/cat/a.jpg: damaged JPEG data: Premature end of JPEG file"));
  EXPECT_EQ(dataset->Get(1).status(),
            absl::DataLossError(root_ + "/val/cat/b.png: damaged PNG data: the file ends too early"));
}

TEST_F(ImageFolderTest, FilesThatCannotBeRead) {
  Put("val/cat/a.png");
  Put("val/cat/d.png");
  fs::create_symlink("../nowhere.png", root_ + "/val/cat/b.png");
  fs::create_symlink("a.png", root_ + "/val/cat/c.png");
  mkfifo((root_ + "/val/cat/e.png").c_str(), 0600);
  fs::permissions(root_ + "/val/cat/d.png", fs::perms::none);
  const std::unique_ptr<Dataset> dataset = Open();
  ASSERT_EQ(dataset->size(), 5);
  EXPECT_EQ(dataset->Get(1).status(), absl::NotFoundError("read '" + root_ +
                                                          "/val/cat/b.png', a link to '../nowhere.png': No such file "
                                                          "or directory"));
  EXPECT_EQ(
      dataset->Fingerprint({1}).status(),
      absl::NotFoundError("stat '" + root_ + "/val/cat/b.png', a link to '../nowhere.png': No such file or directory"));
  EXPECT_TRUE(dataset->Get(2)->pixels.equal(dataset->Get(0)->pixels));
  EXPECT_EQ(dataset->Get(4).status(), absl::DataLossError(root_ + "/val/cat/e.png: not a regular file"));
  const WithoutFileCapabilities as_anybody;
  EXPECT_EQ(dataset->Get(3).status(),
            absl::PermissionDeniedError("read '" + root_ + "/val/cat/d.png': Permission denied"));
}

TEST_F(ImageFolderTest, FilesThatChangeOrVanish) {
  Put("val/cat/a.png");
  Put("val/cat/b.png");
  const std::unique_ptr<Dataset> dataset = Open();
  ASSERT_TRUE(dataset->Fingerprint({0, 1}).ok());
  Put("val/cat/a.png", "grey16.png");
  EXPECT_EQ(
      dataset->Get(0).status(),
      absl::FailedPreconditionError(root_ + "/val/cat/a.png: had 34641 bytes when it was listed and has 14491 now: it "
                                            "changed meanwhile; start again"));
  ASSERT_TRUE(dataset->Fingerprint({0}).ok());  // who is told the new fingerprint gets the new image
  EXPECT_EQ(dataset->Get(0)->pixels.sizes(), (std::vector<int64_t>{268, 240, 3}));
  fs::remove(root_ + "/val/cat/b.png");
  EXPECT_EQ(dataset->Get(1).status(),
            absl::NotFoundError("read '" + root_ + "/val/cat/b.png': No such file or directory"));
}

TEST_F(ImageFolderTest, AnImageOverwrittenInPlaceIsReadThoughTheIndexIsOlder) {
  Put("val/cat/a.png");
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const char* folder : {"/val", "/val/cat"}) fs::last_write_time(root_ + folder, old);
  fs::create_directory(root_ + "/store");
  const SplitOptions options = {.root = root_, .split = "val", .cache_folder = root_ + "/store/index"};
  const auto first = *OpenImageFolder(options);
  const std::string fingerprint = *first->Fingerprint({0});
  EXPECT_FALSE(fs::exists(options.cache_folder));
  ASSERT_TRUE(first->Get(0).ok());
  EXPECT_TRUE(fs::exists(options.cache_folder));  // the first Get() keeps the index

  Put("val/cat/a.png", "grey16.png");
  ASSERT_EQ(fs::last_write_time(root_ + "/val/cat"), old);  // the folder shows nothing of it
  const auto second = *OpenImageFolder(options);
  EXPECT_NE(*second->Fingerprint({0}), fingerprint);
  EXPECT_EQ(second->Get(0)->pixels.sizes(), (std::vector<int64_t>{268, 240, 3}));
}

TEST_F(ImageFolderTest, ScaledOnlyWithFastDecode) {
  Put("val/cat/a.jpg", "landscape.jpg");
  Put("val/cat/b.png", "alpha.png");
  const auto full = *OpenImageFolder({.root = root_, .split = "val"});
  const auto fast = *OpenImageFolder({.root = root_, .split = "val"}, /*fast_decode=*/true);
  EXPECT_TRUE(full->GetScaled(0, 100)->pixels.equal(full->Get(0)->pixels));
  EXPECT_TRUE(fast->Get(0)->pixels.equal(full->Get(0)->pixels));
  EXPECT_EQ(fast->GetScaled(0, 100)->pixels.sizes(), (std::vector<int64_t>{188, 250, 3}));
  EXPECT_EQ(fast->GetScaled(0, 0)->pixels.sizes(), (std::vector<int64_t>{375, 500, 3}));
  EXPECT_TRUE(fast->GetScaled(1, 10)->pixels.equal(full->Get(1)->pixels));
}

TEST_F(ImageFolderTest, FlatWithGroundTruth) {
  Put("train/n03/x.png");
  Put("train/n01/x.png");
  Put("train/n02/x.png");
  Put("val/ILSVRC2012_val_00000001.JPEG", "narrow.jpg");
  Put("val/ILSVRC2012_val_00000002.JPEG", "grey.jpg");
  Write("val.txt", "ILSVRC2012_val_00000002.JPEG 1\nILSVRC2012_val_00000001.JPEG 2\n");
  const std::string list = root_ + "/val.txt";
  const auto dataset = OpenImageFolder({.root = root_, .split = "val", .class_split = "train", .ground_truth = list});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->size(), 2);
  EXPECT_EQ((*dataset)->classes(), 3);
  EXPECT_EQ((*dataset)->Get(0)->label, 2);
  EXPECT_EQ((*dataset)->Get(1)->label, 1);
  EXPECT_EQ((*dataset)->Get(1)->pixels.size(1), 326);
  const std::string fingerprint = *(*dataset)->Fingerprint({0});
  Write("val.txt", "ILSVRC2012_val_00000002.JPEG 1\nILSVRC2012_val_00000001.JPEG 0\n");
  EXPECT_NE(*(*OpenImageFolder({.root = root_, .split = "val", .class_split = "train", .ground_truth = list}))
                 ->Fingerprint({0}),
            fingerprint);
  EXPECT_EQ(OpenImageFolder({.root = root_, .split = "val", .class_split = "train"}).status(),
            absl::InvalidArgumentError("'" + root_ +
                                       "/val' has 2 images in no class folders: only the images for evaluation may be "
                                       "so, with ground_truth naming the list of their labels; else expected is "
                                       "SPLIT/CLASS/*.{jpg,jpeg,png}"));
  EXPECT_EQ(OpenImageFolder({.root = root_, .split = "train", .ground_truth = list}).status(),
            absl::InvalidArgumentError("'" + root_ + "/train' has class folders: ground_truth ('" + list +
                                       "') is of no use; leave it out"));
  EXPECT_EQ(OpenImageFolder({.root = root_, .split = "val", .ground_truth = root_ + "/none"}).status(),
            absl::NotFoundError("read '" + root_ + "/none': No such file or directory"));
}

TEST_F(ImageFolderTest, ATarHasTheImagesOfItsFolder) {
  std::vector<TarEntry> members;
  for (const auto& [name, golden] : {std::pair("n02/b.JPEG", "narrow.jpg"), std::pair("n01/a.png", "alpha.png"),
                                     std::pair("n02/a.jpg", "grey.jpg"), std::pair("n01/c.jpg", "cmyk.jpg")}) {
    Put(std::string("val/") + name, golden);
    members.push_back({name, *ReadFile(std::string(kGolden) + golden)});
  }
  members.push_back({"n02/z.jpg", "GIF89a"});
  Write("packed.tar", MakeTar(members));
  const auto folder = Open(), tar = Open("packed"), named = Open("packed.tar");
  ASSERT_EQ(tar->size(), 5);
  EXPECT_EQ(tar->classes(), 2);
  for (int64_t i = 0; i < 4; ++i) {
    const Example expected = *folder->Get(i);
    for (const Dataset* dataset : {tar.get(), named.get()}) {
      absl::StatusOr<Example> example = dataset->Get(i);
      ASSERT_TRUE(example.ok()) << example.status();
      EXPECT_TRUE(example->pixels.equal(expected.pixels));
      EXPECT_EQ(example->label, expected.label);
    }
  }
  EXPECT_EQ(tar->NameOf(3), root_ + "/packed.tar: n02/b.JPEG");
  EXPECT_EQ(tar->Get(4).status(),
            absl::DataLossError(root_ + "/packed.tar: n02/z.jpg: neither a JPEG nor a PNG image: begins "
                                        "with 0x47494638"));
  const std::string fingerprint = *tar->Fingerprint({0});
  EXPECT_EQ(*Open("packed")->Fingerprint({0}), fingerprint);
  EXPECT_NE(*tar->Fingerprint({1}), fingerprint);
  fs::last_write_time(root_ + "/packed.tar", fs::last_write_time(root_ + "/packed.tar") + std::chrono::microseconds(1));
  EXPECT_NE(*Open("packed")->Fingerprint({0}), fingerprint);
  const uint64_t bytes = fs::file_size(root_ + "/packed.tar");
  fs::resize_file(root_ + "/packed.tar", 3000);
  EXPECT_EQ(tar->Get(0).status(),
            absl::FailedPreconditionError(absl::StrCat(root_, "/packed.tar: had ", bytes,
                                                       " bytes when it was listed and has 3000 now: it changed "
                                                       "meanwhile; start again")));
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
  EXPECT_EQ(*(*OpenImageFolder({.root = moved, .split = "val"}))->Fingerprint({1}), dog);
  fs::remove_all(moved);
}

}  // namespace
}  // namespace qwt
