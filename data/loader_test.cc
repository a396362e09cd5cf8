#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>

#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "core/tensor/device.h"
#include "gtest/gtest.h"

namespace qwt {
namespace {

constexpr int64_t kSide = 2;

// Image i is filled with i % 256 and has label i. `before` runs at each Get and may fail it.
class Numbers : public Dataset {
 public:
  explicit Numbers(int64_t size, std::function<absl::Status(int64_t)> before = nullptr)
      : size_(size), before_(std::move(before)) {}
  int64_t size() const override { return size_; }
  int64_t classes() const override { return size_; }
  absl::StatusOr<Example> Get(int64_t index) const override {
    if (before_) {
      absl::Status status = before_(index);
      if (!status.ok()) return status;
    }
    return Example{at::empty({kSide, kSide, 3}, at::kByte).fill_(index % 256), index};
  }
  std::string NameOf(int64_t index) const override { return absl::StrCat("numbers[", index, "]"); }
  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t>) const override { return std::string("numbers"); }

 private:
  int64_t size_;
  std::function<absl::Status(int64_t)> before_;
};

// Nine images of 20 x 24 pixels, no two alike.
class Pattern : public Dataset {
 public:
  int64_t size() const override { return 9; }
  int64_t classes() const override { return 9; }
  absl::StatusOr<Example> Get(int64_t index) const override {
    at::Tensor pixels = at::empty({20, 24, 3}, at::kByte);
    uint8_t* bytes = pixels.mutable_data_ptr<uint8_t>();
    for (int64_t i = 0; i < pixels.numel(); ++i) bytes[i] = static_cast<uint8_t>(i * (index + 3) / 7);
    return Example{pixels, index};
  }
  std::string NameOf(int64_t index) const override { return absl::StrCat("pattern[", index, "]"); }
  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t>) const override { return std::string("pattern"); }
};

LoaderOptions MakeOptions(int64_t batch_size, int workers, int rank = 0, int world_size = 1) {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.input.height = options.input.width = kSide;
  options.input.preset = {"plain", 0, {0, 0, 0}, {1, 1, 1}};
  options.rank = rank;
  options.world_size = world_size;
  options.workers = workers;
  return options;
}

std::vector<int64_t> FirstImages(int64_t count) {
  std::vector<int64_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

std::vector<int64_t> Values(const at::Tensor& tensor) {
  const int64_t* values = tensor.const_data_ptr<int64_t>();
  return {values, values + tensor.numel()};
}

std::vector<int64_t> Labels(const Batch& batch) { return Values(batch.labels); }

// All batches of a loader, up to the first error.
std::vector<Batch> Drain(Loader* loader, absl::Status* status) {
  std::vector<Batch> batches;
  while (true) {
    absl::StatusOr<std::optional<Batch>> batch = loader->Next();
    *status = batch.status();
    if (!batch.ok() || !batch->has_value()) return batches;
    batches.push_back(**std::move(batch));
  }
}

class LoaderWorkersTest : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Workers, LoaderWorkersTest, testing::Values(1, 2, 4, 9));

TEST_P(LoaderWorkersTest, KeepsTheOrderAndTheLastBatchIsSmaller) {
  std::vector<int64_t> indices = FirstImages(50);
  std::reverse(indices.begin(), indices.end());
  Numbers dataset(50);
  Loader loader(dataset, indices, MakeOptions(8, GetParam()));
  EXPECT_EQ(loader.batches(), 7);
  absl::Status status;
  const std::vector<Batch> batches = Drain(&loader, &status);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(batches.size(), 7);
  for (int64_t i = 0; i < 7; ++i) {
    EXPECT_EQ(batches[i].ordinal, i);
    const int64_t count = i < 6 ? 8 : 2;
    EXPECT_EQ(batches[i].images.sizes(), (std::vector<int64_t>{count, 3, kSide, kSide}));
    EXPECT_EQ(Labels(batches[i]), std::vector<int64_t>(&indices[8 * i], &indices[8 * i] + count));
    for (int64_t k = 0; k < count; ++k) {
      const at::Tensor image = batches[i].images[k];
      EXPECT_EQ(image.min().item<float>(), indices[8 * i + k] / 255.0f);
      EXPECT_EQ(image.max().item<float>(), indices[8 * i + k] / 255.0f);
    }
  }
  EXPECT_FALSE(loader.Next()->has_value());  // and stays so
}

