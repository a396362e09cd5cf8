#include "core/comm/rank_store.h"

#include <cstdlib>
#include <stdexcept>

#include "gtest/gtest.h"
#include "torch/csrc/distributed/c10d/TCPStore.hpp"

namespace qwt {
namespace {

RankSettings SettingsFor(int rank, int port) { return {rank, 2, rank, 2, "127.0.0.1", port, 2}; }

// torchrun's agent listens at MASTER_PORT before the ranks are there, and after they are gone.
class RankStoreTest : public testing::Test {
 protected:
  RankStoreTest() {
    c10d::TCPStoreOptions options;
    options.port = 0;
    options.isServer = true;
    options.waitWorkers = false;
    agent_ = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
    setenv("TORCHELASTIC_USE_AGENT_STORE", "True", 1);
  }
  ~RankStoreTest() override {
    unsetenv("TORCHELASTIC_USE_AGENT_STORE");
    unsetenv("TORCHELASTIC_RESTART_COUNT");
  }
  int port() const { return agent_->getPort(); }

 private:
  c10::intrusive_ptr<c10d::TCPStore> agent_;
};

TEST_F(RankStoreTest, RankZeroJoinsTheAgentsStore) {
  auto first = ConnectRankStore(SettingsFor(0, port()));
  auto second = ConnectRankStore(SettingsFor(1, port()));
  first->set("key", std::string("value"));
  EXPECT_EQ(second->get_to_str("key"), "value");
}

TEST_F(RankStoreTest, RestartedRanksDoNotReadWhatTheOnesBeforeWrote) {
  auto before = ConnectRankStore(SettingsFor(0, port()));
  before->set("key", std::string("value"));
  setenv("TORCHELASTIC_RESTART_COUNT", "1", 1);
  auto after = ConnectRankStore(SettingsFor(0, port()));
  EXPECT_TRUE(before->check({"key"}));
  EXPECT_FALSE(after->check({"key"}));
}

TEST_F(RankStoreTest, WithoutAnAgentRankZeroServesThePort) {
  unsetenv("TORCHELASTIC_USE_AGENT_STORE");
  EXPECT_THROW(ConnectRankStore(SettingsFor(0, port())), std::exception);  // the port is taken
  const absl::StatusOr<int> free_port = FreePort();
  ASSERT_TRUE(free_port.ok());
  auto first = ConnectRankStore(SettingsFor(0, *free_port));
  auto second = ConnectRankStore(SettingsFor(1, *free_port));
  second->set("key", std::string("value"));
  EXPECT_EQ(first->get_to_str("key"), "value");
}

}  // namespace
}  // namespace qwt
