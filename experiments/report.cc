#include "experiments/report.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/base/files.h"
#include "core/base/status.h"

namespace qwt {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> ReadJson(const std::string& path) {
  QWT_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) return json;
  return absl::DataLossError(absl::StrCat("'", path, "' is damaged: it holds no JSON object"));
}

const std::vector<std::string> kModels = {"float", "quantized", "compensated"};

std::string Number(const Json& object, const char* name, const char* field, int digits) {
  const Json value = object.value(name, Json());
  const Json number = field == nullptr || !value.is_object() ? value : value.value(field, Json());
  return number.is_number() ? absl::StrFormat("%.*f", digits, number.get<double>()) : "";
}

std::vector<std::string> RowOf(const Json& run, const Json& axes, const Json& result) {
  std::vector<std::string> row = {run.value("name", "")};
  for (const Json& axis : axes) row.push_back(run.value("axes", Json::object()).value(axis.get<std::string>(), ""));
  row.push_back(run.value("status", ""));
  const Json evaluation = result.value("evaluation", Json::object()), sizes = result.value("size_mb", Json::object());
  for (const std::string& model : kModels) row.push_back(Number(evaluation, model.c_str(), "top1", 2));
  std::string gain;
  if (evaluation.contains("quantized") && evaluation.contains("compensated")) {
    gain = absl::StrFormat("%+.2f",
                           evaluation["compensated"].value("top1", 0.0) - evaluation["quantized"].value("top1", 0.0));
  }
  row.push_back(gain);
  for (const std::string& model : kModels) row.push_back(Number(sizes, model.c_str(), nullptr, 3));
  return row;
}

std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::string Csv(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (const auto& row : rows) {
    absl::StrAppend(
        &text, absl::StrJoin(row, ",", [](std::string* out, const std::string& field) { *out += CsvField(field); }),
        "\n");
  }
  return text;
}

std::string Markdown(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (size_t i = 0; i < rows.size(); ++i) {
    absl::StrAppend(&text, "| ", absl::StrJoin(rows[i], " | "), " |\n");
    if (i > 0) continue;
    text += "|";
    for (size_t column = 0; column < rows[0].size(); ++column) text += "---|";
    text += "\n";
  }
  return text;
}

}  // namespace

absl::Status WriteSweepReport(const std::string& folder) {
  return CatchExceptions(absl::StrCat("'", folder, "/sweep.json'"), [&]() -> absl::Status {
    QWT_ASSIGN_OR_RETURN(const Json sweep, ReadJson(folder + "/sweep.json"));
    std::vector<std::vector<std::string>> rows = {{"run"}};
    const Json axes = sweep.value("axes", Json::array());
    for (const Json& axis : axes) rows[0].push_back(axis.get<std::string>());
    for (const char* column : {"status", "float top-1 %", "quantised top-1 %", "compensated top-1 %", "gain",
                               "float MB", "quantised MB", "compensated MB"}) {
      rows[0].push_back(column);
    }
    for (const Json& run : sweep.value("runs", Json::array())) {
      const auto result = ReadJson(absl::StrCat(folder, "/", run.value("folder", ""), "/result.json"));
      rows.push_back(RowOf(run, axes, result.ok() ? *result : Json::object()));
    }
    QWT_RETURN_IF_ERROR(WriteFileAtomically(folder + "/table.csv", Csv(rows)));
    return WriteFileAtomically(folder + "/table.md", Markdown(rows));
  });
}

}  // namespace qwt