TEST_P(LoaderWorkersTest, RanksShareTheBatchesOfOneRank) {
  Numbers dataset(50);
  for (int world_size : {2, 3, 8}) {
    std::vector<std::vector<int64_t>> seen(7);
    for (int rank = 0; rank < world_size; ++rank) {
      Loader loader(dataset, FirstImages(50), MakeOptions(8, GetParam(), rank, world_size));
      absl::Status status;
      const std::vector<Batch> batches = Drain(&loader, &status);
      EXPECT_EQ(batches.size(), loader.batches());
      for (const Batch& batch : batches) {
        EXPECT_EQ(batch.ordinal % world_size, rank);
        EXPECT_EQ(Values(batch.positions), Values(batch.labels));  // the list is 0, 1, …
        EXPECT_TRUE(seen[batch.ordinal].empty());
        seen[batch.ordinal] = Labels(batch);
      }
    }
    std::vector<int64_t> all;
    for (const std::vector<int64_t>& labels : seen) all.insert(all.end(), labels.begin(), labels.end());
    EXPECT_EQ(all, FirstImages(50)) << world_size;
  }
}

TEST_P(LoaderWorkersTest, AnErrorComesAfterTheBatchesBeforeItAndStays) {
  Numbers dataset(400, [](int64_t index) {
    return index >= 21 ? absl::DataLossError(absl::StrCat("numbers[", index, "]: broken")) : absl::OkStatus();
  });
  Loader loader(dataset, FirstImages(400), MakeOptions(4, GetParam()));
  absl::Status status;
  EXPECT_EQ(Drain(&loader, &status).size(), 5);
  EXPECT_EQ(status, absl::DataLossError("numbers[21]: broken"));
  EXPECT_EQ(loader.Next().status(), absl::DataLossError("numbers[21]: broken"));
}

TEST_P(LoaderWorkersTest, LeavesOutBadImagesWhereAskedTo) {
  Numbers dataset(20, [](int64_t index) {
    const bool bad = index == 1 || (index >= 8 && index < 12) || index == 19;
    return bad ? absl::DataLossError(absl::StrCat("numbers[", index, "]: broken")) : absl::OkStatus();
  });
  std::vector<int64_t> reversed = FirstImages(20);
  std::reverse(reversed.begin(), reversed.end());
  for (int world_size : {1, 2, 3}) {
    std::vector<std::vector<int64_t>> labels(5), positions(5);
    std::map<int64_t, std::string> skipped;
    for (int rank = 0; rank < world_size; ++rank) {
      LoaderOptions options = MakeOptions(4, GetParam(), rank, world_size);
      options.skip_bad_images = true;
      Loader loader(dataset, reversed, options);
      absl::Status status;
      for (const Batch& batch : Drain(&loader, &status)) {
        labels[batch.ordinal] = Labels(batch);
        positions[batch.ordinal] = Values(batch.positions);
        EXPECT_EQ(batch.images.size(0), batch.labels.size(0));
        for (int64_t k = 0; k < batch.images.size(0); ++k) {
          EXPECT_EQ(batch.images[k].min().item<float>(), batch.labels[k].item<int64_t>() / 255.0f);
        }
      }
      EXPECT_TRUE(status.ok()) << status;
      for (const SkippedImage& image : loader.skipped()) skipped[image.position] = image.message;
    }
    EXPECT_EQ(labels, (std::vector<std::vector<int64_t>>{{18, 17, 16}, {15, 14, 13, 12}, {}, {7, 6, 5, 4}, {3, 2, 0}}));
    EXPECT_EQ(positions[0], (std::vector<int64_t>{1, 2, 3}));
    EXPECT_EQ(positions[4], (std::vector<int64_t>{16, 17, 19}));
    EXPECT_EQ(skipped, (std::map<int64_t, std::string>{{0, "numbers[19]: broken"},
                                                       {8, "numbers[11]: broken"},
                                                       {9, "numbers[10]: broken"},
                                                       {10, "numbers[9]: broken"},
                                                       {11, "numbers[8]: broken"},
                                                       {18, "numbers[1]: broken"}}));
  }
}

TEST(LoaderTest, OnlyBadImagesAreLeftOut) {
  Numbers dataset(4, [](int64_t index) {
    return index == 2 ? absl::PermissionDeniedError("open 'numbers[2]': Permission denied") : absl::OkStatus();
  });
  LoaderOptions options = MakeOptions(2, 1);
  options.skip_bad_images = true;
  Loader loader(dataset, FirstImages(4), options);
  EXPECT_EQ(Labels(**loader.Next()), FirstImages(2));
  EXPECT_EQ(loader.Next().status(), absl::PermissionDeniedError("open 'numbers[2]': Permission denied"));
}

