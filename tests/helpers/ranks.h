// Ranks as a plain shell loop would start them: nobody ends them when one has failed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/helpers/program.h"

namespace qwt {

using Ranks = std::vector<std::unique_ptr<Program>>;

// `ranks` programs with these arguments, which meet on this machine; `more` are further variables.
Ranks StartRanks(int ranks, const std::vector<std::string>& arguments,
                 const std::map<std::string, std::string>& more = {});

// Waits for all of them but `except` (-1: none). A test that hangs here is ended by Bazel.
std::vector<ProgramResult> WaitForRanks(Ranks& ranks, int except = -1);

}  // namespace qwt
