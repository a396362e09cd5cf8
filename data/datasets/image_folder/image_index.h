// Which images a split has: path, size and class of each and, in a tar, its place. One block of bytes, in memory or
// mapped from the file that keeps it: 1.28 million images take about 68 MB.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/mapped_file.h"

namespace qwt {

class ImageIndex {
 public:
  struct Image {
    absl::string_view path;  // below the split's folder, or in the tar
    uint64_t bytes = 0;
    uint64_t offset = 0;  // in the tar
    int64_t label = 0;
  };

  int64_t size() const { return images_; }
  Image operator[](int64_t index) const;
  const std::vector<std::string>& classes() const { return classes_; }  // their names, by number
  absl::string_view bytes() const { return file_->bytes(); }            // what a file of it must hold

  // DataLoss, beginning with `path`: damaged, of another version, or no index at all. FailedPrecondition: made when the
  // fingerprint (64 characters) was another one.
  static absl::StatusOr<ImageIndex> Read(std::shared_ptr<MappedFile> file, absl::string_view fingerprint,
                                         const std::string& path);

 private:
  std::shared_ptr<MappedFile> file_;  // the arrays below lie in it
  int64_t images_ = 0;
  const uint64_t* sizes_ = nullptr;
  const uint64_t* offsets_ = nullptr;
  const uint32_t* path_ends_ = nullptr;
  const uint32_t* labels_ = nullptr;
  const char* paths_ = nullptr;
  std::vector<std::string> classes_;
};

// Collects what an index is made of.
class ImageIndexBuilder {
 public:
  void Add(absl::string_view path, uint64_t bytes, int64_t label, uint64_t offset = 0);
  int64_t size() const { return images_.size(); }
  ImageIndex::Image operator[](int64_t index) const;
  void SetLabel(int64_t index, int64_t label) { images_[index].label = label; }
  void Sort();  // by label, then by path in byte order

  // Labels must be below the number of classes. ResourceExhausted: paths of more than 4 GB in all.
  absl::StatusOr<ImageIndex> Build(const std::vector<std::string>& classes, absl::string_view fingerprint) const;

 private:
  struct Entry {
    uint64_t path_begin, bytes, offset;
    uint32_t path_bytes, label;
  };
  std::string paths_;
  std::vector<Entry> images_;
};

}  // namespace qwt
