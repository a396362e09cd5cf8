// A table as it is printed, and its forms: HTML, CSV, Markdown, LaTeX. The same cells give the same bytes.
#pragma once

#include <string>
#include <vector>

namespace qwt {

struct TableCell {
  std::string text;
  std::string link = "";  // HTML only: where the text leads
};

struct TableColumn {
  std::string name;    // with its unit, "size, MB": cells hold bare numbers
  bool number = true;  // right-aligned
};

struct ResultTable {
  std::vector<TableColumn> columns;
  std::vector<std::vector<TableCell>> rows;  // as many cells as columns
};

std::string ToHtml(const ResultTable& table, bool sortable = false);
std::string ToCsv(const ResultTable& table);       // RFC 4180, but lines end with \n
std::string ToMarkdown(const ResultTable& table);  // GitHub's
std::string ToLatex(const ResultTable& table);     // a tabular that needs no package

}  // namespace qwt
