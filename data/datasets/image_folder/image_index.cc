#include "data/datasets/image_folder/image_index.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/sha256.h"

namespace qwt {
namespace {

constexpr absl::string_view kMagic = "QWTIMAGE";
constexpr uint64_t kVersion = 1;
constexpr size_t kHashBytes = 64;

// Little-endian, as the arrays are. After it: sizes and offsets (uint64 [images]), ends of paths and labels (uint32
// [images]), ends of class names (uint32 [classes]), class names, paths.
struct Header {
  char magic[8];
  uint64_t version;
  char checksum[kHashBytes];  // SHA-256 of all that follows
  char fingerprint[kHashBytes];
  uint64_t images, classes, class_bytes, path_bytes;
};
constexpr size_t kChecked = offsetof(Header, fingerprint);  // from here on the checksum counts

template <typename T>
void Append(const std::vector<T>& values, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Never 0: a file that is shorter than its header claims is damaged, whatever the sum wraps around to.
bool HasSize(const Header& header, uint64_t size) {
  const uint64_t rest = size - sizeof(Header);
  if (header.images > rest / 24 || header.classes > rest / 4) return false;
  const uint64_t arrays = header.images * 24 + header.classes * 4;
  if (arrays > rest || header.class_bytes > rest - arrays) return false;
  return header.path_bytes == rest - arrays - header.class_bytes;
}

bool Ascending(const uint32_t* ends, uint64_t count, uint64_t last) {
  for (uint64_t i = 0; i < count; ++i) {
    if (ends[i] > last || (i > 0 && ends[i] < ends[i - 1])) return false;
  }
  return true;
}

}  // namespace

ImageIndex::Image ImageIndex::operator[](int64_t index) const {
  const uint32_t begin = index == 0 ? 0 : path_ends_[index - 1];
  return {{paths_ + begin, path_ends_[index] - begin}, sizes_[index], offsets_[index], labels_[index]};
}

absl::StatusOr<ImageIndex> ImageIndex::Read(std::shared_ptr<MappedFile> file, absl::string_view fingerprint,
                                            const std::string& path) {
  const auto damaged = [&](absl::string_view what) { return absl::DataLossError(absl::StrCat(path, ": ", what)); };
  Header header;
  const absl::string_view bytes = file->bytes();
  if (bytes.size() < sizeof header || bytes.substr(0, kMagic.size()) != kMagic) return damaged("no index of images");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.version != kVersion) return damaged(absl::StrCat("an index of images of version ", header.version));
  if (!HasSize(header, bytes.size())) return damaged("a damaged index of images: its size is wrong");
  if (Sha256(bytes.substr(kChecked)) != absl::string_view(header.checksum, kHashBytes)) {
    return damaged("a damaged index of images: its checksum is wrong");
  }
  if (fingerprint != absl::string_view(header.fingerprint, kHashBytes)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": the images' folders have changed since"));
  }
  ImageIndex index;
  index.images_ = header.images;
  index.sizes_ = reinterpret_cast<const uint64_t*>(bytes.data() + sizeof header);
  index.offsets_ = index.sizes_ + header.images;
  index.path_ends_ = reinterpret_cast<const uint32_t*>(index.offsets_ + header.images);
  index.labels_ = index.path_ends_ + header.images;
  const uint32_t* class_ends = index.labels_ + header.images;
  const char* class_names = reinterpret_cast<const char*>(class_ends + header.classes);
  index.paths_ = class_names + header.class_bytes;
  if (!Ascending(index.path_ends_, header.images, header.path_bytes) ||
      !Ascending(class_ends, header.classes, header.class_bytes) ||
      std::any_of(index.labels_, index.labels_ + header.images, [&](uint32_t l) { return l >= header.classes; })) {
    return damaged("a damaged index of images: a number in it is too large");
  }
  for (uint64_t i = 0; i < header.classes; ++i) {
    const uint32_t begin = i == 0 ? 0 : class_ends[i - 1];
    index.classes_.emplace_back(class_names + begin, class_ends[i] - begin);
  }
  index.file_ = std::move(file);
  return index;
}

void ImageIndexBuilder::Add(absl::string_view path, uint64_t bytes, int64_t label, uint64_t offset) {
  images_.push_back({paths_.size(), bytes, offset, static_cast<uint32_t>(path.size()), static_cast<uint32_t>(label)});
  paths_.append(path.data(), path.size());
}

ImageIndex::Image ImageIndexBuilder::operator[](int64_t index) const {
  const Entry& entry = images_[index];
  return {absl::string_view(paths_).substr(entry.path_begin, entry.path_bytes), entry.bytes, entry.offset, entry.label};
}

void ImageIndexBuilder::Sort() {
  const auto key = [this](const Entry& entry) {
    return std::pair(entry.label, absl::string_view(paths_).substr(entry.path_begin, entry.path_bytes));
  };
  std::sort(images_.begin(), images_.end(), [&](const Entry& a, const Entry& b) { return key(a) < key(b); });
}

absl::StatusOr<ImageIndex> ImageIndexBuilder::Build(const std::vector<std::string>& classes,
                                                    absl::string_view fingerprint) const {
  if (paths_.size() > std::numeric_limits<uint32_t>::max()) {
    return absl::ResourceExhaustedError(absl::StrCat("the paths of ", images_.size(), " images are more than 4 GB"));
  }
  QWT_CHECK(fingerprint.size() == kHashBytes);
  std::vector<uint64_t> sizes, offsets;
  std::vector<uint32_t> path_ends, labels, class_ends;
  std::string paths, class_names;
  for (const Entry& entry : images_) {
    sizes.push_back(entry.bytes);
    offsets.push_back(entry.offset);
    paths.append(paths_, entry.path_begin, entry.path_bytes);
    path_ends.push_back(paths.size());
    QWT_CHECK(entry.label < classes.size());
    labels.push_back(entry.label);
  }
  for (const std::string& name : classes) class_ends.push_back((class_names += name).size());
  Header header = {};
  header.version = kVersion;
  header.images = images_.size();
  header.classes = classes.size();
  header.class_bytes = class_names.size();
  header.path_bytes = paths.size();
  std::memcpy(header.magic, kMagic.data(), sizeof header.magic);
  std::memcpy(header.fingerprint, fingerprint.data(), kHashBytes);
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  Append(sizes, &bytes);
  Append(offsets, &bytes);
  Append(path_ends, &bytes);
  Append(labels, &bytes);
  Append(class_ends, &bytes);
  bytes += class_names;
  bytes += paths;
  const std::string checksum = Sha256(absl::string_view(bytes).substr(kChecked));
  bytes.replace(offsetof(Header, checksum), kHashBytes, checksum);
  return ImageIndex::Read(MappedFile::FromBytes(bytes), fingerprint, "the new index");
}

}  // namespace qwt
