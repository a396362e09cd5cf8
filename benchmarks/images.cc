// Speed of decoding and preparing images; benchmarks/images.sh runs it beside what it is compared with.
//
//   images make DIR COUNT: COUNT JPEGs of 500 x 375 pixels, 4:2:0, quality 90, like photographs in size and detail
//   images decode DIR: decoding alone, from memory, one thread
//   images transform DIR: reading, decoding and DeiT's evaluation transform, normalised, one thread
//   images loader DIR THREADS: the same through the loader, in batches of 16
//   images cache DIR THREADS STORE: the loader with the crop cache in STORE: first filling it, then from it
//   images generated COUNT: images of the dataset `generated` and DeiT's evaluation crop of each, one thread
//
// Each but `make` prints one JSON object: images, seconds, images_per_second (cache: fill_seconds too).
#include <turbojpeg.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "ATen/Parallel.h"
#include "absl/strings/str_format.h"
#include "core/base/files.h"
#include "core/base/log.h"
#include "core/base/random.h"
#include "data/crop_cache.h"
#include "data/datasets/generated/generated.h"
#include "data/datasets/image_folder/decode.h"
#include "data/loader.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kWidth = 500, kHeight = 375, kSide = 224;

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "images: %s\n", std::string(value.status().message()).c_str());
    std::exit(1);
  }
  return *std::move(value);
}

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void Print(int64_t images, double seconds) {
  absl::PrintF("{\"images\": %d, \"seconds\": %.4f, \"images_per_second\": %.1f}\n", images, seconds, images / seconds);
}

// One channel as photographs have it: noise on grids of 2 to 128 pixels, the coarser the stronger, interpolated.
std::vector<float> Noise(uint64_t seed) {
  std::vector<float> values(kWidth * kHeight);
  uint64_t draw = 0;
  for (int cell = 128; cell >= 2; cell /= 2) {
    const int columns = kWidth / cell + 2, rows = kHeight / cell + 2;
    std::vector<float> grid(columns * rows);
    for (float& value : grid) value = static_cast<float>(RandomUniform(seed, draw++) - 0.5);
    const float strength = 48 * std::pow(static_cast<float>(cell), 0.15f);
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        const int row = y / cell, column = x / cell;
        const float down = static_cast<float>(y % cell) / cell, right = static_cast<float>(x % cell) / cell;
        const float* corner = &grid[row * columns + column];
        const float upper = corner[0] + right * (corner[1] - corner[0]);
        const float lower = corner[columns] + right * (corner[columns + 1] - corner[columns]);
        values[y * kWidth + x] += strength * (upper + down * (lower - upper));
      }
    }
  }
  return values;
}

std::vector<uint8_t> Photograph(uint64_t seed) {
  const std::vector<float> light = Noise(3 * seed);
  std::vector<uint8_t> pixels(kWidth * kHeight * 3);
  for (int c = 0; c < 3; ++c) {
    const std::vector<float> tint = Noise(3 * seed + 1 + c % 2);
    for (int i = 0; i < kWidth * kHeight; ++i) {
      const float value = 120 + light[i] + (c - 1) * 0.4f * tint[i];
      pixels[3 * i + c] = static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f));
    }
  }
  return pixels;
}

void Make(const fs::path& folder, int64_t count) {
  fs::create_directories(folder / "val" / "class");
  tjhandle handle = tjInitCompress();
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<uint8_t> pixels = Photograph(i);
    unsigned char* bytes = nullptr;
    unsigned long size = 0;  // NOLINT: turbojpeg's type
    QWT_CHECK(tjCompress2(handle, pixels.data(), kWidth, 0, kHeight, TJPF_RGB, &bytes, &size, TJSAMP_420, 90, 0) == 0);
    std::ofstream(folder / "val" / "class" / absl::StrFormat("%06d.jpg", i), std::ios::binary)
        .write(reinterpret_cast<char*>(bytes), static_cast<int64_t>(size));
    tjFree(bytes);
  }
  tjDestroy(handle);
}

