#include "data/datasets/image_folder/image_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "data/datasets/image_folder/decode.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~OpenFile() {
    if (file_ >= 0) close(file_);
  }
  OpenFile(const OpenFile&) = delete;
  int get() const { return file_; }

 private:
  const int file_;
};

// An error number as a status; of a link also where to.
absl::Status FileError(int error_number, const char* what, const std::string& path) {
  std::error_code no_link;
  const fs::path target = fs::read_symlink(path, no_link);
  return ErrnoStatus(error_number, absl::StrCat(what, " '", path, "'",
                                                no_link ? "" : absl::StrCat(", a link to '", target.string(), "'")));
}

absl::Status Changed(const std::string& path, uint64_t before, uint64_t now) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": had ", before, " bytes when it was listed and has ", now,
                                                    " now: it changed meanwhile; start again"));
}

// [offset, offset + bytes) of a file.
absl::StatusOr<std::string> ReadPart(int file, uint64_t offset, uint64_t bytes, const std::string& path) {
  std::string content(bytes, '\0');
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t count = pread(file, content.data() + done, bytes - done, offset + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(errno, "read", path);
    if (count == 0) return Changed(path, bytes, done);
    done += count;
  }
  return content;
}

class ImageFolder : public Dataset {
 public:
  ImageFolder(OpenedSplit split, std::string name, bool fast_decode)
      : split_(std::move(split)),
        name_(std::move(name)),
        fast_decode_(fast_decode),
        tar_(split_.tar ? std::make_unique<OpenFile>(split_.path) : nullptr),
        kept_(split_.unsaved.empty()) {}

  int64_t size() const override { return split_.index->size(); }
  int64_t classes() const override { return split_.index->classes().size(); }
  std::string NameOf(int64_t index) const override {
    return absl::StrCat(split_.path, split_.tar ? ": " : "/", (*split_.index)[index].path);
  }

  absl::StatusOr<Example> Get(int64_t index) const override { return Decode(index, 0); }
  absl::StatusOr<Example> GetScaled(int64_t index, int64_t least_side) const override {
    return Decode(index, fast_decode_ ? least_side : 0);
  }

  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t> indices) const override {
    std::string content = "image_folder: label, size, time of last change, path of each image\n";
    if (fast_decode_) absl::StrAppend(&content, "JPEGs scaled while decoding\n");
    if (split_.tar) absl::StrAppend(&content, "tar ", split_.tar_bytes, " ", split_.tar_changed_ns, "\n");
    for (int64_t index : indices) {
      const ImageIndex::Image image = (*split_.index)[index];
      absl::StrAppend(&content, image.label, " ");
      if (split_.tar) {
        absl::StrAppend(&content, image.bytes, " ", image.offset, " ", image.path);
      } else {
        struct stat info;
        const std::string path = NameOf(index);
        if (stat(path.c_str(), &info) != 0) return FileError(errno, "stat", path);
        NoteSize(index, info.st_size);
        absl::StrAppend(&content, info.st_size, " ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, " ", name_, "/",
                        image.path);
      }
      content.push_back('\0');  // the path is last and ends with a zero byte: no name can look like another entry
    }
    return Sha256(content);
  }

 private:
  absl::StatusOr<Example> Decode(int64_t index, int64_t least_side) const {
    if (!kept_.exchange(true)) SaveIndices(split_);
    QWT_ASSIGN_OR_RETURN(const std::string bytes, split_.tar ? ReadMember(index) : ReadImage(index));
    absl::StatusOr<at::Tensor> pixels = DecodeImage(bytes, least_side);
    if (!pixels.ok()) return Annotate(pixels.status(), NameOf(index));
    return Example{*std::move(pixels), (*split_.index)[index].label};
  }

  absl::StatusOr<std::string> ReadImage(int64_t index) const {
    const std::string path = NameOf(index);
    const OpenFile file(path);
    struct stat info;
    if (file.get() < 0 || fstat(file.get(), &info) != 0) return FileError(errno, "read", path);
    if (!S_ISREG(info.st_mode)) return absl::DataLossError(absl::StrCat(path, ": not a regular file"));
    const uint64_t expected = SizeOf(index), size = info.st_size;
    if (size != expected) return Changed(path, expected, size);
    return ReadPart(file.get(), 0, size, path);
  }

  absl::StatusOr<std::string> ReadMember(int64_t index) const {
    struct stat info;
    if (tar_->get() < 0 || fstat(tar_->get(), &info) != 0) return FileError(errno, "read", split_.path);
    const uint64_t size = info.st_size;
    if (size != split_.tar_bytes) return Changed(split_.path, split_.tar_bytes, size);
    const ImageIndex::Image image = (*split_.index)[index];
    return ReadPart(tar_->get(), image.offset, image.bytes, NameOf(index));
  }

  // The index may be of an earlier start, and a file overwritten in place shows only in itself: what was seen when it
  // was fingerprinted is what must be read.
  void NoteSize(int64_t index, uint64_t bytes) const {
    const std::lock_guard lock(mutex_);
    if (bytes != (*split_.index)[index].bytes || sizes_.count(index) > 0) sizes_[index] = bytes;
  }
  uint64_t SizeOf(int64_t index) const {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(index);
    return found != sizes_.end() ? found->second : (*split_.index)[index].bytes;
  }

  const OpenedSplit split_;
  const std::string name_;  // of the split
  const bool fast_decode_;
  const std::unique_ptr<const OpenFile> tar_;
  mutable std::atomic<bool> kept_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<int64_t, uint64_t> sizes_;  // that are not as in the index
};

