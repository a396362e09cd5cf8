// One measurement of reading weights, in a process of its own so that its peak memory is the measurement's;
// read_checkpoint.sh makes a table of many.
//   read_checkpoint shapes             the names and shapes of vit_base, for make_checkpoints.py
//   read_checkpoint read FILE DTYPE    (a) read() of the whole file into fresh memory, then float32 of it by Tensor::to
//   read_checkpoint checkpoint FILE    (b) ReadCheckpoint
//   read_checkpoint load FILE          (c) LoadParameters for vit_base
// Prints seconds, the peak of resident memory above that before, the bytes of what was made: {"seconds": ...}.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "ATen/core/Tensor.h"
#include "ATen/ops/from_blob.h"
#include "ATen/ops/ones.h"
#include "ATen/ops/sum.h"
#include "models/checkpoints/checkpoint.h"
#include "models/parameters.h"
#include "models/vit/vit.h"

namespace qwt {
namespace {

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "read_checkpoint: %s\n", what.c_str());
  std::exit(1);
}

Graph VitBase() {
  VitConfig config;
  config.width = 768;
  config.heads = 12;
  return BuildVit("vit_base", config);
}

// "VmHWM" or "VmRSS", in bytes.
int64_t Memory(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1)) * 1024;
  }
  Die("/proc/self/status has no " + field);
}

// The highest mark becomes what is resident now.
void ForgetPeak() {
  std::ofstream clear("/proc/self/clear_refs");
  clear << 5 << std::flush;
  if (!clear) Die("cannot write /proc/self/clear_refs");
}

int64_t Bytes(const TensorMap& tensors) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += tensor.nbytes();
  return bytes;
}

TensorMap ReadAll(const std::string& path, at::ScalarType type) {
  const int file = open(path.c_str(), O_RDONLY);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) Die("cannot open " + path);
  const std::shared_ptr<char[]> bytes(new char[info.st_size]);
  for (int64_t done = 0; done < info.st_size;) {
    const int64_t count = read(file, bytes.get() + done, info.st_size - done);
    if (count <= 0) Die("cannot read " + path);
    done += count;
  }
  close(file);
  const at::Tensor whole = at::from_blob(
      bytes.get(), {info.st_size / static_cast<int64_t>(c10::elementSize(type))}, [bytes](void*) {}, type);
  return {{"all", whole.to(at::kFloat)}};
}

TensorMap Measured(const std::string& what, const std::string& path, const std::string& dtype, const Graph& graph) {
  static const std::map<std::string, at::ScalarType> types = {
      {"float32", at::kFloat}, {"float16", at::kHalf}, {"bfloat16", at::kBFloat16}};
  if (what == "read") return ReadAll(path, types.at(dtype));
  if (what == "checkpoint") {
    auto checkpoint = ReadCheckpoint(path);
    if (!checkpoint.ok()) Die(checkpoint.status().ToString());
    return std::move(checkpoint->tensors);
  }
  auto parameters = LoadParameters({{path}}, graph);
  if (!parameters.ok()) Die(parameters.status().ToString());
  return *std::move(parameters);
}

void Measure(const std::string& what, const std::string& path, const std::string& dtype) {
  const Graph graph = VitBase();
  // What LibTorch does once, such as starting threads, is no part of the measurement.
  at::ones({1 << 17}, at::kHalf).to(at::kFloat).sum();
  ForgetPeak();
  const int64_t before = Memory("VmRSS");
  const auto start = std::chrono::steady_clock::now();
  const TensorMap tensors = Measured(what, path, dtype, graph);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("{\"seconds\": %.6f, \"peak_bytes\": %ld, \"tensor_bytes\": %ld}\n", seconds, Memory("VmHWM") - before,
              Bytes(tensors));
}

}  // namespace
}  // namespace qwt

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (argc == 2 && what == "shapes") {
    for (const qwt::ParameterSpec& spec : qwt::VitBase().parameters) {
      std::printf("%s", spec.name.c_str());
      for (int64_t size : spec.shape) std::printf(" %ld", size);
      std::printf("\n");
    }
  } else if ((argc == 4 && what == "read") || (argc == 3 && (what == "checkpoint" || what == "load"))) {
    qwt::Measure(what, argv[2], argc == 4 ? argv[3] : "");
  } else {
    std::fprintf(stderr, "usage: read_checkpoint shapes | read FILE DTYPE | checkpoint FILE | load FILE\n");
    return 2;
  }
}