// What is drawn goes by the image's index in the dataset: not by its place in the list, batch, worker or rank.
TEST(LoaderTest, TheSameImageGetsTheSameAugmentationWhereverItStands) {
  Pattern dataset;
  LoaderOptions options = MakeOptions(3, 2);
  options.input = {{"photographs", 0.875, {0, 0, 0}, {1, 1, 1}}, 16, 16, Transform::kTrain, 5};
  absl::Status status;
  Loader in_order(dataset, FirstImages(9), options);
  std::map<int64_t, at::Tensor> images;
  for (const Batch& batch : Drain(&in_order, &status)) {
    for (int64_t k = 0; k < batch.images.size(0); ++k) images[batch.labels[k].item<int64_t>()] = batch.images[k];
  }
  ASSERT_EQ(images.size(), 9);
  EXPECT_FALSE(images[0].equal(images[1]));
  EXPECT_TRUE(images[4].equal(Normalise(*Crop(dataset.Get(4)->pixels, options.input, 4), options.input.preset)));
  for (int rank = 0; rank < 2; ++rank) {
    options.batch_size = 4;
    options.workers = 3;
    options.rank = rank;
    options.world_size = 2;
    Loader shuffled(dataset, {8, 3, 0, 5, 1, 7, 2, 6, 4}, options);
    for (const Batch& batch : Drain(&shuffled, &status)) {
      for (int64_t k = 0; k < batch.images.size(0); ++k) {
        EXPECT_TRUE(batch.images[k].equal(images[batch.labels[k].item<int64_t>()]));
      }
    }
  }
  options.input.seed = 6;
  options.rank = 0;
  Loader other_seed(dataset, {4}, options);
  EXPECT_FALSE((*other_seed.Next())->images[0].equal(images[4]));
}

TEST(LoaderTest, TellsHowLongItWasWaitedFor) {
  Numbers dataset(2, [&](int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    return absl::OkStatus();
  });
  Loader loader(dataset, FirstImages(2), MakeOptions(2, 1));
  EXPECT_EQ(loader.waited_seconds(), 0);
  ASSERT_TRUE(loader.Next().ok());
  EXPECT_GT(loader.waited_seconds(), 0);
  EXPECT_EQ(loader.transfer_seconds(), 0) << "nothing is transferred on a CPU";
}

TEST_P(LoaderWorkersTest, EndsEarly) {
  Numbers dataset(1000);
  for (int taken : {0, 1, 3}) {
    Loader loader(dataset, FirstImages(1000), MakeOptions(2, GetParam()));
    for (int i = 0; i < taken; ++i) EXPECT_EQ((*loader.Next())->ordinal, i);
  }
}

TEST_P(LoaderWorkersTest, SeveralConsumersGetEachBatchOnce) {
  Numbers dataset(400);
  Loader loader(dataset, FirstImages(400), MakeOptions(4, GetParam()));
  std::mutex mutex;
  std::multiset<int64_t> labels;
  std::vector<std::thread> consumers;
  for (int i = 0; i < 6; ++i) {
    consumers.emplace_back([&] {
      int64_t last = -1;
      while (true) {
        absl::StatusOr<std::optional<Batch>> batch = loader.Next();
        ASSERT_TRUE(batch.ok()) << batch.status();
        if (!batch->has_value()) return;
        EXPECT_GT((*batch)->ordinal, last);
        last = (*batch)->ordinal;
        std::lock_guard lock(mutex);
        for (int64_t label : Labels(**batch)) labels.insert(label);
      }
    });
  }
  for (std::thread& consumer : consumers) consumer.join();
  EXPECT_EQ(std::vector<int64_t>(labels.begin(), labels.end()), FirstImages(400));
}

TEST_P(LoaderWorkersTest, SeveralConsumersAllHearOfAnError) {
  Numbers dataset(400, [](int64_t index) { return index == 40 ? absl::DataLossError("broken") : absl::OkStatus(); });
  Loader loader(dataset, FirstImages(400), MakeOptions(4, GetParam()));
  std::atomic<int> errors = 0, early = 0;
  std::vector<std::thread> consumers;
  for (int i = 0; i < 6; ++i) {
    consumers.emplace_back([&] {
      absl::Status status;
      for (const Batch& batch : Drain(&loader, &status)) early += batch.ordinal < 10;
      errors += status == absl::DataLossError("broken");
    });
  }
  for (std::thread& consumer : consumers) consumer.join();
  EXPECT_EQ(errors, 6);
  EXPECT_EQ(early, 10);
}