absl::StatusOr<std::unique_ptr<Dataset>> Create(const Options& options, const DatasetContext& context) {
  const std::string train = options.String("train_split"), eval = options.String("eval_split");
  SplitOptions split = {.root = options.String("root"),
                        .split = context.split == Split::kTrain ? train : eval,
                        .cache_folder = context.cache_folder};
  if (split.split == eval) {
    split.class_split = train == eval ? "" : train;
    split.ground_truth = options.String("ground_truth");
    split.ground_truth_classes = options.String("ground_truth_classes");
  }
  if (options.String("ground_truth").empty() && !options.String("ground_truth_classes").empty()) {
    return absl::InvalidArgumentError(absl::StrCat(options.Where("ground_truth_classes"),
                                                   ": of no use without ground_truth, whose numbers it explains"));
  }
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = OpenImageFolder(split, options.Bool("fast_decode"));
  if (!dataset.ok()) return Annotate(dataset.status(), options.Where("root"));
  return dataset;
}

// The fingerprint says what the images and their labels are; the other options change results only through it.
const bool registered = DatasetRegistry::Get().Register(
    {{"image_folder",
      "JPEG and PNG images in one folder a class, as ImageNet is unpacked: ROOT/SPLIT/CLASS/*.{jpg,jpeg,png}; or in "
      "one "
      "folder with a list of labels; or in a tar (docs/images.md).",
      Schema{{Option::Path("root", "Folder that holds both splits, each a folder or a tar.").NoEffectOnResult(),
              Option::String("train_split", "Folder or tar of the images for calibration and fit.")
                  .Default("train")
                  .NoEffectOnResult(),
              Option::String("eval_split", "Folder or tar of the images for evaluation.")
                  .Default("val")
                  .NoEffectOnResult(),
              Option::Path(
                  "ground_truth",
                  "List of the labels of evaluation images in no class folders: Kaggle's LOC_val_solution.csv, Caffe's "
                  "val.txt, or a WordNet id or number a line.")
                  .Default("")
                  .NoEffectOnResult(),
              Option::Path("ground_truth_classes",
                           "Where the numbers in ground_truth have an order of their own and begin with 1, as the "
                           "devkit's: file whose line k begins with the WordNet id of number k.")
                  .Default("")
                  .NoEffectOnResult(),
              Option::Bool("fast_decode",
                           "Decode JPEGs at 1/2, 1/4 or 1/8 of their size where the transform needs no more: faster, "
                           "with slightly other pixels.")
                  .Default("false")}}},
     Create});

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenImageFolder(const SplitOptions& options, bool fast_decode) {
  QWT_ASSIGN_OR_RETURN(OpenedSplit split, OpenSplit(options));
  return std::unique_ptr<Dataset>(std::make_unique<ImageFolder>(std::move(split), options.split, fast_decode));
}

}  // namespace qwt
