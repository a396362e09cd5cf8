// The loader on a GPU gives the bits that it gives on the CPU.
#include <numeric>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/matmul.h"
#include "ATen/ops/rand.h"
#include "absl/strings/str_cat.h"
#include "core/tensor/device.h"
#include "data/datasets/generated/generated.h"
#include "data/loader.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr int64_t kImages = 83, kBatch = 16, kSide = 224;

// `generated`, but every seventh image cannot be decoded.
class WithBadImages : public Dataset {
 public:
  int64_t size() const override { return images_->size(); }
  int64_t classes() const override { return images_->classes(); }
  absl::StatusOr<Example> Get(int64_t index) const override {
    if (index % 7 == 3 || index / kBatch == 2) return absl::DataLossError(absl::StrCat(NameOf(index), ": broken"));
    return images_->Get(index);
  }
  std::string NameOf(int64_t index) const override { return images_->NameOf(index); }
  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t> indices) const override {
    return images_->Fingerprint(indices);
  }

 private:
  const std::unique_ptr<Dataset> images_ = MakeGenerated({kImages, 1, 10, 256}, Split::kEval);
};

std::vector<Batch> Load(const Dataset& dataset, at::Device device, const char* preset, bool skip) {
  LoaderOptions options;
  options.input = {*FindPreset(preset), kSide, kSide};
  options.batch_size = kBatch;
  options.workers = 3;
  options.prefetch = 2;
  options.skip_bad_images = skip;
  options.device = device;
  std::vector<int64_t> indices(dataset.size());
  std::iota(indices.begin(), indices.end(), 0);
  Loader loader(dataset, indices, options);
  std::vector<Batch> batches;
  while (true) {
    absl::StatusOr<std::optional<Batch>> batch = loader.Next();
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok() || !batch->has_value()) break;
    EXPECT_EQ((*batch)->images.device(), device);
    EXPECT_TRUE((*batch)->labels.is_cpu());
    EXPECT_TRUE((*batch)->positions.is_cpu());
    // Work that the device is still busy with when the next batch is asked for: uploads must not overtake its reads.
    if (!device.is_cpu()) {
      const at::Tensor square = at::rand({2048, 2048}, device);
      for (int i = 0; i < 20; ++i) at::matmul(square, square);
    }
    batches.push_back(**std::move(batch));
    if (!device.is_cpu()) batches.back().images = batches.back().images.clone();
  }
  return batches;
}

void ExpectSame(const std::vector<Batch>& gpu, const std::vector<Batch>& cpu) {
  ASSERT_EQ(gpu.size(), cpu.size());
  for (size_t i = 0; i < cpu.size(); ++i) {
    EXPECT_EQ(gpu[i].ordinal, cpu[i].ordinal);
    EXPECT_TRUE(gpu[i].labels.equal(cpu[i].labels)) << i;
    EXPECT_TRUE(gpu[i].positions.equal(cpu[i].positions)) << i;
    EXPECT_TRUE(gpu[i].images.cpu().equal(cpu[i].images)) << "batch " << i;
  }
}

class LoaderGpuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (GpuCount() == 0) GTEST_SKIP() << "there is no GPU, or this build is without CUDA";
  }
  const at::Device gpu_{at::kCUDA, 0};
};

TEST_F(LoaderGpuTest, TheBitsOfTheCpu) {
  const auto dataset = MakeGenerated({kImages, 1, 10, 256}, Split::kEval);
  for (const char* preset : {"deit", "vit"}) {
    const std::vector<Batch> cpu = Load(*dataset, at::kCPU, preset, false);
    ASSERT_EQ(cpu.back().images.size(0), kImages % kBatch);
    ExpectSame(Load(*dataset, gpu_, preset, false), cpu);
  }
}

TEST_F(LoaderGpuTest, LeavesOutBadImages) {
  const WithBadImages dataset;
  const std::vector<Batch> cpu = Load(dataset, at::kCPU, "deit", true);
  ASSERT_EQ(cpu[2].images.size(0), 0) << "a batch without any";
  ASSERT_EQ(cpu[0].images.size(0), 14);
  ExpectSame(Load(dataset, gpu_, "deit", true), cpu);
}

TEST_F(LoaderGpuTest, AnErrorEndsIt) {
  const WithBadImages dataset;
  LoaderOptions options;
  options.input = {*FindPreset("deit"), kSide, kSide};
  options.batch_size = 2;
  options.device = gpu_;
  Loader loader(dataset, {0, 1, 2, 3, 4}, options);
  EXPECT_TRUE(loader.Next().ok());
  EXPECT_EQ(loader.Next().status(), absl::DataLossError("generated eval[3]: broken"));
}

TEST_F(LoaderGpuTest, EndsEarly) {
  const auto dataset = MakeGenerated({kImages, 1, 10, 256}, Split::kEval);
  LoaderOptions options;
  options.input = {*FindPreset("deit"), kSide, kSide};
  options.device = gpu_;
  std::vector<int64_t> indices(dataset->size());
  std::iota(indices.begin(), indices.end(), 0);
  for (int taken : {0, 1, 2}) {
    Loader loader(*dataset, indices, options);
    for (int i = 0; i < taken; ++i) EXPECT_EQ((*loader.Next())->ordinal, i);
  }
}

}  // namespace
}  // namespace qwt
