#include "data/dataset.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "gtest/gtest.h"

namespace qwt {
namespace {

class SizeOnly : public Dataset {
 public:
  explicit SizeOnly(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  int64_t classes() const override { return 1; }
  absl::StatusOr<Example> Get(int64_t) const override { return absl::UnimplementedError("no pixels"); }
  std::string NameOf(int64_t) const override { return ""; }
  absl::StatusOr<std::string> Fingerprint(absl::Span<const int64_t>) const override { return std::string(); }

 private:
  int64_t size_;
};

using Indices = std::vector<int64_t>;

TEST(SelectImagesTest, First) { EXPECT_EQ(*SelectImages(SizeOnly(10), 4, Order::kFirst, 7), (Indices{0, 1, 2, 3})); }

TEST(SelectImagesTest, ZeroIsAllInOrder) {
  for (Order order : {Order::kFirst, Order::kRandom}) {
    EXPECT_EQ(*SelectImages(SizeOnly(4), 0, order, 7), (Indices{0, 1, 2, 3}));
  }
  EXPECT_EQ(*SelectImages(SizeOnly(0), 0, Order::kRandom, 7), Indices{});
}

// Stored results depend on this list: it must never change.
TEST(SelectImagesTest, RandomIsTheSameOnEveryMachine) {
  EXPECT_EQ(*SelectImages(SizeOnly(512), 12, Order::kRandom, 0),
            (Indices{16, 120, 376, 236, 237, 396, 433, 347, 453, 43, 277, 133}));
  EXPECT_EQ(*SelectImages(SizeOnly(1281167), 4, Order::kRandom, 42), (Indices{819917, 785707, 1193687, 421451}));
}

TEST(SelectImagesTest, RandomTakesEachImageOnce) {
  Indices all = *SelectImages(SizeOnly(1000), 1000, Order::kRandom, 3);
  EXPECT_FALSE(std::is_sorted(all.begin(), all.end()));
  std::sort(all.begin(), all.end());
  Indices expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
}

TEST(SelectImagesTest, MoreImagesKeepTheFirstOnes) {
  const Indices few = *SelectImages(SizeOnly(1000), 32, Order::kRandom, 3);
  const Indices many = *SelectImages(SizeOnly(1000), 512, Order::kRandom, 3);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

TEST(SelectImagesTest, SeedsDiffer) {
  std::set<Indices> lists;
  for (uint64_t seed = 0; seed < 100; ++seed) lists.insert(*SelectImages(SizeOnly(1000), 4, Order::kRandom, seed));
  EXPECT_EQ(lists.size(), 100);
}

TEST(SelectImagesTest, TooMany) {
  EXPECT_EQ(SelectImages(SizeOnly(512), 600, Order::kFirst, 0).status(),
            absl::InvalidArgumentError("dataset has 512 images, 600 are asked for"));
  EXPECT_EQ(SelectImages(SizeOnly(512), -1, Order::kRandom, 0).status(),
            absl::InvalidArgumentError("-1 images are asked for; must be at least 0"));
}

}  // namespace
}  // namespace qwt
