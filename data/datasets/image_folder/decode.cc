#include "data/datasets/image_folder/decode.h"

#include <jconfig.h>
#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "ATen/ops/empty.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace qwt {
namespace {

constexpr int64_t kLargestSide = 20000;
constexpr int64_t kLargestArea = 200'000'000;
// The sparsest Huffman coding, a progressive file's, spends a bit on each 8 x 8 block: 512 pixels a byte. Deflate
// unpacks a byte to 1032 at most. Who claims more has not got it, and is refused before memory is taken for it.
constexpr int64_t kMostPixelsPerJpegByte = 512, kMostBytesPerDeflatedByte = 1032;
// Each scan of a progressive JPEG passes over the whole image, whatever the scan itself weighs: a few hundred bytes
// could keep a decoder busy for hours. libjpeg-turbo has the first limit by itself.
constexpr int64_t kMostScans = 500, kMostPixelScans = 2'000'000'000;

absl::Status CheckSize(int64_t width, int64_t height) {
  if (width <= kLargestSide && height <= kLargestSide && width * height <= kLargestArea) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the image is ", width, " x ", height, " pixels; allowed are ", kLargestSide,
                                          " a side and ", kLargestArea / 1'000'000, " million in all"));
}

absl::Status TooSmallFor(int64_t bytes, int64_t width, int64_t height) {
  return absl::DataLossError(
      absl::StrCat("the image claims ", width, " x ", height, " pixels, which ", bytes, " bytes cannot hold"));
}

at::Tensor EmptyPixels(int64_t height, int64_t width) { return at::empty({height, width, 3}, at::kByte); }

// ---- JPEG ----

struct TjDestroy {  // tjhandle is void*
  void operator()(void* handle) const { tjDestroy(handle); }
};
using TjHandle = std::unique_ptr<void, TjDestroy>;

// Also for libjpeg's warnings: it calls a cut file one and fills the rest with grey, and of damaged codes often nothing
// is told but that bytes were left over. An image with such a warning is refused, where Pillow accepts it, rather than
// counted with pixels that nobody took.
absl::Status JpegError(tjhandle handle) {
  return absl::DataLossError(absl::StrCat("damaged JPEG data: ", tjGetErrorStr2(handle)));
}

uint8_t ToByte(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

// Adobe stores CMYK inverted; Pillow undoes that, then multiplies each ink with the light that black lets through.
at::Tensor CmykToRgb(const std::vector<uint8_t>& cmyk, int64_t height, int64_t width) {
  at::Tensor pixels = EmptyPixels(height, width);
  uint8_t* rgb = pixels.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < height * width; ++i) {
    const int light = cmyk[4 * i + 3];
    for (int c = 0; c < 3; ++c) {
      const int t = (255 - cmyk[4 * i + c]) * light + 128;
      rgb[3 * i + c] = ToByte(light - ((t + (t >> 8)) >> 8));
    }
  }
  return pixels;
}

absl::Status CheckJpegCost(absl::string_view bytes, int64_t width, int64_t height) {
  QWT_RETURN_IF_ERROR(CheckSize(width, height));
  const int64_t area = width * height;
  if (area / kMostPixelsPerJpegByte > bytes.size()) return TooSmallFor(bytes.size(), width, height);
  if (area <= kMostPixelScans / kMostScans) return absl::OkStatus();
  int64_t scans = 0;  // a marker; pixels cannot look like one
  for (size_t at = 0; (at = bytes.find("\xff\xda", at)) != bytes.npos; ++at) ++scans;
  if (scans <= kMostPixelScans / area) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the JPEG image of ", width, " x ", height, " pixels has ", scans,
                                          " scans; allowed are ", kMostPixelScans / area, " at this size"));
}

// Of the sizes that the inverse transform can give (1, 1/2, 1/4, 1/8, rounded up), the smallest with neither side
// below least_side.
int64_t ScaleDivisor(int64_t width, int64_t height, int64_t least_side) {
  int64_t divisor = 8;
  const int64_t side = std::min(width, height);
  while (divisor > 1 && (least_side <= 0 || (side + divisor - 1) / divisor < least_side)) divisor /= 2;
  return divisor;
}

absl::StatusOr<at::Tensor> DecodeJpeg(absl::string_view bytes, int64_t least_side) {
  TjHandle handle(tjInitDecompress());
  if (handle == nullptr) return absl::ResourceExhaustedError("cannot start the JPEG decoder");
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0, height = 0, subsampling = 0, colorspace = 0;
  if (tjDecompressHeader3(handle.get(), data, bytes.size(), &width, &height, &subsampling, &colorspace) != 0) {
    return JpegError(handle.get());
  }
  QWT_RETURN_IF_ERROR(CheckJpegCost(bytes, width, height));
  const int64_t divisor = ScaleDivisor(width, height, least_side);
  width = (width + divisor - 1) / divisor, height = (height + divisor - 1) / divisor;
  const bool cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
  std::vector<uint8_t> inks(cmyk ? size_t{4} * width * height : 0);
  at::Tensor pixels = cmyk ? at::Tensor() : EmptyPixels(height, width);
  unsigned char* target = cmyk ? inks.data() : pixels.mutable_data_ptr<uint8_t>();
  if (tjDecompress2(handle.get(), data, bytes.size(), target, width, 0, height, cmyk ? TJPF_CMYK : TJPF_RGB,
                    TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS) != 0) {
    return JpegError(handle.get());
  }
  return cmyk ? CmykToRgb(inks, height, width) : pixels;
}

