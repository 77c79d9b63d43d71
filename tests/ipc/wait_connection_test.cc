// SPDX-License-Identifier: Apache-2.0
//
// wait_any() over connections, and for room in pipes and connections. WM1 to WM6 are the rows of
// the peer's behaviour for waiting on many; those over pipes are in wait_any_test.cc.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/wait_any.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/connection_ways.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using Bytes = std::vector<std::byte>;

/// Runs `act` once the calling thread sleeps.
template <class Act>
std::jthread when_asleep(Act act) {
  return std::jthread([act, waiter = gettid()] {
    EXPECT_TRUE(wait_until_asleep(waiter));
    act();
  });
}

template <class Way>
class WaitConnection : public testing::Test {};
TYPED_TEST_SUITE(WaitConnection, AllConnections, WayNames);
template <class Way>
class WaitSender : public testing::Test {};
TYPED_TEST_SUITE(WaitSender, AllWays, WayNames);

TYPED_TEST(WaitConnection, WM1_CollectsAllMessagesUntilTheEnd) {
  TypeParam::run(
      {.capacity = 1 << 12},
      [](Connection& far) {
        for (int i = 0; i < 10; ++i) {
          ASSERT_EQ(far.recv<int>(), i);
          ASSERT_EQ(far.send(i), Status::ok);
        }
      },
      [](Connection& near) {
        auto [rx, tx] = Pipe::create(4096);
        for (int i = 0; i < 10; ++i) {
          const auto asker = when_asleep([&] { EXPECT_EQ(near.send(i), Status::ok); });
          ASSERT_THAT(wait_any({rx, near}, 20s), ElementsAre(1));
          ASSERT_EQ(near.recv<int>(), i);
        }
        EXPECT_THAT(wait_any({rx, near}, 20s), ElementsAre(1)) << "the end counts";
        EXPECT_EQ(near.recv<int>(), std::nullopt);
      });
}

TYPED_TEST(WaitConnection, WM5_WM6_WithoutAMessageItSleepsUntilTheDeadline) {
  Gate done;
  TypeParam::run(
      {.capacity = 1 << 12},
      [&](Connection& far) {
        EXPECT_EQ(far.send(1), Status::ok);
        done.wait();
      },
      [&](Connection& near) {
        EXPECT_EQ(near.recv<int>(), 1);
        EXPECT_THAT(wait_any({near}, -1s), IsEmpty());
        const auto start = Deadline::Clock::now();
        EXPECT_THAT(wait_any({near}, 120ms), IsEmpty());
        EXPECT_GE(Deadline::Clock::now() - start, 120ms);
        done.open();
      });
}

TYPED_TEST(WaitConnection, RoomAndMessagesAreWaitedForTogether) {
  Gate filled;
  Gate drained;
  TypeParam::run(
      {.capacity = 1 << 10},
      [&](Connection& far) {
        filled.wait();
        Bytes bytes;
        EXPECT_EQ(far.recv(bytes), Status::ok);
        EXPECT_EQ(far.recv(bytes), Status::ok);
        drained.wait();
        EXPECT_EQ(far.send(1), Status::ok);
      },
      [&](Connection& near) {
        EXPECT_THAT(wait_any({near.wait_handle(), near.space_handle()}, 20s), ElementsAre(1));
        while (near.try_send(Bytes(200)) == Status::ok) continue;
        EXPECT_THAT(wait_any({near.wait_handle(), near.space_handle(200)}, 30ms), IsEmpty());
        filled.open();
        EXPECT_THAT(wait_any({near.wait_handle(), near.space_handle(200)}, 20s), ElementsAre(1));
        while (near.try_send(Bytes(200)) == Status::ok) continue;
        drained.open();
        // Full again or not, as the far end was quicker or slower: the message comes.
        EXPECT_THAT(wait_any({near.wait_handle()}, 20s), ElementsAre(0));
        EXPECT_EQ(near.recv<int>(), 1);
      });
}

