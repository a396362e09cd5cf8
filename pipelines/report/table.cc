#include "pipelines/report/table.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "pipelines/report/svg.h"

namespace qwt {
namespace {

std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::string MarkdownField(const std::string& text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}, {"<", "&lt;"}});
}

std::string LatexField(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\\", "\\textbackslash{}"},
                                    {"&", "\\&"},
                                    {"%", "\\%"},
                                    {"$", "\\$"},
                                    {"#", "\\#"},
                                    {"_", "\\_"},
                                    {"{", "\\{"},
                                    {"}", "\\}"},
                                    {"~", "\\textasciitilde{}"},
                                    {"^", "\\textasciicircum{}"},
                                    {"\n", " "}});
}

}  // namespace

std::string ToHtml(const ResultTable& table, bool sortable) {
  std::string html = absl::StrCat("<div class='scroll'><table", sortable ? " class='sortable'" : "", "><thead><tr>");
  const auto cell_class = [&](size_t i) { return table.columns[i].number ? "" : " class='text'"; };
  for (size_t i = 0; i < table.columns.size(); ++i) {
    absl::StrAppend(&html, "<th", cell_class(i), ">", EscapeHtml(table.columns[i].name), "</th>");
  }
  html += "</tr></thead><tbody>";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string text = EscapeHtml(row[i].text);
      absl::StrAppend(
          &html, "<td", cell_class(i), ">",
          row[i].link.empty() ? text : absl::StrCat("<a href='", EscapeHtml(row[i].link), "'>", text, "</a>"), "</td>");
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div>";
}

std::string ToCsv(const ResultTable& table) {
  std::string csv;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    absl::StrAppend(&csv, i == 0 ? "" : ",", CsvField(table.columns[i].name));
  }
  csv += "\n";
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) absl::StrAppend(&csv, i == 0 ? "" : ",", CsvField(row[i].text));
    csv += "\n";
  }
  return csv;
}

std::string ToMarkdown(const ResultTable& table) {
  std::string markdown = "|", rule = "|";
  for (const TableColumn& column : table.columns) {
    absl::StrAppend(&markdown, " ", MarkdownField(column.name), " |");
    rule += column.number ? "---:|" : "---|";
  }
  absl::StrAppend(&markdown, "\n", rule, "\n");
  for (const auto& row : table.rows) {
    markdown += "|";
    for (const TableCell& cell : row) absl::StrAppend(&markdown, " ", MarkdownField(cell.text), " |");
    markdown += "\n";
  }
  return markdown;
}

std::string ToLatex(const ResultTable& table) {
  std::string latex = "\\begin{tabular}{";
  for (const TableColumn& column : table.columns) latex += column.number ? "r" : "l";
  latex += "}\n\\hline\n";
  for (size_t i = 0; i < table.columns.size(); ++i) {
    absl::StrAppend(&latex, i == 0 ? "" : " & ", LatexField(table.columns[i].name));
  }
  latex += " \\\\\n\\hline\n";
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) absl::StrAppend(&latex, i == 0 ? "" : " & ", LatexField(row[i].text));
    latex += " \\\\\n";
  }
  return latex + "\\hline\n\\end{tabular}\n";
}

}  // namespace qwt
