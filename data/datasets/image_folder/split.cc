#include "data/datasets/image_folder/split.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "data/datasets/image_folder/ground_truth.h"
#include "data/datasets/image_folder/list_folder.h"
#include "data/datasets/image_folder/list_tar.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

// Times of last change may be as coarse as this. A folder that changed so lately may change again without its time.
constexpr int64_t kSettledNs = 2'000'000'000;

constexpr char kLayout[] = "expected is SPLIT/CLASS/*.{jpg,jpeg,png}";

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec; }

// Where the split is, without its images.
struct Found {
  OpenedSplit split;
  std::vector<std::string> classes;  // folders of a split that is a folder
  std::string state;                 // changes when images are added, removed or renamed
  int64_t changed_ns = 0;            // last
};

absl::StatusOr<Found> FindTar(const std::string& path, const struct stat& info) {
  Found found;
  found.split = {.path = path,
                 .tar = true,
                 .tar_bytes = static_cast<uint64_t>(info.st_size),
                 .tar_changed_ns = Nanoseconds(info.st_mtim)};
  found.changed_ns = found.split.tar_changed_ns;
  found.state = absl::StrCat("tar ", path, " ", info.st_size, " ", found.split.tar_changed_ns, "\n");
  return found;
}

// A folder's time of last change is new when a name in it comes, goes or changes.
absl::StatusOr<Found> FindFolder(const std::string& path, const struct stat& info) {
  Found found;
  found.split.path = path;
  found.changed_ns = Nanoseconds(info.st_mtim);
  found.state = absl::StrCat("folder ", path, " ", found.changed_ns, "\n");
  QWT_ASSIGN_OR_RETURN(found.classes, ClassFolders(path));
  for (const std::string& name : found.classes) {
    struct stat folder;
    const std::string class_folder = absl::StrCat(path, "/", name);
    if (stat(class_folder.c_str(), &folder) != 0) return ErrnoStatus(errno, absl::StrCat("list '", class_folder, "'"));
    absl::StrAppend(&found.state, name, "/ ", Nanoseconds(folder.st_mtim), "\n");  // no name holds a slash
    found.changed_ns = std::max(found.changed_ns, Nanoseconds(folder.st_mtim));
  }
  return found;
}

absl::StatusOr<Found> Find(const std::string& root, const std::string& split) {
  const std::string path = (fs::path(root) / split).string(), tar = path + ".tar";
  struct stat info;
  if (stat(path.c_str(), &info) == 0) {
    return S_ISDIR(info.st_mode) ? FindFolder(path, info) : FindTar(path, info);
  }
  if (errno == EACCES) return ErrnoStatus(errno, absl::StrCat("list '", path, "'"));
  if (stat(tar.c_str(), &info) == 0) return FindTar(tar, info);
  return absl::NotFoundError(
      absl::StrCat("no folder '", path, "' and no tar '", tar, "'; ", kLayout, " in '", root, "'"));
}

absl::StatusOr<Listing> List(const Found& found, bool flat) {
  if (!found.split.tar) return ListFolder(found.split.path, found.classes);
  QWT_ASSIGN_OR_RETURN(const std::shared_ptr<MappedFile> file, MappedFile::Open(found.split.path));
  return ListTar(*file, found.split.path, flat);
}

absl::Status NoGroundTruth(const Found& found, int64_t images) {
  if (images == 0) {
    return absl::NotFoundError(absl::StrCat("folder '", found.split.path, "' has no class folders; ", kLayout));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", found.split.path, "' has ", images,
      " images in no class folders: only the images for evaluation may be so, with ground_truth naming the "
      "list of their labels; else ",
      kLayout));
}

absl::Status NeedlessGroundTruth(const Found& found, const SplitOptions& options) {
  return absl::InvalidArgumentError(absl::StrCat("'", found.split.path, "' has class folders: ground_truth ('",
                                                 options.ground_truth, "') is of no use; leave it out"));
}

// Everything that labels come from, beside the images' names.
struct LabelSources {
  std::string list, order;           // content of the files
  std::vector<std::string> classes;  // of the training images
};

// The index in the file, or null (and why, in the log) where it is of no use.
std::shared_ptr<const ImageIndex> ReadKept(const std::string& path, const std::string& fingerprint) {
  absl::StatusOr<std::shared_ptr<MappedFile>> file = MappedFile::Open(path);
  if (absl::IsNotFound(file.status())) return nullptr;
  const absl::StatusOr<ImageIndex> index =
      file.ok() ? ImageIndex::Read(*std::move(file), fingerprint, path) : file.status();
  if (index.ok()) return std::make_shared<const ImageIndex>(*index);
  QWT_LOG(INFO) << "index of images is made anew: " << index.status().message();
  return nullptr;
}

