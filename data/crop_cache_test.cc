#include "data/crop_cache.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "data/loader.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kImages = 2500;  // three entries: 1024, 1024, 452
constexpr int64_t kBad = 1500;

// Images of 12 x 10 pixels, no two neighbours alike; one may be bad. Counts how often one is decoded.
class Counting : public Dataset {
 public:
  explicit Counting(bool with_bad_image = false) : with_bad_image_(with_bad_image) {}
  int64_t size() const override { return kImages; }
  int64_t classes() const override { return 10; }
  absl::StatusOr<Example> Get(int64_t index) const override {
    ++decoded;
    if (with_bad_image_ && index == kBad)
      return absl::DataLossError(absl::StrCat(NameOf(index), ": the file is empty"));
    at::Tensor pixels = at::empty({12, 10, 3}, at::kByte);
    uint8_t* bytes = pixels.mutable_data_ptr<uint8_t>();
    for (int64_t i = 0; i < pixels.numel(); ++i) bytes[i] = static_cast<uint8_t>(i * (index % 13 + 1) + index);
    return Example{pixels, index % 10};
  }
  std::string NameOf(int64_t index) const override { return absl::StrCat("image ", index); }
  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t> indices) const override {
    return absl::StrCat(indices.front(), " to ", indices.back(), " of ", with_bad_image_ ? "bad" : "good");
  }

  mutable std::atomic<int64_t> decoded = 0;

 private:
  const bool with_bad_image_;
};

InputOptions Input() { return {{"small", 0.875, {0.5, 0.4, 0.3}, {0.2, 0.3, 0.4}}, 7, 7}; }

CropCache::Share Of(int rank, int world_size, int threads, bool skip_bad_images = false) {
  return {rank, world_size, threads, skip_bad_images, nullptr};
}

class CropCacheTest : public testing::Test {
 protected:
  CropCacheTest() {
    fs::remove_all(root_);
    store_ = *ArtifactStore::Open(root_);
    std::iota(all_.begin(), all_.end(), 0);
  }

  // All batches by position, and the bytes that were loaded.
  static std::vector<at::Tensor> Load(const Counting& dataset, const std::vector<int64_t>& indices,
                                      const CropCache* crops) {
    LoaderOptions options;
    options.input = Input();
    options.workers = 2;
    options.skip_bad_images = true;
    options.crops = crops;
    Loader loader(dataset, indices, options);
    std::vector<at::Tensor> images(indices.size());
    while (true) {
      auto batch = loader.Next();
      EXPECT_TRUE(batch.ok()) << batch.status();
      if (!batch.ok() || !batch->has_value()) return images;
      for (int64_t k = 0; k < (*batch)->images.size(0); ++k) {
        const int64_t position = (*batch)->positions[k].item<int64_t>();
        images[position] = (*batch)->images[k];
        EXPECT_EQ((*batch)->labels[k].item<int64_t>(), indices[position] % 10);
      }
    }
  }

  fs::path Payload(const StoreKey& key) const {
    const std::string hash = key.hash();
    return fs::path(root_) / "v1" / hash.substr(0, 2) / hash / "payload";
  }

  const std::string root_ = testing::TempDir() + "/store";
  std::unique_ptr<ArtifactStore> store_;
  std::vector<int64_t> all_ = std::vector<int64_t>(kImages);
};

