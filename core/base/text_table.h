// Tables for a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qwt {

enum class Align { kLeft, kRight };

// Rows of cells as lines, each behind two blanks, a column as wide as its widest cell (in characters, not bytes). Every
// row has a cell for each column.
std::string TextTable(const std::vector<Align>& columns, const std::vector<std::vector<std::string>>& rows);

// "22,050,664".
std::string GroupedDigits(int64_t number);

}  // namespace qwt
