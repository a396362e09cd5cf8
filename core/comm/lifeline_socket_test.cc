#include "core/comm/lifeline_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "gtest/gtest.h"

namespace qwt {
namespace {

using std::chrono::steady_clock;

TEST(LifelineSocketTest, AWordArrivesWhole) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  SendLastWord(ends[0], {7, absl::DataLossError("images/a.jpg:\nnot a JPEG")});
  SendLastWord(ends[0], {8, absl::OkStatus()});
  SendLastWord(ends[0], {9, absl::InternalError(std::string(100'000, 'x'))});
  close(ends[0]);
  std::optional<LastWord> word = ReceiveLastWord(ends[1]);
  ASSERT_TRUE(word.has_value());
  EXPECT_EQ(word->rank, 7);
  EXPECT_EQ(word->status, absl::DataLossError("images/a.jpg:\nnot a JPEG"));
  EXPECT_EQ(ReceiveLastWord(ends[1])->status, absl::OkStatus());
  EXPECT_EQ(ReceiveLastWord(ends[1])->status, absl::InternalError(std::string(4000, 'x')));
  EXPECT_FALSE(ReceiveLastWord(ends[1]).has_value());
  close(ends[1]);
}

TEST(LifelineSocketTest, AReaderThatDoesNotReadBlocksNobody) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  for (int i = 0; i < 1000; ++i) SendLastWord(ends[0], {1, absl::InternalError(std::string(4000, 'x'))});
  close(ends[1]);
  SendLastWord(ends[0], {1, absl::OkStatus()});  // and no SIGPIPE
  close(ends[0]);
}

TEST(LifelineSocketTest, RanksAreTakenInAnyOrderAndStrangersTurnedAway) {
  absl::StatusOr<Listener> listener = Listen();
  ASSERT_EQ(listener.status(), absl::OkStatus());
  std::thread ranks([&] {
    absl::StatusOr<int> silent = ConnectTo("127.0.0.1", listener->port, 5, "0123456789abcdef");  // no such rank
    absl::StatusOr<int> stranger = ConnectTo("127.0.0.1", listener->port, 1, "0123456789abcdeF");
    absl::StatusOr<int> second = ConnectTo("localhost", listener->port, 2, "0123456789abcdef");
    absl::StatusOr<int> first = ConnectTo("127.0.0.1", listener->port, 1, "0123456789abcdef");
    ASSERT_TRUE(silent.ok() && stranger.ok() && second.ok() && first.ok());
    SendLastWord(*first, {1, absl::InternalError("one")});
    SendLastWord(*second, {2, absl::InternalError("two")});
    for (int handle : {*silent, *stranger, *second, *first}) close(handle);
  });
  absl::StatusOr<std::vector<int>> accepted =
      AcceptRanks(listener->handle, 3, "0123456789abcdef", steady_clock::now() + std::chrono::seconds(60));
  ranks.join();
  ASSERT_EQ(accepted.status(), absl::OkStatus());
  ASSERT_EQ(accepted->size(), 2u);
  EXPECT_EQ(ReceiveLastWord((*accepted)[0])->status, absl::InternalError("one"));
  EXPECT_EQ(ReceiveLastWord((*accepted)[1])->status, absl::InternalError("two"));
  for (int handle : *accepted) close(handle);
  close(listener->handle);
}

TEST(LifelineSocketTest, WhoDoesNotComeIsNamed) {
  absl::StatusOr<Listener> listener = Listen();
  ASSERT_EQ(listener.status(), absl::OkStatus());
  absl::StatusOr<int> second = ConnectTo("127.0.0.1", listener->port, 2, "secret");
  EXPECT_EQ(AcceptRanks(listener->handle, 4, "secret", steady_clock::now() + std::chrono::milliseconds(200)).status(),
            absl::UnavailableError("ranks 1, 3 did not come"));
  close(*second);
  close(listener->handle);
}

TEST(LifelineSocketTest, NobodyListening) {
  const absl::Status status = ConnectTo("127.0.0.1", 1, 1, "secret").status();
  EXPECT_EQ(status, absl::UnavailableError("connecting to 127.0.0.1:1: Connection refused"));
}

}  // namespace
}  // namespace qwt
