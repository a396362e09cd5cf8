#include "data/datasets/image_folder/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>

#include "core/base/log.h"

namespace qwt {
namespace {

la_ssize_t AppendTo(archive*, void* target, const void* data, size_t size) {
  static_cast<std::string*>(target)->append(static_cast<const char*>(data), size);
  return size;
}

void Write(archive* writer, const TarEntry& from) {
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, from.name.c_str());
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_filetype(entry, from.type == TarEntry::kFolder         ? AE_IFDIR
                                    : from.type == TarEntry::kSymbolicLink ? AE_IFLNK
                                                                           : AE_IFREG);
  const bool link = from.type == TarEntry::kSymbolicLink || from.type == TarEntry::kHardLink;
  if (from.type == TarEntry::kSymbolicLink) archive_entry_set_symlink(entry, from.content.c_str());
  if (from.type == TarEntry::kHardLink) archive_entry_set_hardlink(entry, from.content.c_str());
  archive_entry_set_size(entry, link ? 0 : from.content.size());
  if (from.type == TarEntry::kSparse) archive_entry_sparse_add_entry(entry, 0, from.content.size() / 2);
  QWT_CHECK(archive_write_header(writer, entry) >= ARCHIVE_WARN);  // a name that the C locale lacks letters for
  if (!link) archive_write_data(writer, from.content.data(), from.content.size());
  archive_entry_free(entry);
}

}  // namespace

std::string MakeTar(const std::vector<TarEntry>& entries, const std::string& format) {
  std::string bytes;
  archive* writer = archive_write_new();
  QWT_CHECK(archive_write_set_format_by_name(writer, format.c_str()) == ARCHIVE_OK);
  QWT_CHECK(archive_write_open(writer, &bytes, nullptr, AppendTo, nullptr) == ARCHIVE_OK);
  for (const TarEntry& entry : entries) Write(writer, entry);
  QWT_CHECK(archive_write_close(writer) == ARCHIVE_OK);
  archive_write_free(writer);
  return bytes;
}

}  // namespace qwt
