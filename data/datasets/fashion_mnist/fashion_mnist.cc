#include "data/datasets/fashion_mnist/fashion_mnist.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "data/datasets/fashion_mnist/idx.h"

namespace qwt {
namespace {

constexpr int64_t kClasses = 10;
constexpr int64_t kSide = 28;
constexpr int64_t kArea = kSide * kSide;

class FashionMnist : public Dataset {
 public:
  FashionMnist(std::string images_name, std::vector<uint8_t> pixels, std::vector<uint8_t> labels)
      : images_name_(std::move(images_name)), pixels_(std::move(pixels)), labels_(std::move(labels)) {}

  int64_t size() const override { return labels_.size(); }
  int64_t classes() const override { return kClasses; }
  std::string NameOf(int64_t index) const override { return absl::StrCat(images_name_, "[", index, "]"); }

  absl::StatusOr<Example> Get(int64_t index) const override {
    Example example{at::empty({kSide, kSide, 3}, at::kByte), labels_[index]};
    uint8_t* rgb = example.pixels.mutable_data_ptr<uint8_t>();
    for (int64_t i = 0; i < kArea; ++i) std::fill_n(rgb + 3 * i, 3, pixels_[index * kArea + i]);
    return example;
  }

  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t> indices) const override {
    std::string content = "fashion_mnist: pixels and label of each image\n";
    for (int64_t index : indices) {
      content.append(reinterpret_cast<const char*>(&pixels_[index * kArea]), kArea);
      content.push_back(static_cast<char>(labels_[index]));
    }
    return Sha256(content);
  }

 private:
  const std::string images_name_;  // of the file, without its folder
  const std::vector<uint8_t> pixels_, labels_;
};

std::string ExampleFolder() {
  const char* home = std::getenv("QWT_HOME");
  const std::filesystem::path start = home != nullptr && *home != '\0' ? home : ".";
  return (start / "data/examples/fashion_mnist").lexically_normal().string();
}

absl::StatusOr<std::string> FindFile(const std::string& root, const std::string& name) {
  for (const char* suffix : {"", ".gz"}) {
    const std::string path = (std::filesystem::path(root) / (name + suffix)).string();
    std::error_code error;
    if (std::filesystem::exists(path, error)) return path;
  }
  std::error_code error;
  const bool is_folder = std::filesystem::is_directory(root, error);
  return absl::NotFoundError(
      absl::StrCat(is_folder ? "folder '" : "no folder '", root, is_folder ? "' has neither " : "'; looked there for ",
                   name, is_folder ? " nor " : " or ", name,
                   ".gz; install the Debian package dataset-fashion-mnist and set dataset.root to ",
                   "/usr/share/datasets/fashion-mnist, or to another folder with the four files"));
}

absl::Status CheckLabels(const std::string& path, const std::vector<uint8_t>& labels) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= kClasses) {
      return absl::DataLossError(
          absl::StrCat(path, ": label ", int{labels[i]}, " of image ", i, ", must be from 0 to ", kClasses - 1));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Dataset>> Create(const Options& options, const DatasetContext& context) {
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = OpenFashionMnist(options.String("root"), context.split);
  if (!dataset.ok()) return Annotate(dataset.status(), options.Where("root"));
  return dataset;
}

const bool registered = DatasetRegistry::Get().Register(
    {{"fashion_mnist", "Fashion-MNIST: grey 28 x 28 images in ten classes, as IDX files.",
      Schema{{Option::Path("root",
                           "Folder with {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, each "
                           "perhaps with .gz; by default "
                           "the embedded example, the first 512 training images and all 10,000 test images.")
                  .Default("")
                  .NoEffectOnResult()}}},  // the fingerprint says what the images are
     Create});

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenFashionMnist(const std::string& root, Split split) {
  const std::string folder = root.empty() ? ExampleFolder() : root;
  const std::string prefix = split == Split::kTrain ? "train" : "t10k";
  QWT_ASSIGN_OR_RETURN(const std::string images_path, FindFile(folder, prefix + "-images-idx3-ubyte"));
  QWT_ASSIGN_OR_RETURN(const std::string labels_path, FindFile(folder, prefix + "-labels-idx1-ubyte"));
  QWT_ASSIGN_OR_RETURN(IdxArray images, ReadIdx(images_path, 3));
  QWT_ASSIGN_OR_RETURN(IdxArray labels, ReadIdx(labels_path, 1));
  if (images.dimensions[1] != kSide || images.dimensions[2] != kSide) {
    return absl::DataLossError(absl::StrCat(images_path, ": images are ", images.dimensions[1], " x ",
                                            images.dimensions[2], " pixels, must be ", kSide, " x ", kSide));
  }
  if (images.dimensions[0] != labels.dimensions[0]) {
    return absl::DataLossError(absl::StrCat(images_path, " has ", images.dimensions[0], " images, ", labels_path, " ",
                                            labels.dimensions[0], " labels"));
  }
  if (labels.values.empty()) return absl::DataLossError(absl::StrCat(images_path, ": no images"));
  QWT_RETURN_IF_ERROR(CheckLabels(labels_path, labels.values));
  return std::unique_ptr<Dataset>(std::make_unique<FashionMnist>(std::filesystem::path(images_path).filename().string(),
                                                                 std::move(images.values), std::move(labels.values)));
}

}  // namespace qwt
