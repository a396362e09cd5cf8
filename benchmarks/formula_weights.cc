// formula_weights FULLSIZE_JSON NETWORK FILE: writes a published network's parameters by the formula that
// tests/golden/fullsize.json states, as safetensors.
#include "tests/helpers/formula_weights.h"

#include <fstream>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: formula_weights FULLSIZE_JSON NETWORK FILE" << std::endl;
    return 2;
  }
  const auto fullsize = nlohmann::json::parse(std::ifstream(argv[1]));
  const absl::Status written = qwt::WriteSafetensors(argv[3], {qwt::FormulaParameters(fullsize, argv[2]), {}});
  if (!written.ok()) std::cerr << "error: " << written.message() << std::endl;
  return written.ok() ? 0 : 1;
}
