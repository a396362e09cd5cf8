#include "pipelines/report/charts.h"

#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pipelines/report/svg.h"

namespace qwt {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

int Count(const std::string& text, const std::string& part) {
  return static_cast<int>(std::vector<std::string>(absl::StrSplit(text, part)).size()) - 1;
}

TEST(ScaleTest, TicksAreRound) {
  EXPECT_THAT(Ticks({86.3, 90.9, 0, 1}, 5), ElementsAre(87, 88, 89, 90));
  EXPECT_THAT(Ticks({0, 0.35, 0, 1}, 4),
              ElementsAre(0, DoubleNear(0.1, 1e-12), DoubleNear(0.2, 1e-12), DoubleNear(0.3, 1e-12)));
  EXPECT_THAT(Ticks({0.008, 0.09, 0, 1, true}, 5),
              ElementsAre(DoubleNear(0.01, 1e-9), DoubleNear(0.02, 1e-9), DoubleNear(0.05, 1e-9)));
  EXPECT_THAT(Ticks({3, 3, 0, 1}, 5), ElementsAre(3));
  EXPECT_LE(Ticks({1e-12, 1e12, 0, 1, true}, 5).size(), 6u);
}

TEST(ScaleTest, CoversEveryValueThatCanBeDrawn) {
  const double infinite = std::numeric_limits<double>::infinity();
  const Scale scale = ScaleOver({2, infinite, -1, 0.5}, 100, 0, true);
  EXPECT_LT(scale.low, 0.5);
  EXPECT_GT(scale.high, 2);
  EXPECT_GT(scale.At(0.5), scale.At(2));
  EXPECT_EQ(scale.At(-1), 100) << "at the end where it cannot be drawn";
  const Scale one = ScaleOver({5, 5}, 0, 10);
  EXPECT_NEAR(one.At(5), 5, 1e-9);
  EXPECT_LT(ScaleOver({}, 0, 1).low, ScaleOver({}, 0, 1).high);
}

TEST(SvgTest, TextIsEscapedAndShortenedByCharacters) {
  EXPECT_EQ(EscapeHtml("<a & 'b' \"c\">"), "&lt;a &amp; &#39;b&#39; &quot;c&quot;&gt;");
  EXPECT_EQ(Shortened("short", 10, 100), "short");
  EXPECT_EQ(Shortened("ééééé", 10, 18), "éé…");
  EXPECT_EQ(Shortened("layers.0.blocks.0", 12, TextWidth("layers.0.blocks.0", 12) + 8.1 - 8.1), "layers.0.blocks.0");
  EXPECT_EQ(TextWidth("éé", 10), TextWidth("ee", 10));
}

TEST(ChartsTest, RowsHaveNamesIntervalsAndTooltips) {
  RowChart chart{"a <label>", {"top-1, %"}, {}, {{"quantised", kVermilion}}};
  chart.rows.push_back({"w3 & w4", {{88, kBlue, Marker::kCircle, 87, 89, "88 <%>"}}, "+1.00"});
  chart.rows.push_back({"no result", {}, "failed"});
  const std::string svg = Draw(chart);
  for (const char* part : {"aria-label='a &lt;label&gt;'", ">w3 &amp; w4<", ">+1.00<", ">failed<", ">top-1, %<",
                           "<title>88 &lt;%&gt;</title>", ">quantised<"}) {
    EXPECT_THAT(svg, HasSubstr(part));
  }
}

TEST(ChartsTest, ValuesThatALogAxisCannotShowAreLeftOut) {
  const LineChart chart{"",
                        {"block"},
                        {"error", true},
                        {{"one", kBlue, {{0, 0}, {1, 0.1}, {2, 0.2}}}},
                        {{0, "stem"}, {1, "0"}, {2, "1"}}};
  const std::string svg = Draw(chart);
  EXPECT_EQ(Count(svg, "<circle"), 2);
  EXPECT_THAT(svg, HasSubstr("<title>one, 0: 0.1</title>"));
  EXPECT_THAT(svg, Not(testing::AnyOf(HasSubstr("nan"), HasSubstr("inf"))));
}

TEST(ChartsTest, TheFrontIsWhatNothingSmallerBeats) {
  std::vector<ScatterPoint> points = {{1, 50, "a"}, {2, 40, "b"}, {3, 60, "c"},
                                      {3, 55, "d"}, {4, 60, "e"}, {1, 50, "f"}};
  MarkFront(&points);
  std::string front;
  for (const ScatterPoint& point : points) {
    if (point.on_front) front += point.name;
  }
  EXPECT_EQ(front, "acf");
}

TEST(ChartsTest, NamesThatWouldLieOnEachOtherAreNotWritten) {
  ScatterChart crowded{"", {"size, MB"}, {"accuracy, %"}, {}, {}};
  for (int i = 0; i < 60; ++i) crowded.points.push_back({1 + i * 1e-3, 50, "crowd", kBlue, Marker::kCircle, "tip"});
  crowded.points.push_back({3, 80, "alone", kBlue});
  const std::string svg = Draw(crowded);
  EXPECT_EQ(Count(svg, ">alone<"), 1);
  EXPECT_GT(Count(svg, ">crowd<"), 0);
  EXPECT_LT(Count(svg, ">crowd<"), 10);
  EXPECT_EQ(Count(svg, "<title>tip</title>"), 60) << "but pointing at a mark says which it is";
}

TEST(ChartsTest, BarsHeatAndGrid) {
  const BarChart bars{"", {"seconds"}, {{"fit", {{1, kBlue, "computed"}, {0.5, kOrange, "waited"}}, "1.5 s"}}, {}};
  EXPECT_THAT(Draw(bars), testing::AllOf(HasSubstr("<title>waited</title>"), HasSubstr(">1.5 s<")));
  const HeatChart heat{"", "block", {"0", "1"}, {{"run", {0.25, std::nullopt}}}, 2};
  EXPECT_EQ(Count(Draw(heat), "<rect"), 1);
  EXPECT_THAT(Draw(heat), HasSubstr("<title>run, 0: 0.25</title>"));
  GridChart grid{"", "kind", "in blocks.0", "14 dB", -1, 4, {0, 5, 1, 0}, {0, 1, 2, 3}, {"-1", "0", "1", "2"}};
  const std::string svg = Draw(grid);
  EXPECT_EQ(Count(svg, "<rect"), 2) << "bins without a value are not drawn";
  EXPECT_EQ(Count(svg, "stroke='#d55e00'"), 4) << "a line for each code";
  grid.all_codes = false;
  EXPECT_EQ(Count(Draw(grid), "<rect"), 3) << "and where there are too many, their range";
}

}  // namespace
}  // namespace qwt
