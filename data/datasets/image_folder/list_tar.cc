#include "data/datasets/image_folder/list_tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr uint64_t kBlock = 512;

struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;

absl::Status Wrong(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

absl::string_view Compression(absl::string_view bytes) {
  static constexpr std::pair<absl::string_view, absl::string_view> kKinds[] = {{"\x1f\x8b", "gzip"},
                                                                               {"BZh", "bzip2"},
                                                                               {"\xfd"
                                                                                "7zXZ",
                                                                                "xz"},
                                                                               {"\x28\xb5\x2f\xfd", "zstd"}};
  for (const auto& [magic, name] : kKinds) {
    if (absl::StartsWith(bytes, magic)) return name;
  }
  return "";
}

// A regular member or a folder.
struct Member {
  std::string name;  // without "./" before it and "/" behind
  bool folder = false;
  absl::string_view content;  // in the mapped file
};

// Reads a tar from memory, member by member. libarchive hands out pointers into the memory it was given, which tell
// where a member lies; it looks at no other page than those of the headers.
class TarReader {
 public:
  TarReader(absl::string_view bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {}

  absl::Status Open() {
    if (const absl::string_view kind = Compression(bytes_); !kind.empty()) {
      return Wrong(path_, absl::StrCat("compressed with ", kind,
                                       "; images are read at their places in the tar, so it must be a plain one: "
                                       "uncompress it once"));
    }
    archive_.reset(archive_read_new());
    if (archive_ == nullptr || archive_read_support_format_tar(archive_.get()) != ARCHIVE_OK) {
      return absl::ResourceExhaustedError("cannot start the reader of tar files");
    }
    if (archive_read_open_memory(archive_.get(), bytes_.data(), bytes_.size()) != ARCHIVE_OK) return Failed();
    return absl::OkStatus();
  }

  // False at the end.
  absl::StatusOr<bool> Next(Member* member) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(archive_.get(), &entry);
    if (result == ARCHIVE_EOF) return CheckEnd();
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return Failed();
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr) name = archive_entry_pathname_utf8(entry);
    if (name == nullptr) return Wrong(path_, absl::StrCat("a member after '", last_, "' has no name"));
    last_ = name;
    absl::string_view stripped = last_;
    while (absl::ConsumePrefix(&stripped, "./")) continue;
    while (absl::ConsumeSuffix(&stripped, "/")) continue;
    *member = {std::string(stripped), archive_entry_filetype(entry) == AE_IFDIR, {}};
    if (member->folder) return true;
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
      return Wrong(path_, absl::StrCat("member '", last_,
                                       "' is a link or a device; make the tar with --dereference --hard-dereference"));
    }
    if (archive_entry_sparse_count(entry) > 0) return Sparse();
    QWT_ASSIGN_OR_RETURN(member->content, Content(archive_entry_size(entry)));
    return true;
  }

 private:
  absl::StatusOr<absl::string_view> Content(int64_t size) {
    if (size == 0) return absl::string_view();
    const void* data = nullptr;
    size_t found = 0;
    la_int64_t place = 0;
    const int result = archive_read_data_block(archive_.get(), &data, &found, &place);
    if (result != ARCHIVE_OK && result != ARCHIVE_EOF && result != ARCHIVE_WARN) found = 0;
    if (place != 0) return Sparse();  // a map of holes that is damaged is not counted
    if (result == ARCHIVE_EOF || found < static_cast<uint64_t>(size)) {
      return Wrong(path_, absl::StrCat("cut off in member '", last_, "', which has ", size, " bytes, ", found,
                                       " of them in the file"));
    }
    const absl::string_view content(static_cast<const char*>(data), size);
    if (std::less<>()(content.data(), bytes_.data()) || std::greater<>()(content.end(), bytes_.end())) {
      return Wrong(path_,
                   absl::StrCat("member '", last_, "' cannot be read in its place; the tar is damaged near its end"));
    }
    end_ = (content.end() - bytes_.begin() + kBlock - 1) / kBlock * kBlock;
    return content;
  }

  absl::Status Sparse() const {
    return Wrong(path_, absl::StrCat("member '", last_, "' is sparse; make the tar without --sparse"));
  }

  // libarchive takes the end of the file for the end of the tar, so that one cut between two members looks whole.
  absl::StatusOr<bool> CheckEnd() const {
    if (bytes_.size() >= end_ + kBlock &&
        bytes_.substr(bytes_.size() - kBlock).find_first_not_of('\0') == bytes_.npos) {
      return false;
    }
    return Wrong(path_,
                 absl::StrCat("cut off after member '", last_, "': the blocks of zeros that end a tar are missing"));
  }

  absl::Status Failed() const {
    const char* error = archive_error_string(archive_.get());
    return Wrong(path_, absl::StrCat(last_.empty() ? "no tar" : absl::StrCat("damaged after member '", last_, "'"),
                                     ": ", error != nullptr ? error : "cannot be read"));
  }

  const absl::string_view bytes_;
  const std::string path_;
  Archive archive_;
  std::string last_;  // the name of the last member, for messages
  uint64_t end_ = 0;  // of its content, in whole blocks
};

