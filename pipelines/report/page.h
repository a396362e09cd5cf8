// A self-contained HTML page: its style, and the parts that pages of runs and of sweeps are built of. Whatever these
// take as text is escaped, what they take as html is not.
#pragma once

#include <string>
#include <vector>

namespace qwt {

// Readable on a phone and in print; needs nothing from elsewhere. script: inline JavaScript; "" for none.
std::string HtmlPage(const std::string& title, const std::string& body_html, const std::string& script = "");

std::string HtmlSection(const std::string& heading, const std::string& html);  // "" where html is
// A chart, or several, with what they show, said in words.
std::string HtmlFigure(const std::string& caption, const std::string& html);
std::string HtmlColumns(const std::vector<std::string>& figures);   // side by side where there is room
std::string HtmlMultiples(const std::vector<std::string>& charts);  // small ones, two to a phone's width
std::string HtmlFolded(const std::string& summary, const std::string& html);
std::string HtmlParagraph(const std::string& text, const std::string& css_class = "");

// The figures that matter, large.
struct HtmlCard {
  std::string name, figure, remark;
  const char* colour;
};
std::string HtmlCards(const std::vector<HtmlCard>& cards);

}  // namespace qwt
