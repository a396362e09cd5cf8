// Opens an image folder as a run does, says how long that took, and reads the first image's index entry;
// index_images.sh calls it.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "data/datasets/image_folder/split.h"

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: index_images ROOT SPLIT CACHE_FOLDER\n"), 2;
  const auto begin = std::chrono::steady_clock::now();
  const auto split = qwt::OpenSplit({.root = argv[1], .split = argv[2], .cache_folder = argv[3]});
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!split.ok()) return std::fprintf(stderr, "%s\n", std::string(split.status().message()).c_str()), 1;
  const bool kept = split->unsaved.empty();
  const auto saving = std::chrono::steady_clock::now();
  qwt::SaveIndices(*split);
  const double saved = std::chrono::duration<double>(std::chrono::steady_clock::now() - saving).count();
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%s: %.3f s for %lld images in %zu classes", kept ? "index taken" : "images listed", seconds,
              static_cast<long long>(split->index->size()), split->index->classes().size());
  if (!kept) std::printf(", %.3f s to keep the index of %.1f MB", saved, split->index->bytes().size() / 1e6);
  std::printf(", %.0f MB of memory\n", usage.ru_maxrss / 1e3);
  return 0;
}
