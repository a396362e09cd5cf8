// The pages of a run and of a sweep in a real browser, as wide as a phone and as a desktop: no errors, nothing wider
// than the screen, no text on another or outside its drawing. Skipped where no Chromium is installed: it is three times
// as large as everything else that the project installs, and nobody needs it to use the project.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/quickstart.h"

namespace qwt {
namespace {

using nlohmann::json;

std::string FindBrowser() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
    for (const char* folder : {"/usr/bin/", "/usr/local/bin/"}) {
      if (std::filesystem::exists(absl::StrCat(folder, name))) return absl::StrCat(folder, name);
    }
  }
  return "";
}

// Loads the page into frames of both widths, unfolds all of it and writes what is found into the document. Chromium's
// own window cannot be as narrow as a phone; a frame can.
constexpr char kHarness[] = R"(<!doctype html><html><body><script>
function look(frame) {
  const page = frame.contentDocument, found = {width: frame.clientWidth, problems: []};
  page.querySelectorAll('details').forEach(details => details.open = true);
  found.scroll_width = page.documentElement.scrollWidth;
  found.drawings = page.querySelectorAll('svg').length;
  found.smallest_text = 99;
  for (const drawing of page.querySelectorAll('svg')) {
    const area = drawing.getBoundingClientRect(), name = drawing.getAttribute('aria-label');
    const texts = [...drawing.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    if (area.width === 0) found.problems.push(name + ': not drawn');
    if (/NaN|Infinity/.test(drawing.outerHTML)) found.problems.push(name + ': a coordinate is no number');
    for (const [text, box] of texts) {
      found.smallest_text = Math.min(found.smallest_text, box.height);
      if (box.left < area.left - 2 || box.right > area.right + 2 || box.top < area.top - 2 || box.bottom > area.bottom + 2)
        found.problems.push(name + ': "' + text + '" is outside');
    }
    for (let i = 0; i < texts.length; ++i) for (let j = 0; j < i; ++j) {
      const [a, b] = [texts[i][1], texts[j][1]];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 1 && high > 4) found.problems.push(name + ': "' + texts[i][0] + '" lies on "' + texts[j][0] + '"');
    }
  }
  return found;
}
const all = [];
for (const width of [390, 1100]) {
  const frame = document.createElement('iframe');
  frame.style.cssText = 'border:0;height:3000px;width:' + width + 'px';
  frame.onload = () => {
    all.push(look(frame));
    if (all.length === 2) document.body.innerHTML = '<pre id=found>' + btoa(unescape(encodeURIComponent(JSON.stringify(all)))) + '</pre>';
  };
  frame.srcdoc = PAGE;
  document.body.append(frame);
}
</script></body></html>)";

std::string Decoded(const std::string& base64) {
  static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  int bits = 0;
  uint32_t value = 0;
  for (char c : base64) {
    const size_t digit = alphabet.find(c);
    if (digit == std::string::npos) break;
    value = value << 6 | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>(value >> bits & 0xff);
  }
  return bytes;
}

ProgramResult Browse(const std::string& path) {
  return RunProgram({FindBrowser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", "file://" + path});
}

void ExpectSound(const std::string& page, int drawings) {
  const ProgramResult plain = Browse(page);
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_THAT(plain.err, testing::Not(testing::HasSubstr("CONSOLE"))) << "the page's own messages";
  const std::string harness = page + ".harness.html";
  const std::string quoted = absl::StrReplaceAll(json(Contents(page)).dump(), {{"</", "<\\/"}});
  MakeFile(harness, absl::StrReplaceAll(kHarness, {{"PAGE", quoted}}));
  const ProgramResult framed = Browse(harness);
  ASSERT_EQ(framed.exit_code, 0) << framed.err;
  const std::string start = "<pre id=\"found\">";
  const size_t at = framed.out.find(start);
  ASSERT_NE(at, std::string::npos) << framed.out.substr(0, 500) << framed.err;
  const json found = json::parse(Decoded(framed.out.substr(at + start.size())));
  ASSERT_EQ(found.size(), 2u);
  for (const json& width : found) {
    EXPECT_LE(width["scroll_width"], width["width"]);
    EXPECT_GE(width["drawings"], drawings);
    EXPECT_GE(width["smallest_text"], 9) << "pixels, at a width of " << width["width"];
    EXPECT_TRUE(width["problems"].empty()) << width["width"] << " pixels wide: " << width["problems"].dump(1);
  }
}

class BrowserTest : public testing::Test {
 protected:
  void SetUp() override {
    if (FindBrowser().empty()) GTEST_SKIP() << "no Chromium is installed: apt-get install chromium";
  }
};

TEST_F(BrowserTest, ARunsPage) {
  const std::string folder = TestFolder("run");
  const ProgramResult run = RunProgram(ShortQuickstart(folder));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  ExpectSound(folder + "/out/report.html", 14);
}

TEST_F(BrowserTest, ASweepsPage) {
  const std::string folder = TestFolder("sweep");
  json runs = json::array();
  for (const char* bits : {"2", "3", "4"}) {
    const std::string name = absl::StrCat("a_rather_long_name_of_a_run_with_w", bits);
    const ProgramResult run = RunProgram(ShortQuickstart(
        folder, {absl::StrCat("quantize.weight_bits=", bits), "name=" + name, "--out=" + folder + "/runs/" + name}));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    runs.push_back(
        {{"name", name}, {"folder", "runs/" + name}, {"axes", {{"quantize.weight_bits", bits}}}, {"status", "ok"}});
  }
  runs.push_back({{"name", "not_run"},
                  {"folder", "runs/not_run"},
                  {"axes", {{"quantize.weight_bits", "8"}}},
                  {"status", "not run"}});
  MakeFile(folder + "/sweep.json",
           json({{"schema", 1}, {"name", "sweep"}, {"axes", {"quantize.weight_bits"}}, {"runs", runs}}).dump());
  const ProgramResult report = RunProgram({"experiments/report", folder});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  ExpectSound(folder + "/report.html", 48);
}

}  // namespace
}  // namespace qwt