TEST_F(CropCacheTest, TheSecondTimeNothingIsDecodedAndAllIsTheSame) {
  Counting dataset;
  const std::vector<at::Tensor> expected = Load(dataset, all_, nullptr);
  dataset.decoded = 0;
  std::atomic<int64_t> progress = 0;
  CropCache first = *CropCache::Plan(dataset, all_, Input());
  EXPECT_EQ(first.keys().size(), 3);
  ASSERT_TRUE(first.Make(*store_, {0, 1, 2, false, [&](int64_t images) { progress += images; }}).ok());
  EXPECT_EQ(progress, kImages);
  EXPECT_EQ(dataset.decoded, kImages);

  dataset.decoded = 0;
  CropCache second = *CropCache::Plan(dataset, all_, Input());
  ASSERT_TRUE(second.Make(*store_, Of(0, 1, 2)).ok());
  ASSERT_TRUE(second.Open(*store_).ok());
  const std::vector<at::Tensor> images = Load(dataset, all_, &second);
  EXPECT_EQ(dataset.decoded, 0);
  for (int64_t i = 0; i < kImages; ++i) ASSERT_TRUE(images[i].equal(expected[i])) << i;
}

TEST_F(CropCacheTest, SaysItsSizeBefore) {
  Counting dataset;
  const CropCache cache = *CropCache::Plan(dataset, all_, Input());
  ASSERT_TRUE(cache.Make(*store_, Of(0, 1, 2)).ok());
  int64_t bytes = 0;
  for (const StoreKey& key : cache.keys()) bytes += fs::file_size(Payload(key));
  EXPECT_GE(bytes, cache.bytes());
  EXPECT_LE(bytes, cache.bytes() + 3 * 1024);  // a header each
}

TEST_F(CropCacheTest, RanksMakeEachEntryOnce) {
  Counting dataset;
  for (int rank = 0; rank < 2; ++rank) {
    ASSERT_TRUE((*CropCache::Plan(dataset, all_, Input())).Make(*store_, Of(rank, 2, 1)).ok());
    EXPECT_EQ(dataset.decoded, rank == 0 ? 1024 + 452 : kImages);
  }
  CropCache cache = *CropCache::Plan(dataset, all_, Input());
  ASSERT_TRUE(cache.Open(*store_).ok());
  for (int64_t position : {int64_t{0}, int64_t{1024}, kImages - 1}) {
    std::optional<Example> crop = cache.Get(position);
    ASSERT_TRUE(crop.has_value());
    EXPECT_TRUE(crop->pixels.equal(*Crop(dataset.Get(position)->pixels, Input(), position)));
  }
}

TEST_F(CropCacheTest, AnEntryThatIsMissingIsDecoded) {
  Counting dataset;
  CropCache cache = *CropCache::Plan(dataset, all_, Input());
  ASSERT_TRUE(cache.Make(*store_, Of(1, 2, 1)).ok());  // of the second rank alone
  ASSERT_TRUE(cache.Open(*store_).ok());
  dataset.decoded = 0;
  EXPECT_FALSE(cache.Get(1023).has_value());
  EXPECT_TRUE(cache.Get(1024).has_value());
  EXPECT_TRUE(Load(dataset, all_, &cache)[0].defined());
  EXPECT_EQ(dataset.decoded, kImages - 1024);
}