absl::StatusOr<ImageIndex> MakeIndex(const Found& found, const SplitOptions& options, const LabelSources& sources,
                                     const std::string& fingerprint) {
  QWT_ASSIGN_OR_RETURN(Listing listing, List(found, !options.ground_truth.empty()));
  const bool labelled = !options.ground_truth.empty();
  if (!listing.classes.empty() && labelled) return NeedlessGroundTruth(found, options);
  if (!listing.classes.empty()) return listing.images.Build(listing.classes, fingerprint);
  if (listing.images.size() == 0 || !labelled) return NoGroundTruth(found, listing.images.size());
  QWT_ASSIGN_OR_RETURN(const GroundTruth list, ParseGroundTruth(sources.list, options.ground_truth));
  ClassOrder order;
  if (!options.ground_truth_classes.empty()) {
    QWT_ASSIGN_OR_RETURN(order, ParseClassOrder(sources.order, options.ground_truth_classes));
  }
  QWT_ASSIGN_OR_RETURN(const std::vector<std::string> classes,
                       LabelImages(list, order, sources.classes, found.split.path, &listing.images));
  return listing.images.Build(classes, fingerprint);
}

// The training images' classes; none where they are not there or have no class folders.
absl::StatusOr<std::vector<std::string>> TrainingClasses(const SplitOptions& options, OpenedSplit* opened) {
  if (options.class_split.empty()) return std::vector<std::string>();
  const absl::StatusOr<Found> found = Find(options.root, options.class_split);
  if (absl::IsNotFound(found.status())) return std::vector<std::string>();
  if (!found.ok()) return found.status();
  if (!found->split.tar) return found->classes;
  QWT_ASSIGN_OR_RETURN(
      OpenedSplit tar,
      OpenSplit({.root = options.root, .split = options.class_split, .cache_folder = options.cache_folder}));
  std::move(tar.unsaved.begin(), tar.unsaved.end(), std::back_inserter(opened->unsaved));
  return tar.index->classes();
}

}  // namespace

absl::StatusOr<OpenedSplit> OpenSplit(const SplitOptions& options) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  QWT_ASSIGN_OR_RETURN(Found found, Find(options.root, options.split));
  LabelSources sources;
  std::string what = absl::StrCat("image_folder index\n", found.state);
  if (!options.ground_truth.empty()) {
    if (!found.classes.empty()) return NeedlessGroundTruth(found, options);
    QWT_ASSIGN_OR_RETURN(sources.list, ReadFile(options.ground_truth));
    if (!options.ground_truth_classes.empty()) {
      QWT_ASSIGN_OR_RETURN(sources.order, ReadFile(options.ground_truth_classes));
    }
    QWT_ASSIGN_OR_RETURN(sources.classes, TrainingClasses(options, &found.split));
    absl::StrAppend(&what, "labels ", Sha256(sources.list), " ", Sha256(sources.order), "\n");
    for (const std::string& name : sources.classes) absl::StrAppend(&what, name, "/\n");
  }
  const std::string fingerprint = Sha256(what);
  std::string kept;
  if (!options.cache_folder.empty()) {
    // One file a split, so that an index that has become stale is replaced.
    const std::string name = Sha256(absl::StrCat(found.split.path, "\n", options.ground_truth, "\n",
                                                 options.ground_truth_classes, "\n", options.class_split));
    kept = absl::StrCat(options.cache_folder, "/", name.substr(0, 32), ".images");
    found.split.index = ReadKept(kept, fingerprint);
    if (found.split.index != nullptr) return std::move(found.split);
  }
  QWT_ASSIGN_OR_RETURN(ImageIndex index, MakeIndex(found, options, sources, fingerprint));
  found.split.index = std::make_shared<const ImageIndex>(std::move(index));
  const bool settled = found.changed_ns + kSettledNs < Nanoseconds(now);
  if (!kept.empty() && settled) found.split.unsaved.emplace_back(kept, found.split.index);
  return std::move(found.split);
}

void SaveIndices(const OpenedSplit& split) {
  for (const auto& [path, index] : split.unsaved) {
    std::error_code ignored;
    fs::create_directory(fs::path(path).parent_path(), ignored);  // writing tells better what is wrong
    const absl::Status status = WriteFileAtomically(path, index->bytes());
    if (!status.ok()) QWT_LOG(WARNING) << "index of images is not kept: " << status.message();
  }
}

}  // namespace qwt
