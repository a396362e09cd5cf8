// The layout, from the end of the file (PKWARE's APPNOTE 6.3.10, sections 4.3 to 4.5); all numbers little-endian:
//
//   entry:      local header | name | extra | content | perhaps a data descriptor
//   directory:  central header | name | extra | comment, for each entry
//   end:        perhaps zip64 end record and its locator | end record | comment
//
// The directory is what counts. Local headers must not contradict it; sizes that they leave open (0 with a data
// descriptor, 0xFFFFFFFF with a zip64 extra field) are those of the directory.
#include "models/checkpoints/zip.h"

#include <libdeflate.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "models/checkpoints/little_endian.h"
#include "models/checkpoints/text.h"

namespace qwt {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50, kCentralSignature = 0x02014b50, kEndSignature = 0x06054b50;
constexpr uint32_t kZip64EndSignature = 0x06064b50, kZip64LocatorSignature = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kZip64EndBytes = 56, kZip64LocatorBytes = 20;
constexpr uint64_t kLongestComment = 0xffff;
constexpr uint16_t kEncrypted = 1 << 0 | 1 << 6 | 1 << 13, kDataDescriptor = 1 << 3;
constexpr uint16_t kStored = 0, kDeflated = 8;
constexpr uint16_t kIn64Bits16 = 0xffff;
constexpr uint32_t kIn64Bits32 = 0xffffffff;  // stands for a number that a zip64 field has
constexpr uint16_t kZip64Extra = 1;
constexpr uint64_t kLargestRatio = 1032;  // deflate's densest code: 258 bytes in two bits

struct Directory {
  uint64_t offset, size, entries;
};

// An entry of the directory.
struct Listed {
  std::string name;
  uint16_t flags;
  uint64_t header_offset;  // of the local header
  ZipArchive::Entry entry;
};

absl::Status Damaged(const std::string& path, const std::string& what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

absl::Status BadEntry(const std::string& path, absl::string_view name, const std::string& what) {
  return Damaged(path, absl::StrCat("entry ", QuoteForMessage(name), ": ", what));
}

// Whether `size` bytes at `offset` lie in the first `end` bytes.
bool Within(uint64_t offset, uint64_t size, uint64_t end) { return offset <= end && size <= end - offset; }

bool HasSignature(absl::string_view bytes, uint64_t offset, uint32_t signature) {
  return Within(offset, sizeof(signature), bytes.size()) && LittleEndian<uint32_t>(bytes, offset) == signature;
}

// The end record's offset: the last place with its signature and a comment that reaches the end of the file.
absl::StatusOr<uint64_t> FindEndRecord(const std::string& path, absl::string_view bytes) {
  for (uint64_t comment = 0; comment <= kLongestComment && kEndBytes + comment <= bytes.size(); ++comment) {
    const uint64_t offset = bytes.size() - kEndBytes - comment;
    if (HasSignature(bytes, offset, kEndSignature) && LittleEndian<uint16_t>(bytes, offset + 20) == comment) {
      return offset;
    }
  }
  return Damaged(path, "a zip archive without its end record: the file is cut short");
}

// The directory by the zip64 records whose locator stands at `locator`. `narrow` is what the end record says.
absl::StatusOr<Directory> ReadZip64End(const std::string& path, absl::string_view bytes, uint64_t locator,
                                       const Directory& narrow) {
  const uint64_t record = LittleEndian<uint64_t>(bytes, locator + 8);
  if (!Within(record, kZip64EndBytes, locator) || !HasSignature(bytes, record, kZip64EndSignature) ||
      LittleEndian<uint64_t>(bytes, record + 4) != locator - record - 12) {
    return Damaged(path, absl::StrCat("the zip64 end record is not at ", record, ", where its locator points"));
  }
  if (LittleEndian<uint32_t>(bytes, locator + 4) != 0 || LittleEndian<uint32_t>(bytes, locator + 16) > 1 ||
      LittleEndian<uint32_t>(bytes, record + 16) != 0 || LittleEndian<uint32_t>(bytes, record + 20) != 0) {
    return Damaged(path, "is one part of an archive of several; only whole archives are read");
  }
  const Directory wide = {LittleEndian<uint64_t>(bytes, record + 48), LittleEndian<uint64_t>(bytes, record + 40),
                          LittleEndian<uint64_t>(bytes, record + 32)};
  if ((narrow.offset != kIn64Bits32 && narrow.offset != wide.offset) ||
      (narrow.size != kIn64Bits32 && narrow.size != wide.size) ||
      (narrow.entries != kIn64Bits16 && narrow.entries != wide.entries)) {
    return Damaged(path, "the end record and the zip64 end record differ");
  }
  if (!Within(wide.offset, wide.size, record) || wide.offset + wide.size != record) {
    return Damaged(path, absl::StrCat("the directory's ", wide.size, " bytes at ", wide.offset,
                                      " do not end at the zip64 end record at ", record));
  }
  return wide;
}

absl::StatusOr<Directory> FindDirectory(const std::string& path, absl::string_view bytes) {
  QWT_ASSIGN_OR_RETURN(const uint64_t end, FindEndRecord(path, bytes));
  if (LittleEndian<uint32_t>(bytes, end + 4) != 0 ||
      LittleEndian<uint16_t>(bytes, end + 8) != LittleEndian<uint16_t>(bytes, end + 10)) {
    return Damaged(path, "is one part of an archive of several; only whole archives are read");
  }
  const Directory directory = {LittleEndian<uint32_t>(bytes, end + 16), LittleEndian<uint32_t>(bytes, end + 12),
                               LittleEndian<uint16_t>(bytes, end + 10)};
  if (end >= kZip64LocatorBytes && HasSignature(bytes, end - kZip64LocatorBytes, kZip64LocatorSignature)) {
    return ReadZip64End(path, bytes, end - kZip64LocatorBytes, directory);
  }
  if (!Within(directory.offset, directory.size, end) || directory.offset + directory.size != end) {
    return Damaged(path, absl::StrCat("the directory's ", directory.size, " bytes at ", directory.offset,
                                      " do not end at the end record at ", end));
  }
  return directory;
}

// The content of the zip64 extra field; empty where there is none.
absl::string_view Zip64Extra(absl::string_view extra) {
  while (extra.size() >= 4) {
    const uint64_t size = LittleEndian<uint16_t>(extra, 2);
    if (size > extra.size() - 4) break;
    if (LittleEndian<uint16_t>(extra, 0) == kZip64Extra) return extra.substr(4, size);
    extra.remove_prefix(4 + size);
  }
  return {};
}

// Replaces the numbers that did not fit 32 bits, in the order in which the extra field has them.
absl::Status WidenFromExtra(const std::string& path, absl::string_view extra, Listed* listed) {
  extra = Zip64Extra(extra);
  for (uint64_t* number : {&listed->entry.size, &listed->entry.compressed_size, &listed->header_offset}) {
    if (*number != kIn64Bits32) continue;
    if (extra.size() < 8) {
      return BadEntry(path, listed->name, "has no zip64 field for what does not fit 32 bits");
    }
    *number = LittleEndian<uint64_t>(extra, 0);
    extra.remove_prefix(8);
  }
  return absl::OkStatus();
}

absl::Status CheckListed(const std::string& path, const Listed& listed) {
  const ZipArchive::Entry& entry = listed.entry;
  std::string problem;
  if (listed.flags & kEncrypted) {
    problem = "is encrypted";
  } else if (entry.method != kStored && entry.method != kDeflated) {
    problem = absl::StrCat("has compression method ", entry.method, "; read are 0 (stored) and 8 (deflated)");
  } else if (entry.method == kStored && entry.size != entry.compressed_size) {
    problem = absl::StrCat("is stored as ", entry.compressed_size, " bytes and declares ", entry.size);
  } else if (entry.method == kDeflated && entry.size / kLargestRatio > entry.compressed_size) {
    problem =
        absl::StrCat("declares ", entry.size, " bytes, more than ", entry.compressed_size, " deflated bytes can hold");
  }
  return problem.empty() ? absl::OkStatus() : BadEntry(path, listed.name, problem);
}

// The entry of the central header at *offset, which moves behind it.
absl::StatusOr<Listed> ReadCentralHeader(const std::string& path, absl::string_view directory, uint64_t* offset) {
  const uint64_t at = *offset;
  if (!HasSignature(directory, at, kCentralSignature) || !Within(at, kCentralBytes, directory.size())) {
    return Damaged(path, absl::StrCat("the directory has no entry at its byte ", at));
  }
  const uint64_t name_bytes = LittleEndian<uint16_t>(directory, at + 28);
  const uint64_t extra_bytes = LittleEndian<uint16_t>(directory, at + 30);
  const uint64_t comment_bytes = LittleEndian<uint16_t>(directory, at + 32);
  *offset = at + kCentralBytes + name_bytes + extra_bytes + comment_bytes;
  if (*offset > directory.size()) {
    return Damaged(path, absl::StrCat("the directory's entry at its byte ", at, " ends past the directory"));
  }
  Listed listed;
  listed.name = std::string(directory.substr(at + kCentralBytes, name_bytes));
  listed.flags = LittleEndian<uint16_t>(directory, at + 8);
  listed.header_offset = LittleEndian<uint32_t>(directory, at + 42);
  listed.entry.method = LittleEndian<uint16_t>(directory, at + 10);
  listed.entry.crc32 = LittleEndian<uint32_t>(directory, at + 16);
  listed.entry.compressed_size = LittleEndian<uint32_t>(directory, at + 20);
  listed.entry.size = LittleEndian<uint32_t>(directory, at + 24);
  if (LittleEndian<uint16_t>(directory, at + 34) != 0) {
    return BadEntry(path, listed.name, "is in another part of an archive of several");
  }
  QWT_RETURN_IF_ERROR(WidenFromExtra(path, directory.substr(at + kCentralBytes + name_bytes, extra_bytes), &listed));
  QWT_RETURN_IF_ERROR(CheckListed(path, listed));
  return listed;
}

// Compares the local header with the directory and finds where the content begins.
absl::Status ReadLocalHeader(const std::string& path, absl::string_view bytes, uint64_t end, Listed* listed) {
  const uint64_t at = listed->header_offset;
  ZipArchive::Entry& entry = listed->entry;
  auto bad = [&](const std::string& what) { return BadEntry(path, listed->name, what); };
  if (!Within(at, kLocalBytes, end)) {
    return bad(absl::StrCat("its local header at ", at, " is past the entries' end at ", end));
  }
  if (!HasSignature(bytes, at, kLocalSignature)) return bad(absl::StrCat("has no local header at ", at));
  const uint64_t name_bytes = LittleEndian<uint16_t>(bytes, at + 26);
  const uint64_t head_bytes = kLocalBytes + name_bytes + LittleEndian<uint16_t>(bytes, at + 28);
  if (!Within(at, head_bytes, end) || !Within(at + head_bytes, entry.compressed_size, end)) {
    return bad(absl::StrCat("its ", entry.compressed_size, " bytes end past the entries' end at ", end));
  }
  const absl::string_view name = bytes.substr(at + kLocalBytes, name_bytes);
  if (name != listed->name) return bad(absl::StrCat("its local header names ", QuoteForMessage(name)));
  const uint16_t flags = LittleEndian<uint16_t>(bytes, at + 6);
  if (flags & kEncrypted) return bad("is encrypted");
  if (LittleEndian<uint16_t>(bytes, at + 8) != entry.method) return bad("its local header has another method");
  const uint32_t compressed_size = LittleEndian<uint32_t>(bytes, at + 18);
  const uint32_t size = LittleEndian<uint32_t>(bytes, at + 22);
  if (!(flags & kDataDescriptor) && ((compressed_size != kIn64Bits32 && compressed_size != entry.compressed_size) ||
                                     (size != kIn64Bits32 && size != entry.size))) {
    return bad("its local header has another size");
  }
  entry.offset = at + head_bytes;
  return absl::OkStatus();
}

absl::Status CheckNoOverlap(const std::string& path, const std::vector<Listed>& all) {
  std::vector<const Listed*> order;
  for (const Listed& listed : all) order.push_back(&listed);
  std::sort(order.begin(), order.end(),
            [](const Listed* a, const Listed* b) { return a->header_offset < b->header_offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const ZipArchive::Entry& before = order[i - 1]->entry;
    if (order[i]->header_offset < before.offset + before.compressed_size) {
      return BadEntry(path, order[i]->name, absl::StrCat("overlaps entry ", QuoteForMessage(order[i - 1]->name)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Listed>> ReadDirectory(const std::string& path, absl::string_view bytes) {
  QWT_ASSIGN_OR_RETURN(const Directory directory, FindDirectory(path, bytes));
  std::vector<Listed> all;
  for (uint64_t offset = 0; offset < directory.size;) {
    QWT_ASSIGN_OR_RETURN(Listed listed,
                         ReadCentralHeader(path, bytes.substr(directory.offset, directory.size), &offset));
    QWT_RETURN_IF_ERROR(ReadLocalHeader(path, bytes, directory.offset, &listed));
    all.push_back(std::move(listed));
  }
  if (all.size() != directory.entries) {
    return Damaged(path,
                   absl::StrCat("the end record says ", directory.entries, " entries, the directory has ", all.size()));
  }
  return all;
}

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* decompressor) const { libdeflate_free_decompressor(decompressor); }
};

// Exactly `size` bytes from exactly all of `compressed`: what would inflate to more stops at the end of the buffer.
absl::StatusOr<ZipContent> Inflate(absl::string_view compressed, uint64_t size) {
  const std::unique_ptr<libdeflate_decompressor, FreeDecompressor> decompressor(libdeflate_alloc_decompressor());
  const std::shared_ptr<char> buffer(new (std::nothrow) char[std::max<uint64_t>(size, 1)],
                                     std::default_delete<char[]>());
  if (decompressor == nullptr || buffer == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for its ", size, " bytes"));
  }
  size_t used = 0, made = 0;
  switch (libdeflate_deflate_decompress_ex(decompressor.get(), compressed.data(), compressed.size(), buffer.get(), size,
                                           &used, &made)) {
    case LIBDEFLATE_SUCCESS:
      break;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
      return absl::DataLossError(absl::StrCat("inflates to more than the ", size, " bytes it declares"));
    default:
      return absl::DataLossError("is not a deflate stream");
  }
  if (made != size) return absl::DataLossError(absl::StrCat("inflates to ", made, " bytes and declares ", size));
  if (used != compressed.size()) {
    return absl::DataLossError(
        absl::StrCat("its deflate stream ends after ", used, " of ", compressed.size(), " bytes"));
  }
  return ZipContent{buffer, buffer.get(), size};
}

}  // namespace

absl::StatusOr<ZipArchive> ZipArchive::Open(std::shared_ptr<MappedFile> file, const std::string& path) {
  QWT_ASSIGN_OR_RETURN(std::vector<Listed> all, ReadDirectory(path, file->bytes()));
  QWT_RETURN_IF_ERROR(CheckNoOverlap(path, all));
  ZipArchive archive;
  for (Listed& listed : all) {
    archive.crc_recorded_ |= listed.entry.crc32 != 0;
    if (!archive.entries_.try_emplace(listed.name, listed.entry).second) {
      return BadEntry(path, listed.name, "stands in the directory twice");
    }
  }
  archive.file_ = std::move(file);
  archive.path_ = path;
  return archive;
}

absl::StatusOr<ZipContent> ZipArchive::Read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    return absl::NotFoundError(absl::StrCat(path_, ": has no entry ", QuoteForMessage(name)));
  const Entry& entry = found->second;
  ZipContent content{file_, file_->data() + entry.offset, entry.compressed_size};
  if (entry.method == kDeflated) {
    absl::StatusOr<ZipContent> inflated = Inflate(content.bytes(), entry.size);
    if (!inflated.ok()) return Annotate(inflated.status(), absl::StrCat(path_, ": entry ", QuoteForMessage(name)));
    content = *std::move(inflated);
  }
  if (crc_recorded_ && libdeflate_crc32(0, content.data, content.size) != entry.crc32) {
    return BadEntry(path_, name, "its CRC-32 does not match: the file is damaged");
  }
  return content;
}

}  // namespace qwt
