#include "pipelines/report/table.h"

#include "gtest/gtest.h"

namespace qwt {
namespace {

ResultTable SomeTable() {
  return {{{"run", false}, {"size, MB"}}, {{{"a_b, \"c\"", "runs/a&b"}, {"1.5"}}, {{"<x>|y"}, {""}}}};
}

TEST(TableTest, Csv) { EXPECT_EQ(ToCsv(SomeTable()), "run,\"size, MB\"\n\"a_b, \"\"c\"\"\",1.5\n<x>|y,\n"); }

TEST(TableTest, Markdown) {
  EXPECT_EQ(ToMarkdown(SomeTable()), "| run | size, MB |\n|---|---:|\n| a_b, \"c\" | 1.5 |\n| &lt;x>\\|y |  |\n");
}

TEST(TableTest, Latex) {
  EXPECT_EQ(
      ToLatex(SomeTable()),
      "\\begin{tabular}{lr}\n\\hline\nrun & size, MB \\\\\n\\hline\na\\_b, \"c\" & 1.5 \\\\\n<x>|y &  \\\\\n\\hline\n"
      "\\end{tabular}\n");
  EXPECT_EQ(
      ToLatex({{{"100 % & {$#}~^\\"}}, {}}),
      "\\begin{tabular}{r}\n\\hline\n100 \\% \\& \\{\\$\\#\\}\\textasciitilde{}\\textasciicircum{}\\textbackslash{} "
      "\\\\\n\\hline\n\\hline\n\\end{tabular}\n");
}

TEST(TableTest, HtmlEscapesTextAndLinks) {
  EXPECT_EQ(ToHtml(SomeTable()),
            "<div class='scroll'><table><thead><tr><th class='text'>run</th><th>size, MB</th></tr></thead><tbody>"
            "<tr><td class='text'><a href='runs/a&amp;b'>a_b, &quot;c&quot;</a></td><td>1.5</td></tr>"
            "<tr><td class='text'>&lt;x&gt;|y</td><td></td></tr></tbody></table></div>");
}

}  // namespace
}  // namespace qwt
