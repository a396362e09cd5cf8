#include "data/datasets/generated/generated.h"

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/random.h"
#include "core/base/sha256.h"

namespace qwt {
namespace {

constexpr int kTerms = 3;
// Strength down 127, across at most 84: three products fit into 16 bits, and 128 + sum / 256 into a byte.
constexpr int kDown = 127, kAcross = 84;
constexpr double kFewestPeriods = 0.5, kMostPeriods = 6;  // over a side

// 2^14 · cos, one period in 1024 steps.
using Wave = std::array<int32_t, 1024>;
const Wave kWave = [] {
  Wave wave;
  for (int i = 0; i < 1024; ++i) wave[i] = static_cast<int32_t>(std::lrint(0x1p14 * std::cos(2 * M_PI * i / 1024)));
  return wave;
}();

// Writes strength · cos to every stride-th of side · stride values. The phase counts in 2^-32 periods.
void WriteWave(uint64_t seed, uint64_t draw, int64_t side, int32_t strength, int stride, int16_t* target) {
  const double periods = kFewestPeriods + (kMostPeriods - kFewestPeriods) * RandomUniform(seed, draw);
  const auto step = static_cast<uint32_t>(static_cast<uint64_t>(periods * 0x1p32 / static_cast<double>(side)));
  auto phase = static_cast<uint32_t>(RandomWord(seed, draw + 1));
  for (int64_t i = 0; i < side; ++i, phase += step) {
    target[i * stride] = static_cast<int16_t>((strength * kWave[phase >> 22]) >> 14);
  }
}

struct Term {
  std::vector<int16_t> down, across;  // [side], [side · 3]: of each channel
};

std::array<Term, kTerms> DrawTerms(uint64_t seed, int64_t side) {
  std::array<Term, kTerms> terms;
  uint64_t draw = 0;
  for (Term& term : terms) {
    term.down.resize(side);
    term.across.resize(3 * side);
    WriteWave(seed, draw, side, kDown, 1, term.down.data());
    draw += 2;
    for (int channel = 0; channel < 3; ++channel) {
      const auto strength = static_cast<int32_t>(RandomBelow(seed, draw + 2, kAcross + 1));
      WriteWave(seed, draw, side, strength, 3, term.across.data() + channel);
      draw += 3;
    }
  }
  return terms;
}

// One row of `count` values. The loop is of 16-bit numbers so that the compiler makes vectors of it.
#if defined(__x86_64__)
__attribute__((target_clones("avx2", "default")))
#endif
void WriteRow(const std::array<const int16_t*, kTerms>& across, const std::array<int16_t, kTerms>& down, int64_t count,
              uint8_t* __restrict row) {
  for (int64_t i = 0; i < count; ++i) {
    const auto sum = static_cast<int16_t>(down[0] * across[0][i] + down[1] * across[1][i] + down[2] * across[2][i]);
    row[i] = static_cast<uint8_t>(128 + (sum >> 8));
  }
}

class Generated : public Dataset {
 public:
  Generated(const GeneratedOptions& options, Split split) : options_(options), split_(split) {}

  int64_t size() const override { return split_ == Split::kTrain ? options_.train_images : options_.images; }
  int64_t classes() const override { return options_.classes; }
  std::string NameOf(int64_t index) const override { return absl::StrCat("generated ", SplitName(), "[", index, "]"); }

  absl::StatusOr<Example> Get(int64_t index) const override {
    const int64_t side = options_.side;
    Example example{at::empty({side, side, 3}, at::kByte), index % options_.classes};
    const std::array<Term, kTerms> terms = DrawTerms(RandomWord(static_cast<uint64_t>(split_), index), side);
    uint8_t* pixels = example.pixels.mutable_data_ptr<uint8_t>();
    for (int64_t y = 0; y < side; ++y) {
      WriteRow({terms[0].across.data(), terms[1].across.data(), terms[2].across.data()},
               {terms[0].down[y], terms[1].down[y], terms[2].down[y]}, 3 * side, pixels + 3 * side * y);
    }
    return example;
  }

  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t> indices) const override {
    return Sha256(absl::StrCat("generated 1 ", SplitName(), " side ", options_.side, " classes ", options_.classes,
                               ": ", absl::StrJoin(indices, " ")));
  }

 private:
  const char* SplitName() const { return split_ == Split::kTrain ? "train" : "eval"; }

  const GeneratedOptions options_;
  const Split split_;
};

absl::StatusOr<std::unique_ptr<Dataset>> Create(const Options& options, const DatasetContext& context) {
  return MakeGenerated(
      {options.Int("images"), options.Int("train_images"), options.Int("classes"), options.Int("side")}, context.split);
}

// None changes a result beyond what the fingerprint says.
const bool registered = DatasetRegistry::Get().Register(
    {{"generated", "Images by formula, without files, for measurements of speed. Accuracy on them means nothing.",
      Schema{{Option::Int("images", "In the evaluation split.").Range(1, 1e9).Default("10000").NoEffectOnResult(),
              Option::Int("train_images", "In the training split.").Range(1, 1e9).Default("2048").NoEffectOnResult(),
              Option::Int("classes", "Labels are the image's index modulo this.")
                  .Range(2, 1e6)
                  .Default("1000")
                  .NoEffectOnResult(),
              Option::Int("side",
                          "Images are side x side. Where a preset resizes to just that (deit and resnet to 256, swin "
                          "and vit to 248, for an input of 224), evaluation only cuts out the centre.")
                  .Range(1, 4096)
                  .Default("256")
                  .NoEffectOnResult()}}},
     Create});

}  // namespace

std::unique_ptr<Dataset> MakeGenerated(const GeneratedOptions& options, Split split) {
  return std::make_unique<Generated>(options, split);
}

}  // namespace qwt
