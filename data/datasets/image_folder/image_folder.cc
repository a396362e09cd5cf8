#include "data/datasets/image_folder/image_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "data/datasets/image_folder/decode.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr char kLayout[] = "expected is SPLIT/CLASS/*.{jpg,jpeg,png}";

struct ImageFile {
  std::string path;  // under the root
  int64_t label = 0;
};

class ImageFolder : public Dataset {
 public:
  ImageFolder(std::string root, std::vector<ImageFile> files, int64_t classes)
      : root_(std::move(root)), files_(std::move(files)), classes_(classes) {}

  int64_t size() const override { return files_.size(); }
  int64_t classes() const override { return classes_; }
  std::string NameOf(int64_t index) const override { return (fs::path(root_) / files_[index].path).string(); }

  absl::StatusOr<Example> Get(int64_t index) const override {
    const std::string path = NameOf(index);
    QWT_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
    absl::StatusOr<at::Tensor> pixels = DecodeImage(bytes);
    if (!pixels.ok()) return Annotate(pixels.status(), path);
    return Example{*std::move(pixels), files_[index].label};
  }

  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t> indices) const override {
    std::string content = "image_folder: label, size, time of last change, path of each image\n";
    for (int64_t index : indices) {
      struct stat info;
      const std::string path = NameOf(index);
      if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("stat '", path, "'"));
      // The path is last and ends with a zero byte: no name can look like another entry.
      absl::StrAppend(&content, files_[index].label, " ", info.st_size, " ", info.st_mtim.tv_sec, ".",
                      info.st_mtim.tv_nsec, " ", files_[index].path);
      content.push_back('\0');
    }
    return Sha256(content);
  }

 private:
  const std::string root_;
  const std::vector<ImageFile> files_;
  const int64_t classes_;
};

bool IsImageName(const fs::path& name) {
  const std::string extension = absl::AsciiStrToLower(name.extension().string());
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

// The names in a folder that `wanted` accepts, in byte order; none that begins with a dot.
template <typename Wanted>
absl::StatusOr<std::vector<std::string>> Names(const fs::path& folder, Wanted wanted) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::string name = entries->path().filename().string();
    if (name[0] != '.' && wanted(*entries)) names.push_back(std::move(name));
  }
  if (error) return ErrnoStatus(error.value(), absl::StrCat("list '", folder.string(), "'"));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::unique_ptr<Dataset>> Create(const Options& options, Split split) {
  absl::StatusOr<std::unique_ptr<Dataset>> dataset =
      OpenImageFolder(options.String("root"), options.String(split == Split::kTrain ? "train_split" : "eval_split"));
  if (!dataset.ok()) return Annotate(dataset.status(), options.Where("root"));
  return dataset;
}

// No option changes results by itself: the fingerprint says what the images are.
const bool registered = DatasetRegistry::Get().Register(
    {{"image_folder",
      "JPEG and PNG images in one folder a class: ROOT/SPLIT/CLASS/*.{jpg,jpeg,png}, as ImageNet is unpacked.",
      Schema{{Option::Path("root", "Folder that holds the folders of both splits.").NoEffectOnResult(),
              Option::String("train_split", "Folder of the images for calibration and fit.")
                  .Default("train")
                  .NoEffectOnResult(),
              Option::String("eval_split", "Folder of the images for evaluation.").Default("val").NoEffectOnResult()}}},
     Create});

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenImageFolder(const std::string& root, const std::string& split) {
  const fs::path folder = fs::path(root) / split;
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat("no folder '", folder.string(), "'; ", kLayout, " in '", root, "'"));
  }
  QWT_ASSIGN_OR_RETURN(const std::vector<std::string> classes, Names(folder, [](const fs::directory_entry& entry) {
                         std::error_code ignored;
                         return entry.is_directory(ignored);
                       }));
  if (classes.empty()) {
    return absl::NotFoundError(absl::StrCat("folder '", folder.string(), "' has no class folders; ", kLayout));
  }
  std::vector<ImageFile> files;
  for (size_t label = 0; label < classes.size(); ++label) {
    const fs::path class_folder = folder / classes[label];
    QWT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         Names(class_folder, [](const fs::directory_entry& entry) {
                           std::error_code ignored;
                           return IsImageName(entry.path()) && !entry.is_directory(ignored);
                         }));
    if (names.empty()) {
      return absl::NotFoundError(absl::StrCat("class folder '", class_folder.string(), "' has no images; ", kLayout));
    }
    for (const std::string& name : names) {
      files.push_back({(fs::path(split) / classes[label] / name).string(), static_cast<int64_t>(label)});
    }
  }
  return std::unique_ptr<Dataset>(std::make_unique<ImageFolder>(root, std::move(files), classes.size()));
}

}  // namespace qwt
