#include "data/datasets/image_folder/list_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

absl::StatusOr<Folder> OpenFolder(const std::string& path) {
  Folder folder(opendir(path.c_str()));
  if (folder == nullptr) return ErrnoStatus(errno, absl::StrCat("list '", path, "'"));
  return folder;
}

// The file system mostly tells what an entry is along with its name.
bool IsFolder(DIR* folder, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN && entry.d_type != DT_LNK) return entry.d_type == DT_DIR;
  struct stat info;
  return fstatat(dirfd(folder), entry.d_name, &info, 0) == 0 && S_ISDIR(info.st_mode);
}

// Names of the entries that `wanted` accepts, in byte order; none that begins with a dot.
template <typename Wanted>
absl::StatusOr<std::vector<std::string>> Names(DIR* folder, const std::string& path, Wanted wanted) {
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.' && wanted(*entry)) names.push_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) return ErrnoStatus(errno, absl::StrCat("list '", path, "'"));
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status AddImages(const std::string& path, const std::string& prefix, int64_t label, ImageIndexBuilder* images) {
  QWT_ASSIGN_OR_RETURN(const Folder folder, OpenFolder(path));
  QWT_ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(folder.get(), path, [&](const dirent& entry) {
                         return IsImageName(entry.d_name) && !IsFolder(folder.get(), entry);
                       }));
  for (const std::string& name : names) {
    struct stat info;
    const bool there = fstatat(dirfd(folder.get()), name.c_str(), &info, 0) == 0;
    images->Add(absl::StrCat(prefix, name), there ? info.st_size : 0, label);
  }
  return absl::OkStatus();
}

}  // namespace

bool IsImageName(absl::string_view name) {
  return !absl::StartsWith(name, ".") &&
         (absl::EndsWithIgnoreCase(name, ".jpg") || absl::EndsWithIgnoreCase(name, ".jpeg") ||
          absl::EndsWithIgnoreCase(name, ".png"));
}

absl::StatusOr<std::vector<std::string>> ClassFolders(const std::string& path) {
  QWT_ASSIGN_OR_RETURN(const Folder folder, OpenFolder(path));
  return Names(folder.get(), path, [&](const dirent& entry) { return IsFolder(folder.get(), entry); });
}

absl::StatusOr<Listing> ListFolder(const std::string& split_folder, const std::vector<std::string>& classes) {
  Listing listing{.classes = classes};
  if (classes.empty()) QWT_RETURN_IF_ERROR(AddImages(split_folder, "", 0, &listing.images));
  for (size_t label = 0; label < classes.size(); ++label) {
    const std::string folder = absl::StrCat(split_folder, "/", classes[label]);
    const int64_t before = listing.images.size();
    QWT_RETURN_IF_ERROR(AddImages(folder, absl::StrCat(classes[label], "/"), label, &listing.images));
    if (listing.images.size() == before) {
      return absl::NotFoundError(
          absl::StrCat("class folder '", folder, "' has no images; expected is SPLIT/CLASS/*.{jpg,jpeg,png}"));
    }
  }
  return listing;
}

}  // namespace qwt