TYPED_TEST(WaitSender, ASenderIsReadyWhenThereIsRoom) {
  Gate filled;
  TypeParam::run(
      1 << 10,
      [&](Sender& tx) {
        EXPECT_THAT(wait_any({tx}, 20s), ElementsAre(0)) << "empty, so there is room";
        while (tx.try_send(Bytes(100)) == Status::ok) continue;
        EXPECT_THAT(wait_any({tx}, 30ms), IsEmpty());
        EXPECT_THAT(wait_any({tx}, Deadline::now()), IsEmpty());
        filled.open();
        EXPECT_THAT(wait_any({tx}, 20s), ElementsAre(0));
        EXPECT_EQ(tx.try_send(Bytes(tx.max_in_place())), Status::ok) << "any that fits in place";
        tx.close();
      },
      [&](Receiver& rx) {
        filled.wait();
        Bytes bytes;
        while (rx.recv(bytes) == Status::ok) continue;
        EXPECT_EQ(rx.status(), Status::closed);
      });
}

TEST(WaitForRoom, AsLittleAsIsAskedFor) {
  auto [rx, tx] = Pipe::create(1 << 10);
  while (tx.try_send(Bytes(120)) == Status::ok) continue;
  EXPECT_THAT(wait_any({tx}, Deadline::now()), IsEmpty());
  EXPECT_THAT(wait_any({tx.space_handle(120)}, Deadline::now()), IsEmpty());
  EXPECT_THAT(wait_any({tx.space_handle(1)}, Deadline::now()), ElementsAre(0));
  EXPECT_EQ(tx.try_send("x"), Status::ok);
}

TEST(WaitForRoom, WakesASleeper) {
  auto [rx, tx] = Pipe::create(1 << 10);
  while (tx.try_send(Bytes(100)) == Status::ok) continue;
  const auto taker = when_asleep([&rx = rx] {
    Bytes bytes;
    while (rx.try_recv(bytes) == Status::ok) continue;
  });
  EXPECT_THAT(wait_any({tx}, 20s), ElementsAre(0));
}

TEST(WaitForRoom, TheReceiversEndIsReady) {
  auto [rx, tx] = Pipe::create(1 << 10);
  while (tx.try_send(Bytes(100)) == Status::ok) continue;
  {
    const auto closer = when_asleep([&rx = rx] { rx.close(); });
    EXPECT_THAT(wait_any({tx}, 20s), ElementsAre(0));
  }
  EXPECT_EQ(tx.try_send("x"), Status::closed);
}

TEST(WaitForRoom, AKilledReceiverIsNoticed) {
  auto [rx, tx] = Pipe::create(1 << 10);
  Process child([&rx = rx] {
    std::string text;
    static_cast<void>(rx.recv(text));
    pause();
  });
  ASSERT_EQ(tx.send("claimed"), Status::ok);
  rx.close();
  while (wait_any({tx}, 20ms).size() == 1) static_cast<void>(tx.try_send(Bytes(100)));
  {
    const auto killer = when_asleep([&] { child.kill(); });
    EXPECT_THAT(wait_any({tx}, 20s), ElementsAre(0));
  }
  Status status = Status::ok;
  while (status == Status::ok) status = tx.send(Bytes(100), 20s);
  EXPECT_EQ(status, Status::peer_died);
  EXPECT_TRUE(child.join());
}

TEST(WaitConnectionDeath, AKilledPeerIsNoticed) {
  auto [near, far] = Connection::pair(1 << 12);
  Process child([&far = far] {
    static_cast<void>(far.send(1));
    pause();
  });
  EXPECT_EQ(near.recv<int>(), 1);
  far.close();
  {
    const auto killer = when_asleep([&] { child.kill(); });
    EXPECT_THAT(wait_any({near}, 20s), ElementsAre(0));
  }
  EXPECT_EQ(near.recv<int>(), std::nullopt);
  EXPECT_EQ(near.status(), Status::peer_died);
  EXPECT_TRUE(child.join());
}

TEST(WaitConnectionDeath, AnEndThatAnotherThreadClosesEndsIt) {
  for (const bool room : {false, true}) {
    auto [near, far] = Connection::pair(1 << 10);
    while (near.try_send(Bytes(100)) == Status::ok) continue;
    const auto closer = when_asleep([&near = near] { near.close(); });
    EXPECT_THROW(
        static_cast<void>(wait_any({room ? near.space_handle() : near.wait_handle()}, 20s)), Error);
  }
}

}  // namespace
}  // namespace sluice::tests