// ---- PNG ----

constexpr absl::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

// What libpng's callbacks see. libpng leaves a failed call by longjmp, so nothing with a destructor may live in the
// functions that call it: all such things are here.
struct PngReader {
  absl::string_view bytes;  // what is left
  std::string error;
  png_structp png = nullptr;
  png_infop info = nullptr;
  png_uint_32 width = 0, height = 0;
  bool grey16 = false;
  std::vector<png_bytep> rows;

  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void OnPngError(png_structp png, png_const_charp message) {
  static_cast<PngReader*>(png_get_error_ptr(png))->error = message;
  longjmp(png_jmpbuf(png), 1);
}

void OnPngWarning(png_structp, png_const_charp) {}

void ReadPngBytes(png_structp png, png_bytep target, size_t count) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (reader->bytes.size() < count) png_error(png, "the file ends too early");
  std::memcpy(target, reader->bytes.data(), count);
  reader->bytes.remove_prefix(count);
}

bool ReadPngHeader(PngReader* reader) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_set_read_fn(reader->png, reader, ReadPngBytes);
  png_set_user_limits(reader->png, PNG_UINT_31_MAX,
                      PNG_UINT_31_MAX);  // CheckSize has the limits and the better message
  // Text, profiles and the like are passed over: libpng takes memory for all that such a chunk claims to hold before it
  // looks for the bytes, gigabytes for a file of a hundred.
  png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(reader->png, reader->info);
  reader->width = png_get_image_width(reader->png, reader->info);
  reader->height = png_get_image_height(reader->png, reader->info);
  return true;
}

// Asks for 8-bit RGB, or for 16-bit grey, which Pillow clips instead of scaling. Allocates rows, so the size must have
// been checked.
bool SetPngFormat(PngReader* reader) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_structp png = reader->png;
  const int depth = png_get_bit_depth(png, reader->info), color = png_get_color_type(png, reader->info);
  reader->grey16 = color == PNG_COLOR_TYPE_GRAY && depth == 16;
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (color == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (!reader->grey16) {
    if (depth == 16) png_set_strip_16(png);
    if (!(color & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
  }
  png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, reader->info);
  return true;
}

bool ReadPngRows(PngReader* reader) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  png_read_image(reader->png, reader->rows.data());
  png_read_end(reader->png, nullptr);
  return true;
}

absl::StatusOr<at::Tensor> DecodePng(absl::string_view bytes) {
  PngReader reader;
  reader.bytes = bytes;
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, OnPngError, OnPngWarning);
  if (reader.png != nullptr) reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) return absl::ResourceExhaustedError("cannot start the PNG decoder");
  if (!ReadPngHeader(&reader)) return absl::DataLossError(absl::StrCat("damaged PNG data: ", reader.error));
  QWT_RETURN_IF_ERROR(CheckSize(reader.width, reader.height));
  const int64_t stored_bytes = reader.height * static_cast<int64_t>(png_get_rowbytes(reader.png, reader.info));
  if (stored_bytes / kMostBytesPerDeflatedByte > bytes.size()) {
    return TooSmallFor(bytes.size(), reader.width, reader.height);
  }
  if (!SetPngFormat(&reader)) return absl::DataLossError(absl::StrCat("damaged PNG data: ", reader.error));
  const int64_t height = reader.height, width = reader.width;
  at::Tensor pixels = EmptyPixels(height, width);
  uint8_t* rgb = pixels.mutable_data_ptr<uint8_t>();
  const int64_t row_bytes = width * (reader.grey16 ? 2 : 3);
  std::vector<uint8_t> grey(reader.grey16 ? row_bytes * height : 0);
  if (static_cast<int64_t>(png_get_rowbytes(reader.png, reader.info)) != row_bytes) {
    return absl::InternalError("libpng gives rows of another size than it was asked for");
  }
  for (int64_t y = 0; y < height; ++y) reader.rows.push_back((reader.grey16 ? grey.data() : rgb) + y * row_bytes);
  if (!ReadPngRows(&reader)) return absl::DataLossError(absl::StrCat("damaged PNG data: ", reader.error));
  for (size_t i = 0; i < grey.size() / 2; ++i) {
    std::memset(rgb + 3 * i, grey[2 * i] > 0 ? 255 : grey[2 * i + 1], 3);  // big-endian
  }
  return pixels;
}

}  // namespace

absl::StatusOr<at::Tensor> DecodeImage(absl::string_view bytes, int64_t least_side) {
  if (bytes.empty()) return absl::DataLossError("the file is empty");
  absl::StatusOr<at::Tensor> pixels = absl::DataLossError(
      absl::StrCat("neither a JPEG nor a PNG image: begins with 0x", absl::BytesToHexString(bytes.substr(0, 4))));
  const absl::Status status = CatchExceptions("decoding", [&]() {
    if (absl::StartsWith(bytes, "\xff\xd8\xff")) pixels = DecodeJpeg(bytes, least_side);
    if (absl::StartsWith(bytes, kPngSignature)) pixels = DecodePng(bytes);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return pixels;
}

#define QWT_TEXT_(x) #x
#define QWT_TEXT(x) QWT_TEXT_(x)
std::string JpegDecoderVersion() { return "libjpeg-turbo " QWT_TEXT(LIBJPEG_TURBO_VERSION); }

}  // namespace qwt
