// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a connection when a process at one of its ends is killed: the crash variants of
// rows PC1, PC3, PC5, PC12 and PC22, and the ends that a successor takes over.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::SharedArea;

using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

constexpr auto kLate = 1s;

void require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

Bytes numbered(std::uint32_t number, std::size_t size) {
  return Bytes(size, static_cast<std::byte>(number));
}

/// A child at the far end that runs `far` until it is killed, in two ways.
struct KilledOverFork {
  static constexpr const char* kName = "Fork";
  static void run(const std::function<void(Connection&)>& far,
                  const std::function<void(Connection&, Process&)>& near) {
    ConnectionPair pair = Connection::pair(1 << 12);
    Process child("far", [&] { far(pair.second); });
    pair.second.close();
    near(pair.first, child);
    child.kill();
  }
};
struct KilledOverName {
  static constexpr const char* kName = "Name";
  static void run(const std::function<void(Connection&)>& far,
                  const std::function<void(Connection&, Process&)>& near) {
    Connection end = Connection::create("killed", {.capacity = 1 << 12});
    Process child("far", [&] {
      Connection other = Connection::open("killed");
      far(other);
    });
    near(end, child);
    child.kill();
  }
};

template <class Way>
class ConnectionKill : public testing::Test {};
using KillWays = testing::Types<KilledOverFork, KilledOverName>;
TYPED_TEST_SUITE(ConnectionKill, KillWays, WayNames);

TYPED_TEST(ConnectionKill, PC1_WhatAKilledPeerHadSentIsReceivedThenTheDeathIsTold) {
  Gate sent;
  TypeParam::run(
      [&](Connection& far) {
        for (int i = 0; i < 10; ++i) require(far.send(i) == Status::ok, "send");
        sent.open();
        for (;;) pause();
      },
      [&](Connection& near, Process& child) {
        sent.wait();
        EXPECT_EQ(near.peer(), PeerState::open);
        child.kill();
        child.join();
        EXPECT_EQ(near.peer(), PeerState::died);
        EXPECT_EQ(near.status(), Status::ok) << "messages are left";
        for (int i = 0; i < 10; ++i) ASSERT_EQ(near.recv<int>(), i);
        EXPECT_EQ(near.recv<int>(), std::nullopt);
        EXPECT_EQ(near.status(), Status::peer_died);
        EXPECT_EQ(near.peek().status(), Status::peer_died);
        EXPECT_EQ(near.send(Bytes(100000)), Status::peer_died) << "and a long one does not hang";
      });
}

TYPED_TEST(ConnectionKill, PC1_WhoWaitsForThePeerLearnsOfItsDeathSoon) {
  const pid_t waiter = getpid();
  enum { kRecv, kSend, kReserve, kPeek, kPoll };
  for (const int call : {kRecv, kSend, kReserve, kPeek, kPoll}) {
    TypeParam::run(
        [&](Connection& far) {
          require(far.send(1) == Status::ok, "send");
          wait_until_asleep(waiter);
          kill(getpid(), SIGKILL);
        },
        [&](Connection& near, Process&) {
          EXPECT_EQ(near.recv<int>(), 1);
          const auto start = Clock::now();
          int none = 0;
          Status status = Status::ok;
          if (call == kRecv) status = near.recv(none, 20s);
          if (call == kSend) status = near.send(Bytes(1 << 20), 20s);
          if (call == kPeek) status = near.peek(20s).status();
          if (call == kReserve) {
            while (status == Status::ok) {
              auto room = near.reserve(1000, 20s);
              status = room.status();
              if (room) room.commit();
            }
          }
          if (call == kPoll) {
            EXPECT_TRUE(near.poll(20s));
            status = near.status();
          }
          EXPECT_EQ(status, Status::peer_died) << "call " << call;
          EXPECT_LT(Clock::now() - start, 80ms + 5 * kLate) << "a slice, not the deadline";
        });
  }
}

