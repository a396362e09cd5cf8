#include "models/checkpoints/zip_writer.h"

#include <libdeflate.h>

#include "absl/strings/str_cat.h"

namespace qwt {

std::string Number(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += i < 8 ? static_cast<char>(value >> (8 * i)) : 0;
  return text;
}

std::string Deflate(absl::string_view content) {
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
  std::string out(libdeflate_deflate_compress_bound(compressor, content.size()), '\0');
  out.resize(libdeflate_deflate_compress(compressor, content.data(), content.size(), out.data(), out.size()));
  libdeflate_free_compressor(compressor);
  return out;
}

std::string MakeZip(const std::vector<ZipEntry>& entries, const ZipOptions& options) {
  std::string file, directory;
  for (const ZipEntry& entry : entries) {
    const uint64_t header_offset = file.size();
    const std::string packed = entry.deflate ? Deflate(entry.content) : entry.content;
    const uint32_t crc = options.crc32 ? libdeflate_crc32(0, entry.content.data(), entry.content.size()) : 0;
    const std::string wide =
        entry.zip64 ? Number(1, 2) + Number(16, 2) + Number(entry.content.size(), 8) + Number(packed.size(), 8) : "";
    const std::string sizes =
        entry.zip64 ? Number(UINT64_MAX, 8) : Number(packed.size(), 4) + Number(entry.content.size(), 4);
    // Version, flags, method, time and date.
    const std::string kind =
        Number(20, 2) + Number(entry.descriptor ? 8 : 0, 2) + Number(entry.deflate ? 8 : 0, 2) + Number(0, 4);
    const std::string lengths = Number(entry.name.size(), 2) + Number(wide.size(), 2);
    file += Number(0x04034b50, 4) + kind + (entry.descriptor ? Number(0, 12) : Number(crc, 4) + sizes) + lengths +
            entry.name + wide + packed;
    if (entry.descriptor) file += Number(0x08074b50, 4) + Number(crc, 4) + sizes;
    directory += Number(0x02014b50, 4) + Number(20, 2) + kind + Number(crc, 4) + sizes + lengths + Number(0, 10) +
                 Number(header_offset, 4) + entry.name + wide;
  }
  std::string count = Number(entries.size(), 2), place = Number(directory.size(), 4) + Number(file.size(), 4);
  const uint64_t end = file.size() + directory.size();
  std::string zip64_end;
  if (options.zip64_end) {
    zip64_end = Number(0x06064b50, 4) + Number(44, 8) + Number(45, 2) + Number(45, 2) + Number(0, 8) +
                Number(entries.size(), 8) + Number(entries.size(), 8) + Number(directory.size(), 8) +
                Number(file.size(), 8) + Number(0x07064b50, 4) + Number(0, 4) + Number(end, 8) + Number(1, 4);
    count = Number(UINT64_MAX, 2);
    place = Number(UINT64_MAX, 8);
  }
  return absl::StrCat(file, directory, zip64_end, Number(0x06054b50, 4), Number(0, 4), count, count, place,
                      Number(options.comment.size(), 2), options.comment);
}

}  // namespace qwt
