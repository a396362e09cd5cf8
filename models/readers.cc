#include "models/readers.h"

namespace qwt {

std::vector<std::vector<int>> ReadersOf(const Segment& segment) {
  std::vector<std::vector<int>> readers(segment.nodes.size() + 1);
  for (size_t i = 0; i < segment.nodes.size(); ++i) {
    for (int input : segment.nodes[i].inputs) readers[input].push_back(static_cast<int>(i));
  }
  return readers;
}

}  // namespace qwt
