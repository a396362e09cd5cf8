#include "qwt/compensators/common/fit_options.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

FitOptions Read(const std::string& yaml) {
  const auto config = ParseConfig(yaml, "test");
  EXPECT_EQ(config.status(), absl::OkStatus());
  Problems problems;
  const Options options = CheckOptions(*config, Schema{FitOptionList("0.5", "λ.")}, &problems);
  EXPECT_EQ(problems.ToStatus(), absl::OkStatus());
  return ReadFitOptions(options);
}

TEST(FitOptionsTest, Defaults) {
  const FitOptions options = Read("{}");
  EXPECT_EQ(options.start_block, 0);
  EXPECT_EQ(options.ridge, 0.5);
  EXPECT_EQ(options.gate, Gate::kInSample);
  EXPECT_EQ(options.storage, at::kHalf);
  // No gate's images are another's: those of held_out are summed apart under every gate.
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(options.HeldOut(i), i % 4 == 3) << i;
  EXPECT_EQ(options.SumsText(), "held_out_fraction 0.25");
  EXPECT_EQ(options.CheckImages(1), absl::OkStatus());
}

TEST(FitOptionsTest, ImagesKeptAsideAreSpreadEvenly) {
  const FitOptions quarter = Read("{gate: held_out}");
  for (int64_t i = 0; i < 40; ++i) EXPECT_EQ(quarter.HeldOut(i), i % 4 == 3) << i;
  const FitOptions third = Read("{gate: held_out, held_out_fraction: 0.3}");
  for (int64_t count : {10, 100, 512, 1000}) {
    int64_t held_out = 0;
    for (int64_t i = 0; i < count; ++i) held_out += third.HeldOut(i);
    EXPECT_EQ(held_out, static_cast<int64_t>(count * 0.3)) << count;
  }
}

TEST(FitOptionsTest, TooFewImagesToKeepAnyAside) {
  EXPECT_EQ(Read("{gate: held_out}").CheckImages(4), absl::OkStatus());
  EXPECT_EQ(Read("{gate: held_out}").CheckImages(3),
            absl::InvalidArgumentError("gate: held_out keeps 0 of 3 fit images aside with held_out_fraction 0.25; take "
                                       "more images or another fraction"));
  EXPECT_EQ(Read("{gate: held_out, held_out_fraction: 0.9}").CheckImages(1).code(), absl::StatusCode::kInvalidArgument);
}

// Figures of a solution that every gate keeps.
GateFigures Good() {
  GateFigures figures;
  figures.storable = true;
  figures.total_squares = 1;
  figures.r2 = figures.exact_r2 = 0.5;
  figures.held_out_before = 2;
  figures.held_out_after = 1;
  return figures;
}

std::string WhyNot(const std::string& gate, const GateFigures& figures) {
  return WhyNotKept(Read("{gate: " + gate + ", start_block: 1}"), figures);
}

TEST(GateTest, KeepsAndSaysWhyNot) {
  GateFigures figures = Good();
  for (const char* gate : {"in_sample", "held_out", "always"}) {
    figures.index = 0;
    EXPECT_EQ(WhyNot(gate, figures), "before start_block 1");
    figures.index = 1;
    EXPECT_EQ(WhyNot(gate, figures), "");
    figures.storable = false;
    EXPECT_EQ(WhyNot(gate, figures), "the weights are too large for float16; storage: float32 holds them");
    figures.storable = true;
  }
  figures.r2 = -0.5;
  EXPECT_EQ(WhyNot("in_sample", figures),
            "R² is -0.5 once the weights are rounded to float16 (0.5 before); storage: float32 keeps it");
  figures.exact_r2 = -0.25;
  EXPECT_EQ(WhyNot("in_sample", figures), "R² is -0.5");
  EXPECT_EQ(WhyNot("always", figures), "");
  EXPECT_EQ(WhyNot("held_out", figures), "") << "only the images kept aside decide";
  figures = Good();
  figures.index = 1;
  figures.held_out_after = 2;
  EXPECT_EQ(WhyNot("held_out", figures), "the held-out images' mean squared error does not fall: 2 before, 2 after");
  EXPECT_EQ(WhyNot("in_sample", figures), "");
  figures = Good();
  figures.index = 1;
  figures.total_squares = 0;
  EXPECT_EQ(WhyNot("in_sample", figures), "the quantisation error does not vary");
  EXPECT_EQ(WhyNot("always", figures), "");
}

}  // namespace
}  // namespace qwt