// Sorts members into classes.
class Collector {
 public:
  Collector(const MappedFile& file, const std::string& path) : file_(file), path_(path) {}

  absl::Status ReadTar(absl::string_view bytes, const std::string& path, absl::string_view class_name) {
    TarReader reader(bytes, path);
    QWT_RETURN_IF_ERROR(reader.Open());
    const int64_t before = images_.size();
    Member member;
    while (true) {
      QWT_ASSIGN_OR_RETURN(const bool more, reader.Next(&member));
      if (!more) break;
      QWT_RETURN_IF_ERROR(Take(member, class_name));
    }
    if (!class_name.empty() && images_.size() == before) return Wrong(path, "no images in it");
    return absl::OkStatus();
  }

  absl::StatusOr<Listing> Finish(bool flat) {
    if (images_.size() == 0) return Wrong(path_, "no images in it; expected are members CLASS/*.{jpg,jpeg,png}");
    if (folders_.size() == 1 && (flat || folders_.count("") > 0)) return Flat();
    QWT_ASSIGN_OR_RETURN(const std::string parent, Parent());
    for (const std::string& folder : empty_folders_) {
      if (ParentOf(folder) == parent && folders_.count(folder) == 0 && !Below(folder)) {
        return Wrong(path_, absl::StrCat("class folder '", folder, "' has no images"));
      }
    }
    Listing listing;
    std::vector<int64_t> labels(folders_.size());
    for (const auto& [folder, number] : folders_) {  // in byte order
      labels[number] = listing.classes.size();
      listing.classes.push_back(parent.empty() ? folder : folder.substr(parent.size() + 1));
    }
    for (int64_t i = 0; i < images_.size(); ++i) images_.SetLabel(i, labels[images_[i].label]);
    listing.images = std::move(images_);
    return Sorted(std::move(listing));
  }

 private:
  static std::string ParentOf(absl::string_view path) {
    const size_t slash = path.rfind('/');
    return slash == path.npos ? "" : std::string(path.substr(0, slash));
  }

  absl::Status Take(const Member& member, absl::string_view class_name) {
    if (absl::StartsWith(member.name, ".") || absl::StrContains(member.name, "/.")) return absl::OkStatus();
    if (member.folder) {
      if (class_name.empty() && !member.name.empty()) empty_folders_.push_back(member.name);
      return absl::OkStatus();
    }
    const absl::string_view base = absl::string_view(member.name).substr(member.name.rfind('/') + 1);
    if (class_name.empty() && absl::EndsWith(base, ".tar")) {
      const std::string name = member.name.substr(0, member.name.size() - 4);
      return ReadTar(member.content, absl::StrCat(path_, ": ", member.name), name);
    }
    if (!IsImageName(base)) return absl::OkStatus();
    const std::string folder = class_name.empty() ? ParentOf(member.name) : std::string(class_name);
    const int64_t number = folders_.try_emplace(folder, folders_.size()).first->second;
    images_.Add(absl::StrCat(folder, folder.empty() ? "" : "/", base), member.content.size(), number,
                member.content.empty() ? 0 : member.content.data() - file_.data());
    return absl::OkStatus();
  }

  // The folder that holds all class folders.
  absl::StatusOr<std::string> Parent() const {
    const std::string& last = folders_.rbegin()->first;
    const std::string parent = ParentOf(last);
    for (const auto& [folder, number] : folders_) {
      if (!folder.empty() && ParentOf(folder) == parent) continue;
      return Wrong(path_, absl::StrCat("images lie in '", folder, "' and in '", last,
                                       "'; expected are class folders side by side: CLASS/*.{jpg,jpeg,png}"));
    }
    return parent;
  }

  bool Below(const std::string& folder) const {  // images lie deeper in this folder
    const auto next = folders_.lower_bound(folder + "/");
    return next != folders_.end() && absl::StartsWith(next->first, folder + "/");
  }

  absl::StatusOr<Listing> Flat() {
    for (int64_t i = 0; i < images_.size(); ++i) images_.SetLabel(i, 0);
    return Sorted({.images = std::move(images_)});
  }

  absl::StatusOr<Listing> Sorted(Listing listing) const {
    listing.images.Sort();
    for (int64_t i = 1; i < listing.images.size(); ++i) {
      if (listing.images[i].path == listing.images[i - 1].path) {
        return Wrong(path_, absl::StrCat("image '", listing.images[i].path, "' stands in it twice"));
      }
    }
    return listing;
  }

  const MappedFile& file_;
  const std::string path_;
  ImageIndexBuilder images_;                // labels are numbers of folders
  std::map<std::string, int64_t> folders_;  // with images -> number in order of appearance
  std::vector<std::string> empty_folders_;  // that have a member of their own; perhaps not empty
};

}  // namespace

absl::StatusOr<Listing> ListTar(const MappedFile& file, const std::string& path, bool flat) {
  // Headers lie as far apart as images are large: what comes after one is not worth reading ahead.
  if (file.size() > 0) madvise(file.data(), file.size(), MADV_RANDOM);
  Collector collector(file, path);
  QWT_RETURN_IF_ERROR(collector.ReadTar(file.bytes(), path, ""));
  return collector.Finish(flat);
}

}  // namespace qwt
