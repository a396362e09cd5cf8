// docs/config.md, made from the schemas that configs are checked against.
#pragma once

#include <string>

namespace qwt {

std::string ConfigDocs();

}  // namespace qwt
