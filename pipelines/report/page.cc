#include "pipelines/report/page.h"

#include "absl/strings/str_cat.h"
#include "pipelines/report/svg.h"

namespace qwt {
namespace {

constexpr char kStyle[] = R"(
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 1.5rem auto 3rem; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-top: .7rem; border-top: 1px solid #e2e2e2; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: #0072b2; }
.sub { color: #5f5f5f; margin-top: .2rem; }
.lead { font-size: 1.05rem; max-width: 54rem; }
.failed { color: #a40000; font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: 1.1rem 0; }
.card { border: 1px solid #e2e2e2; border-left: 5px solid; border-radius: 5px; padding: .5rem .8rem; }
.card b { display: block; font-size: 1.55rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span { color: #5f5f5f; font-size: .87rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.4rem 2rem; align-items: start; }
.multiples { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.4rem, 1fr)); gap: .9rem 1.1rem; }
.columns > * { max-width: 32rem; min-width: 0; }
figure { margin: 0; break-inside: avoid; }
figcaption { color: #444; font-size: .92rem; margin-bottom: .4rem; }
svg { display: block; width: 100%; height: auto; font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-size: 12px; fill: #222; overflow: visible; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { padding: .3rem .55rem; text-align: right; border-bottom: 1px solid #e2e2e2; font-variant-numeric: tabular-nums; white-space: nowrap; }
th { white-space: normal; overflow-wrap: normal; font-weight: 600; color: #444; vertical-align: bottom; border-bottom-color: #999; }
th.text, td.text { text-align: left; }
tbody tr:hover { background: #f6f8fa; }
.sortable th { cursor: pointer; } .sortable th[aria-sort=ascending]::after { content: " ▴"; } .sortable th[aria-sort=descending]::after { content: " ▾"; }
details { margin: .8rem 0; } summary { cursor: pointer; color: #0072b2; }
details.run { border: 1px solid #e2e2e2; border-radius: 5px; padding: .4rem .9rem; } details.run[open] > summary { margin-bottom: .5rem; }
pre { background: #f6f8fa; padding: .7rem; overflow-x: auto; font-size: .85rem; line-height: 1.4; overflow-wrap: normal; }
@media (max-width: 30rem) { body { margin-top: 1rem; padding: 0 .9rem; } .multiples { gap: .8rem; } .columns { gap: 1.2rem; } .cards { grid-template-columns: 1fr 1fr; } .card { padding: .4rem .6rem; } .card b { font-size: 1.3rem; } }
@media print { body { max-width: none; margin: 0; font-size: 10.5pt; } h2 { break-after: avoid; margin-top: 1.4rem; } .scroll { overflow: visible; } th, td { white-space: normal; padding: .15rem .35rem; } .columns { grid-template-columns: 1fr 1fr; } .multiples { grid-template-columns: repeat(4, 1fr); } a { color: inherit; text-decoration: none; } tr, .card { break-inside: avoid; } details:not([open]) { display: none; } }
)";

std::string Wrapped(const char* css_class, const std::vector<std::string>& figures) {
  std::string html;
  for (const std::string& figure : figures) html += figure;
  return html.empty() ? "" : absl::StrCat("<div class='", css_class, "'>", html, "</div>");
}

}  // namespace

std::string HtmlPage(const std::string& title, const std::string& body_html, const std::string& script) {
  return absl::StrCat(
      "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
      "content='width=device-width, initial-scale=1'><link rel='icon' href='data:,'><title>",
      EscapeHtml(title), "</title><style>", kStyle, "</style></head><body>\n", body_html,
      script.empty() ? "" : absl::StrCat("<script>", script, "</script>\n"), "</body></html>\n");
}

std::string HtmlSection(const std::string& heading, const std::string& html) {
  if (html.empty()) return "";
  return absl::StrCat("<section><h2>", EscapeHtml(heading), "</h2>\n", html, "</section>\n");
}

std::string HtmlFigure(const std::string& caption, const std::string& svg) {
  return absl::StrCat("<figure><figcaption>", EscapeHtml(caption), "</figcaption>", svg, "</figure>\n");
}

std::string HtmlColumns(const std::vector<std::string>& figures) { return Wrapped("columns", figures); }

std::string HtmlMultiples(const std::vector<std::string>& figures) { return Wrapped("multiples", figures); }

std::string HtmlFolded(const std::string& summary, const std::string& html) {
  return absl::StrCat("<details><summary>", EscapeHtml(summary), "</summary>", html, "</details>\n");
}

std::string HtmlParagraph(const std::string& text, const std::string& css_class) {
  return absl::StrCat("<p", css_class.empty() ? "" : absl::StrCat(" class='", css_class, "'"), ">", EscapeHtml(text),
                      "</p>\n");
}

std::string HtmlCards(const std::vector<HtmlCard>& cards) {
  std::string html = "<div class='cards'>";
  for (const HtmlCard& card : cards) {
    absl::StrAppend(&html, "<div class='card' style='border-left-color:", card.colour, "'><span>",
                    EscapeHtml(card.name), "</span><b>", EscapeHtml(card.figure), "</b><span>", EscapeHtml(card.remark),
                    "</span></div>");
  }
  return html + "</div>\n";
}

}  // namespace qwt