TYPED_TEST(ConnectionKill, PC3_HalfOfALongMessageIsNotDelivered) {
  Gate started;
  TypeParam::run(
      [&](Connection& far) {
        require(far.send(1) == Status::ok, "send");
        started.open();
        static_cast<void>(far.send(Bytes(1 << 20)));  // never read to its end
      },
      [&](Connection& near, Process& child) {
        started.wait();
        EXPECT_EQ(near.recv<int>(), 1);
        EXPECT_TRUE(near.poll(20s));
        child.kill();
        child.join();
        Bytes bytes;
        EXPECT_EQ(near.recv(bytes), Status::peer_died);
        EXPECT_EQ(near.try_recv(bytes), Status::peer_died) << "the end stays";
      });
}

TEST(ConnectionDeath, PC12_WhoOnlyPolledAndDiedTookNothing) {
  Connection server = Connection::create("pc12", {.capacity = 1 << 16});
  const Bytes large(20000, std::byte{1});
  Gate polled;
  ASSERT_EQ(server.send("first"), Status::ok);
  Process poller("poller", [&] {
    Connection end = Connection::open("pc12");
    require(end.poll(), "something is there");
    polled.open();
    while (end.poll()) continue;
  });
  polled.wait();
  poller.kill();
  poller.join();
  Connection end = Connection::open("pc12");
  std::string text;
  EXPECT_EQ(end.recv(text), Status::ok);
  EXPECT_EQ(text, "first");
}

// -------------------------------------------------------------------------------------------------
// Successors

TEST(ConnectionTakeover, ASuccessorOfAKilledReceiverNeverSeesTheRestOfAMessage) {
  for (int round = 0; round < 30; ++round) {
    Connection server = Connection::create("rest", {.capacity = 1 << 10});
    Gate ready;
    Process first("first", [&] {
      Connection end = Connection::open("rest");
      ready.open();
      Bytes bytes;
      for (;;) require(end.recv(bytes) == Status::ok, "recv");
    });
    ready.wait();
    // Long and short ones in turn, until one fails since its receiver has died.
    std::jthread killer([&, round] {
      std::this_thread::sleep_for(std::chrono::microseconds(300 * round));
      first.kill();
    });
    std::uint32_t sent = 0;
    Status status = Status::ok;
    while (status == Status::ok) {
      ++sent;
      status = server.send(numbered(sent, sent % 2 == 0 ? 20000 : 20), 10s);
    }
    ASSERT_EQ(status, Status::peer_died);
    killer.join();
    first.join();
    Connection next = Connection::open("rest");
    EXPECT_EQ(server.peer(), PeerState::open);
    std::jthread more([&] { ASSERT_EQ(server.send("end", 10s), Status::ok); });
    for (;;) {
      Bytes bytes;
      ASSERT_EQ(next.recv(bytes, 10s), Status::ok);
      if (bytes.size() == 3) break;
      ASSERT_TRUE(bytes.size() == 20000 || bytes.size() == 20) << bytes.size();
      ASSERT_EQ(bytes, numbered(std::to_integer<std::uint32_t>(bytes[0]), bytes.size()));
    }
  }
}

