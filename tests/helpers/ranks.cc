#include "tests/helpers/ranks.h"

#include "core/comm/rank_settings.h"
#include "gtest/gtest.h"

namespace qwt {

Ranks StartRanks(int ranks, const std::vector<std::string>& arguments, const std::map<std::string, std::string>& more) {
  const absl::StatusOr<int> port = FreePort();
  EXPECT_TRUE(port.ok()) << port.status();
  Ranks started;
  for (int rank = 0; rank < ranks; ++rank) {
    std::map<std::string, std::string> environment = more;
    environment["RANK"] = environment["LOCAL_RANK"] = std::to_string(rank);
    environment["WORLD_SIZE"] = environment["LOCAL_WORLD_SIZE"] = std::to_string(ranks);
    environment["MASTER_ADDR"] = "127.0.0.1";
    environment["MASTER_PORT"] = std::to_string(*port);
    started.push_back(std::make_unique<Program>(arguments, environment));
  }
  return started;
}

std::vector<ProgramResult> WaitForRanks(Ranks& ranks, int except) {
  std::vector<ProgramResult> results;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    results.push_back(static_cast<int>(rank) == except ? ProgramResult() : ranks[rank]->Wait());
  }
  return results;
}

}  // namespace qwt