TEST(LoaderTest, AFastWorkerDoesNotOvertake) {
  std::mutex mutex;
  std::condition_variable changed;
  bool second_done = false;
  Numbers dataset(4, [&](int64_t index) {
    std::unique_lock lock(mutex);
    if (index == 3) second_done = true;  // the last image of the second batch
    changed.notify_all();
    if (index == 0) changed.wait(lock, [&] { return second_done; });
    return absl::OkStatus();
  });
  Loader loader(dataset, FirstImages(4), MakeOptions(2, 2));
  EXPECT_EQ((*loader.Next())->ordinal, 0);
  EXPECT_EQ((*loader.Next())->ordinal, 1);
}

TEST(LoaderTest, AnEarlierImageThatFailsLaterIsTheErrorToTell) {
  std::mutex mutex;
  std::condition_variable changed;
  bool second_failed = false;
  Numbers dataset(4, [&](int64_t index) {
    std::unique_lock lock(mutex);
    if (index == 2) second_failed = true;
    changed.notify_all();
    if (index == 1) changed.wait(lock, [&] { return second_failed; });
    return index == 1 || index == 2 ? absl::DataLossError(absl::StrCat("image ", index)) : absl::OkStatus();
  });
  Loader loader(dataset, FirstImages(4), MakeOptions(2, 2));
  EXPECT_EQ(loader.Next().status(), absl::DataLossError("image 1"));
  EXPECT_EQ(loader.Next().status(), absl::DataLossError("image 1"));
}

TEST(LoaderTest, DecodesNoFurtherAheadThanAsked) {
  std::atomic<int64_t> asked = 0;
  std::atomic<bool> too_far = false;
  LoaderOptions options = MakeOptions(2, 4);
  options.prefetch = 3;
  Numbers dataset(200, [&](int64_t index) {
    if (index / 2 >= asked + 3) too_far = true;
    return absl::OkStatus();
  });
  Loader loader(dataset, FirstImages(200), options);
  for (int64_t i = 0; i < 100; ++i) {
    ++asked;
    EXPECT_EQ((*loader.Next())->ordinal, i);
  }
  EXPECT_FALSE(too_far);
}

TEST(LoaderTest, NamesTheImageThatDoesNotFit) {
  Numbers dataset(4);
  LoaderOptions options = MakeOptions(2, 1);
  options.input.height = options.input.width = 5;
  Loader loader(dataset, {3, 1}, options);
  EXPECT_EQ(loader.Next().status(),
            absl::InvalidArgumentError(
                "numbers[3]: the image is 2 x 2, the network's input 5 x 5; preset plain does not resize"));
}

TEST(LoaderTest, ExceptionsBecomeErrors) {
  Numbers dataset(4, [](int64_t) -> absl::Status { throw std::runtime_error("boom"); });
  Loader loader(dataset, {0}, MakeOptions(2, 1));
  EXPECT_EQ(loader.Next().status(), absl::InternalError("loading images: boom"));
}

TEST(LoaderTest, NoImagesNoBatches) {
  Numbers dataset(4);
  Loader loader(dataset, {}, MakeOptions(2, 1));
  EXPECT_EQ(loader.batches(), 0);
  EXPECT_FALSE(loader.Next()->has_value());
}

TEST(LoaderTest, RefusesWhatCannotBe) {
  Numbers dataset(4);
  EXPECT_EQ(Loader(dataset, {0, 4}, MakeOptions(2, 1)).Next().status(),
            absl::InvalidArgumentError("loader: image 4 is asked for, the dataset has 4"));
  EXPECT_EQ(Loader(dataset, {-1}, MakeOptions(2, 1)).Next().status(),
            absl::InvalidArgumentError("loader: image -1 is asked for, the dataset has 4"));
  EXPECT_EQ(Loader(dataset, {0}, MakeOptions(0, 1)).Next().status(),
            absl::InvalidArgumentError(
                "loader: batch_size 0, input 2 x 2, workers 1, prefetch 4 must be at least 1, rank 0 in [0, 1)"));
  LoaderOptions far = MakeOptions(2, 1);
  far.device = at::Device(at::kCUDA, 100);
  EXPECT_EQ(Loader(dataset, {0}, far).Next().status(),
            absl::InvalidArgumentError(absl::StrCat("loader: device cuda:100 is not there: this process may use ",
                                                    GpuCount(), " GPUs, by number from 0")));
  EXPECT_EQ(Loader(dataset, {0}, MakeOptions(2, 1, 2, 2)).Next().status(),
            absl::InvalidArgumentError(
                "loader: batch_size 2, input 2 x 2, workers 1, prefetch 4 must be at least 1, rank 2 in [0, 2)"));
}

}  // namespace
}  // namespace qwt