// Flips a bit of a crop in its file.
void Damage(const fs::path& payload, int64_t row) {
  std::fstream file(payload, std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header = 0;
  file.read(reinterpret_cast<char*>(&header), sizeof(header));
  std::string json(header, ' ');
  file.read(json.data(), static_cast<int64_t>(header));
  const size_t offsets = json.find('[', json.find("data_offsets", json.find("\"crops\"")));
  const int64_t start = 8 + static_cast<int64_t>(header) + std::atoll(json.c_str() + offsets + 1);
  const int64_t place = start + row * 7 * 7 * 3 + 50;
  const char other = static_cast<char>(file.seekg(place).get() ^ 1);
  file.seekp(place).write(&other, 1);
}

TEST_F(CropCacheTest, ADamagedCropIsDecodedAndItsEntryMadeAgain) {
  Counting dataset;
  const std::vector<at::Tensor> expected = Load(dataset, all_, nullptr);
  CropCache cache = *CropCache::Plan(dataset, all_, Input());
  ASSERT_TRUE(cache.Make(*store_, Of(0, 1, 2)).ok());
  Damage(Payload(cache.keys()[1]), 7);
  ASSERT_TRUE(cache.Open(*store_).ok());
  dataset.decoded = 0;
  const std::vector<at::Tensor> images = Load(dataset, all_, &cache);
  EXPECT_EQ(dataset.decoded, 1);
  for (int64_t i = 0; i < kImages; ++i) ASSERT_TRUE(images[i].equal(expected[i])) << i;
  EXPECT_FALSE(store_->Contains(cache.keys()[1]));
  EXPECT_TRUE(store_->Contains(cache.keys()[0]));
  dataset.decoded = 0;
  ASSERT_TRUE(cache.Make(*store_, Of(0, 1, 2)).ok());
  EXPECT_EQ(dataset.decoded, 1024);
}

TEST_F(CropCacheTest, AnEntryThatIsCutIsDropped) {
  Counting dataset;
  CropCache cache = *CropCache::Plan(dataset, all_, Input());
  ASSERT_TRUE(cache.Make(*store_, Of(0, 1, 2)).ok());
  fs::resize_file(Payload(cache.keys()[2]), 100);
  ASSERT_TRUE(cache.Open(*store_).ok());
  EXPECT_TRUE(cache.Get(0).has_value());
  EXPECT_FALSE(cache.Get(kImages - 1).has_value());
  EXPECT_FALSE(store_->Contains(cache.keys()[2]));
}

TEST_F(CropCacheTest, BadImagesAreAnErrorOrLeftToTheLoaderToSkip) {
  Counting dataset(true);
  CropCache cache = *CropCache::Plan(dataset, all_, Input());
  EXPECT_EQ(cache.Make(*store_, Of(0, 1, 2, false)), absl::DataLossError("image 1500: the file is empty"));
  EXPECT_FALSE(store_->Contains(cache.keys()[1]));
  ASSERT_TRUE(cache.Make(*store_, Of(0, 1, 2, true)).ok());
  ASSERT_TRUE(cache.Open(*store_).ok());
  EXPECT_FALSE(cache.Get(kBad).has_value());
  const std::vector<at::Tensor> images = Load(dataset, all_, &cache);
  EXPECT_FALSE(images[kBad].defined());
  EXPECT_TRUE(images[kBad + 1].defined());
}

// A dataset that may decode smaller images is told how small; the training transform takes parts of the whole one.
TEST(LoadCropTest, SaysHowSmallAnImageMayBeDecoded) {
  class Scaling : public Counting {
   public:
    absl::StatusOr<Example> GetScaled(int64_t index, int64_t least_side) const override {
      asked = least_side;
      return Get(index);
    }
    mutable int64_t asked = -1;
  };
  const Scaling dataset;
  InputOptions input = Input();
  ASSERT_TRUE(LoadCrop(dataset, 0, input).ok());
  EXPECT_EQ(dataset.asked, 8);  // 7 / 0.875
  input.transform = Transform::kTrain;
  ASSERT_TRUE(LoadCrop(dataset, 0, input).ok());
  EXPECT_EQ(dataset.asked, 0);
  input = {{"small", 0, {}, {1, 1, 1}, 0}, 12, 12};
  EXPECT_FALSE(LoadCrop(dataset, 0, input).ok());
  EXPECT_EQ(dataset.asked, 0);
}

TEST_F(CropCacheTest, NetworksThatDifferInColoursAloneShareCrops) {
  Counting dataset;
  InputOptions other = Input();
  other.preset.mean = {0, 0, 0};
  const auto keys = [&](const InputOptions& input) { return CropCache::Plan(dataset, all_, input)->keys()[0].hash(); };
  EXPECT_EQ(keys(other), keys(Input()));
  other.preset.crop_pct = 0.9;
  EXPECT_NE(keys(other), keys(Input()));
  other = Input();
  other.height = other.width = 8;
  EXPECT_NE(keys(other), keys(Input()));
}

}  // namespace
}  // namespace qwt