TEST(ConnectionTakeover, NothingAcknowledgedIsLostWhenTheSenderIsKilledAtAnyMoment) {
  for (int round = 0; round < 30; ++round) {
    auto [mine, childs] = Connection::pair(1 << 10);
    SharedArea<std::atomic<std::int64_t>> acknowledged;  // how many sends returned ok
    const auto text_of = [](std::int64_t i) {
      return std::to_string(i) + std::string(i % 5 == 0 ? 3000 : 10, 'x');
    };
    Process first("first", [&, end = &childs] {
      for (std::int64_t i = 0;; ++i) {
        require(end->send(text_of(i)) == Status::ok, "send");
        *acknowledged = i + 1;
      }
    });
    Gate go;
    Process second("second", [&, end = &childs] {
      go.wait();
      for (std::int64_t i = 0; i < 100; ++i) {
        require(end->send(text_of(1000000 + i)) == Status::ok, "send");
      }
      require(end->recv<int>() == 7, "the other direction is its own as well");
    });
    std::int64_t next = 0;
    std::string text;
    for (; next < 1 + 17 * round; ++next) {
      ASSERT_EQ(mine.recv(text), Status::ok);
      ASSERT_EQ(text, text_of(next));
    }
    first.kill();
    while (mine.recv(text) == Status::ok) ASSERT_EQ(text, text_of(next++));
    EXPECT_EQ(mine.status(), Status::peer_died);
    EXPECT_GE(next, *acknowledged) << "a send that returned was received";
    EXPECT_LE(next, *acknowledged + 1) << "and at most the one that was under way";
    first.join();
    go.open();
    for (std::int64_t i = 0; i < 100; ++i) {
      Status status = Status::peer_died;
      while (status == Status::peer_died) status = mine.recv(text);
      ASSERT_EQ(status, Status::ok);
      ASSERT_EQ(text, text_of(1000000 + i));
    }
    ASSERT_EQ(mine.send(7), Status::ok);
    ASSERT_TRUE(second.join(20s));
    EXPECT_EQ(second.exit_code(), 0);
  }
}

TEST(ConnectionTakeover, ANewServerTakesOverTheFirstEndOfADeadOne) {
  Gate made;
  Process server("server", [&] {
    Connection end = Connection::open_or_create("service");
    made.open();
    for (int i = 1;; ++i) require(end.recv<int>() == i && end.send(-i) == Status::ok, "serve");
  });
  made.wait();
  Connection client = Connection::open("service");
  for (int i = 1; i <= 3; ++i) {
    ASSERT_EQ(client.send(i), Status::ok);
    ASSERT_EQ(client.recv<int>(), -i);
  }
  server.kill();
  server.join();
  ASSERT_EQ(client.send(4), Status::ok) << "into the ring, for whoever comes";
  EXPECT_EQ(client.peer(), PeerState::died);
  Process successor("successor", [&] {
    Connection end = Connection::open_or_create("service");
    require(end.recv<int>() == 4 && end.send(-4) == Status::ok, "serve on");
    require(!end.recv<int>(), "until the client leaves");
  });
  int answer = 0;
  Status status = Status::peer_died;
  while (status == Status::peer_died) status = client.recv(answer);
  EXPECT_EQ(status, Status::ok);
  EXPECT_EQ(answer, -4);
  client.close();
  ASSERT_TRUE(successor.join(20s));
  EXPECT_EQ(successor.exit_code(), 0);
}

TEST(ConnectionTakeover, WhatWasLeasedAndNotReleasedComesAgain) {
  Connection server = Connection::create("leased");
  ASSERT_EQ(server.send("task"), Status::ok);
  Process worker("worker", [&] {
    Connection end = Connection::open("leased");
    const auto task = end.peek();
    require(task.bytes().size() == 4, "peek");
    kill(getpid(), SIGKILL);
  });
  worker.join();
  Connection end = Connection::open("leased");
  std::string text;
  EXPECT_EQ(end.recv(text), Status::ok);
  EXPECT_EQ(text, "task");
}

TEST(ConnectionTakeover, AReservationOfTheDeadIsNoMessage) {
  Connection server = Connection::create("reserved");
  Process writer("writer", [&] {
    Connection end = Connection::open("reserved");
    auto room = end.reserve(100);
    require(bool(room), "reserve");
    kill(getpid(), SIGKILL);
  });
  writer.join();
  Connection end = Connection::open("reserved");
  EXPECT_FALSE(server.poll());
  EXPECT_EQ(end.send("whole"), Status::ok);
  std::string text;
  EXPECT_EQ(server.recv(text), Status::ok);
  EXPECT_EQ(text, "whole");
}

}  // namespace
}  // namespace sluice::tests