// The files of `make`, without an index or a class list.
class Folder : public Dataset {
 public:
  explicit Folder(const fs::path& folder) {
    for (const auto& entry : fs::directory_iterator(folder / "val" / "class")) paths_.push_back(entry.path());
    std::sort(paths_.begin(), paths_.end());
  }
  int64_t size() const override { return paths_.size(); }
  int64_t classes() const override { return 1; }
  absl::StatusOr<Example> Get(int64_t index) const override {
    return Example{Must(DecodeImage(Must(ReadFile(paths_[index])))), 0};
  }
  std::string NameOf(int64_t index) const override { return paths_[index]; }
  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t> indices) const override {
    return absl::StrFormat("%s %d to %d", paths_[0], indices.front(), indices.back());
  }

 private:
  std::vector<std::string> paths_;
};

InputOptions DeitInput() { return {Must(FindPreset("deit")), kSide, kSide, Transform::kEval, 0}; }

std::vector<int64_t> All(const Dataset& dataset) {
  std::vector<int64_t> indices(dataset.size());
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

void Decode(const fs::path& path) {
  const Folder folder(path);
  double seconds = 0;
  for (int64_t i = 0; i < folder.size(); ++i) {
    const std::string bytes = Must(ReadFile(folder.NameOf(i)));
    const auto start = Clock::now();
    Must(DecodeImage(bytes));
    seconds += SecondsSince(start);
  }
  Print(folder.size(), seconds);
}

void TransformAll(const fs::path& path) {
  const Folder folder(path);
  const InputOptions input = DeitInput();
  const auto start = Clock::now();
  for (int64_t i = 0; i < folder.size(); ++i) Normalise(Must(LoadCrop(folder, i, input)).pixels, input.preset);
  Print(folder.size(), SecondsSince(start));
}

void Generate(int64_t count) {
  const auto dataset = MakeGenerated({count, 1}, Split::kEval);
  const auto start = Clock::now();
  for (int64_t i = 0; i < count; ++i) Must(LoadCrop(*dataset, i, DeitInput()));
  Print(count, SecondsSince(start));
}

double Drain(const Dataset& dataset, int threads, const CropCache* crops) {
  const auto start = Clock::now();
  LoaderOptions options;
  options.input = DeitInput();
  options.workers = threads;
  options.prefetch = 2 * threads;
  options.crops = crops;
  Loader loader(dataset, All(dataset), options);
  while (Must(loader.Next()).has_value()) {
  }
  return SecondsSince(start);
}

void Cache(const fs::path& path, int threads, const std::string& store_root) {
  const Folder folder(path);
  auto store = Must(ArtifactStore::Open(store_root));
  CropCache crops = Must(CropCache::Plan(folder, All(folder), DeitInput()));
  auto start = Clock::now();
  QWT_CHECK(crops.Make(*store, {0, 1, threads, false, nullptr}).ok());
  const double fill_seconds = SecondsSince(start);
  // As a second run finds it: mapped, then read and checked.
  CropCache again = Must(CropCache::Plan(folder, All(folder), DeitInput()));
  start = Clock::now();
  QWT_CHECK(again.Open(*store).ok());
  Drain(folder, threads, &again);
  const double seconds = SecondsSince(start);
  absl::PrintF("{\"images\": %d, \"fill_seconds\": %.4f, \"seconds\": %.4f, \"images_per_second\": %.1f}\n",
               folder.size(), fill_seconds, seconds, folder.size() / seconds);
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  at::set_num_threads(1);
  if (what == "make" && argc == 4) {
    qwt::Make(argv[2], std::atoll(argv[3]));
  } else if (what == "decode" && argc == 3) {
    qwt::Decode(argv[2]);
  } else if (what == "transform" && argc == 3) {
    qwt::TransformAll(argv[2]);
  } else if (what == "loader" && argc == 4) {
    const qwt::Folder folder(argv[2]);
    qwt::Print(folder.size(), qwt::Drain(folder, std::atoi(argv[3]), nullptr));
  } else if (what == "generated" && argc == 3) {
    qwt::Generate(std::atoll(argv[2]));
  } else if (what == "cache" && argc == 5) {
    qwt::Cache(argv[2], std::atoi(argv[3]), argv[4]);
  } else {
    std::fputs(
        "usage: images make DIR COUNT | decode DIR | transform DIR | loader DIR THREADS | cache DIR THREADS STORE | "
        "generated COUNT\n",
        stderr);
    return 2;
  }
  return 0;
}
