// SPDX-License-Identifier: Apache-2.0
//
// What a connection promises beyond a pipe: both directions, values of any type, long messages,
// memory that is used in place. Rows PC of the behaviour list are named where they stand; kills are
// in connection_death_test.cc.

#include "sluice/ipc/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/pipe.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/ipc/codec_types.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/connection_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

/// How much later than its deadline a call may return on a machine that does other things as well.
constexpr auto kLate = 1s;

void require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

template <class Call>
std::error_code code_of(Call call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  return {};
}

Bytes numbered(std::uint32_t number, std::size_t size) {
  std::uint32_t state = number * 2654435761U + 1;
  Bytes message(size);
  for (std::byte& b : message)
    b = static_cast<std::byte>((state = state * 1664525U + 1013904223U) >> 24);
  return message;
}

static_assert(!Travels<Connection>, "PC23: an end is no value");
static_assert(!std::is_copy_constructible_v<Connection> &&
              std::is_nothrow_move_constructible_v<Connection>);

template <class Way>
class ConnectionBody : public testing::Test {};
TYPED_TEST_SUITE(ConnectionBody, AllConnections, WayNames);

// -------------------------------------------------------------------------------------------------
// Both directions

void echo(Connection& far) {
  for (;;) {
    Person person;
    Bytes bytes;
    Status status = far.recv(person);
    if (status == Status::ok) {
      person.nicknames.push_back(person.greeting());
      ASSERT_EQ(far.send(person), Status::ok);
    } else if (status == Status::mismatch) {
      ASSERT_EQ(far.recv(bytes), Status::ok);
      ASSERT_EQ(far.send(bytes), Status::ok);
    } else {
      ASSERT_EQ(status, Status::closed);
      return;
    }
  }
}

TYPED_TEST(ConnectionBody, PC1_AnEchoOfObjectsAndBytesOverOneConnection) {
  TypeParam::run({.capacity = 1 << 16}, echo, [](Connection& near) {
    EXPECT_EQ(near.send(Person{"Ada", {"Countess"}, 36}), Status::ok);
    EXPECT_EQ(near.recv<Person>(), (Person{"Ada", {"Countess", "Hello, Ada"}, 36}));
    EXPECT_EQ(near.send("abc"), Status::ok);
    std::string room = "----------";
    const auto bytes = std::as_writable_bytes(std::span(room));
    EXPECT_EQ(near.recv_into(bytes).size, 3U);
    EXPECT_EQ(room, "abc-------");
    EXPECT_EQ(near.send("def"), Status::ok);
    EXPECT_EQ(near.recv_into(bytes.subspan(6)).size, 3U);
    EXPECT_EQ(room, "abc---def-");
    EXPECT_FALSE(near.poll());
    EXPECT_FALSE(near.poll(-1s));
    const auto start = Clock::now();
    EXPECT_FALSE(near.poll(100ms));
    EXPECT_GE(Clock::now() - start, 100ms);
    EXPECT_EQ(near.send("x"), Status::ok);
    EXPECT_TRUE(near.poll(20s));
    EXPECT_TRUE(near.poll()) << "PC10: it takes nothing";
    std::string text;
    EXPECT_EQ(near.recv(text), Status::ok);
    const Bytes large = numbered(1, 16 << 20);
    EXPECT_EQ(near.send(large), Status::ok) << "through a ring of a 256th of its size";
    Bytes back;
    EXPECT_EQ(near.recv(back), Status::ok);
    EXPECT_TRUE(back == large);
  });
}

TYPED_TEST(ConnectionBody, PC1_TheStreamEndsForBothWhenTheFarEndIsLeft) {
  TypeParam::run(
      {.capacity = 1 << 12},
      [](Connection& far) {
        EXPECT_EQ(far.send(7), Status::ok);
        EXPECT_EQ(far.recv<int>(), 8);
      },
      [](Connection& near) {
        EXPECT_EQ(near.recv<int>(), 7);
        EXPECT_EQ(near.peer(), PeerState::open);
        EXPECT_EQ(near.send(8), Status::ok);
        EXPECT_EQ(near.recv<int>(), std::nullopt);
        EXPECT_EQ(near.status(), Status::closed);
        EXPECT_EQ(near.peer(), PeerState::closed);
        EXPECT_EQ(near.send(9), Status::closed);
      });
}

TYPED_TEST(ConnectionBody, EachEndSendsFromOneThreadAndReceivesInAnother) {
  constexpr int kCount = 20000;
  const auto both_ways = [](Connection& end) {
    ASSERT_EQ(end.send(-1), Status::ok);  // from its first use on
    std::jthread sender([&] {
      for (int i = 0; i < kCount; ++i) ASSERT_EQ(end.send(i), Status::ok);
    });
    for (int i = -1; i < kCount; ++i) ASSERT_EQ(end.recv<int>(), i);
  };
  TypeParam::run({.capacity = 1 << 10}, both_ways, both_ways);
}

// -------------------------------------------------------------------------------------------------
// Sizes

TYPED_TEST(ConnectionBody, MessagesOfEverySizeArriveWholeAndInOrder) {
  constexpr std::size_t kCapacity = 1 << 10;
  const auto sizes = [] {
    std::vector<std::size_t> sizes;
    for (std::size_t size = 0; size < 4 * kCapacity; size += 37) sizes.push_back(size);
    const std::size_t in_place = kCapacity / 2 - 16;
    for (std::size_t size = in_place - 2; size < in_place + 20; ++size) sizes.push_back(size);
    return sizes;
  }();
  TypeParam::run(
      {.capacity = kCapacity},
      [&](Connection& far) {
        for (const std::size_t size : sizes) {
          ASSERT_EQ(far.send(numbered(static_cast<std::uint32_t>(size), size)), Status::ok);
        }
        for (const std::size_t size : sizes)
          ASSERT_EQ(far.send(std::string(size, 'v')), Status::ok);
      },
      [&](Connection& near) {
        for (const std::size_t size : sizes) {
          Bytes bytes;
          ASSERT_EQ(near.recv(bytes), Status::ok);
          ASSERT_EQ(bytes, numbered(static_cast<std::uint32_t>(size), size));
        }
        for (const std::size_t size : sizes) {
          std::string text;
          Status status = Status::empty;
          while (status == Status::empty) status = near.try_recv(text);
          ASSERT_EQ(status, Status::ok);
          ASSERT_EQ(text, std::string(size, 'v'));
        }
      });
}

TYPED_TEST(ConnectionBody, ALongValueTravelsAsWell) {
  Everything value;
  for (int i = 0; i < 2000; ++i) value.words.push_back("word " + std::to_string(i));
  const std::vector<double> numbers(10000, 1.5);
  TypeParam::run(
      {.capacity = 1 << 12},
      [&](Connection& far) {
        EXPECT_EQ(far.send(value), Status::ok);
        EXPECT_EQ(far.send(numbers), Status::ok);
      },
      [&](Connection& near) {
        int other = 0;
        EXPECT_EQ(near.recv(other), Status::mismatch) << "and it stays, put together";
        EXPECT_EQ(near.recv<Everything>(), value);
        EXPECT_EQ(near.recv<std::vector<double>>(), numbers);
      });
}

TYPED_TEST(ConnectionBody, SixtyFourMebibytesThroughSixtyFourKibibytes) {
  const Bytes large = numbered(3, 64 << 20);
  TypeParam::run(
      {}, [&](Connection& far) { EXPECT_EQ(far.send(large), Status::ok); },
      [&](Connection& near) {
        Bytes bytes;
        EXPECT_EQ(near.recv(bytes), Status::ok);
        EXPECT_TRUE(bytes == large);
      });
}

TYPED_TEST(ConnectionBody, AboveTheMaximumNothingIsSentAndBothSizesAreTold) {
  TypeParam::run(
      {.capacity = 1 << 12, .max_message = 10000},
      [](Connection& far) {
        EXPECT_EQ(far.max_message(), 10000U);
        EXPECT_EQ(far.send(Bytes(10001)), Status::too_large);
        EXPECT_EQ(far.try_send(Bytes(10001)), Status::too_large);
        EXPECT_EQ(far.send(std::vector<int>(2500)), Status::too_large) << "4 bytes of count";
        EXPECT_THAT(far.refusal(10001), AllOf(HasSubstr("10001"), HasSubstr(" 10000 ")));
        EXPECT_EQ(far.send(Bytes(10000)), Status::ok);
      },
      [](Connection& near) {
        Bytes bytes;
        EXPECT_EQ(near.recv(bytes), Status::ok);
        EXPECT_EQ(bytes.size(), 10000U) << "the first that is seen";
      });
}

TYPED_TEST(ConnectionBody, PC2_PC3_ALongMessageTooLargeForTheRoomStaysOrIsSkipped) {
  TypeParam::run(
      {.capacity = 1 << 10},
      [](Connection& far) {
        EXPECT_EQ(far.send(Bytes(5000, std::byte{1})), Status::ok);
        EXPECT_EQ(far.send(Bytes(6000, std::byte{2})), Status::ok);
        EXPECT_EQ(far.send("next"), Status::ok);
      },
      [](Connection& near) {
        Bytes room(4999);
        for (int i = 0; i < 2; ++i) {
          const RecvResult result = near.recv_into(room);
          EXPECT_EQ(result.status, Status::too_large);
          EXPECT_EQ(result.size, 5000U);
          EXPECT_EQ(room, Bytes(4999)) << "untouched";
        }
        Bytes bytes;
        const RecvResult limited = near.recv_at_most(100, bytes);
        EXPECT_EQ(limited.status, Status::too_large);
        EXPECT_EQ(limited.size, 5000U);
        EXPECT_EQ(near.peek().status(), Status::too_large) << "it does not lie in one piece";
        room.resize(5000);
        EXPECT_EQ(near.recv_into(room).size, 5000U);
        EXPECT_EQ(room, Bytes(5000, std::byte{1}));
        EXPECT_TRUE(near.poll(20s));
        EXPECT_EQ(near.skip(), Status::ok);
        std::string text;
        EXPECT_EQ(near.recv(text), Status::ok);
        EXPECT_EQ(text, "next") << "the stream is in step";
      });
}

TYPED_TEST(ConnectionBody, ALongMessageWhoseSenderGaveUpIsDropped) {
  Gate given_up;
  TypeParam::run(
      {.capacity = 1 << 10},
      [&](Connection& far) {
        EXPECT_EQ(far.send(Bytes(1 << 20), 10ms), Status::timeout);
        EXPECT_EQ(far.try_send(Bytes(1 << 20)), Status::too_large) << "not without waiting";
        given_up.open();
        EXPECT_EQ(far.send("next"), Status::ok);
        EXPECT_EQ(far.send(Bytes(3000)), Status::ok);
      },
      [&](Connection& near) {
        given_up.wait();
        std::string text;
        EXPECT_EQ(near.recv(text), Status::ok);
        EXPECT_EQ(text, "next");
        EXPECT_EQ(near.recv(text), Status::ok);
        EXPECT_EQ(text.size(), 3000U);
      });
}

TYPED_TEST(ConnectionBody, AReceiverWhoseTimeIsUpGoesOnWhereItWas) {
  const Bytes large = numbered(9, 1 << 20);
  TypeParam::run(
      {.capacity = 1 << 12},
      [&](Connection& far) {
        EXPECT_EQ(far.send(large), Status::ok);
        EXPECT_EQ(far.send("next"), Status::ok);
      },
      [&](Connection& near) {
        Bytes bytes;
        Status status = Status::timeout;
        while (status == Status::timeout || status == Status::empty) {
          status = near.recv(bytes, Deadline::now());
          if (status == Status::timeout) status = near.try_recv(bytes);
        }
        EXPECT_EQ(status, Status::ok);
        EXPECT_TRUE(bytes == large);
        std::string text;
        EXPECT_EQ(near.recv(text), Status::ok);
        EXPECT_EQ(text, "next");
      });
}

// -------------------------------------------------------------------------------------------------
// In place, in pieces, in batches

TYPED_TEST(ConnectionBody, ReserveAndPeekWorkInPlace) {
  TypeParam::run(
      {.capacity = 1 << 12},
      [](Connection& far) {
        for (int i = 0; i < 2000; ++i) {
          auto room = far.reserve(300);
          ASSERT_TRUE(room);
          std::memset(room.bytes().data(), i, room.bytes().size());
          room.commit(static_cast<std::size_t>(i % 300));
        }
        static_cast<void>(far.reserve(100));  // given up
        EXPECT_EQ(far.reserve(far.max_in_place() + 1).status(), Status::too_large);
        EXPECT_EQ(far.send("end"), Status::ok);
      },
      [](Connection& near) {
        for (int i = 0; i < 2000; ++i) {
          {
            const auto look = near.peek();
            ASSERT_TRUE(look);
          }
          auto message = near.peek();  // once more, since it was not released
          ASSERT_EQ(message.bytes().size(), static_cast<std::size_t>(i % 300));
          for (const std::byte b : message.bytes()) ASSERT_EQ(b, static_cast<std::byte>(i));
          message.release();
        }
        std::string text;
        EXPECT_EQ(near.recv(text), Status::ok);
        EXPECT_EQ(text, "end");
        EXPECT_EQ(near.peek().status(), Status::closed);
      });
}

TEST(Connection, MisuseOfWhatIsInPlaceIsALogicError) {
  auto [a, b] = Connection::pair(1 << 12);
  {
    auto room = a.reserve(10);
    EXPECT_THROW(static_cast<void>(a.send("x")), std::logic_error);
    EXPECT_THROW(static_cast<void>(a.try_send(1)), std::logic_error);
    EXPECT_THROW(room.commit(11), std::logic_error);
    room.commit(1);
    EXPECT_THROW(room.commit(1), std::logic_error);
  }
  EXPECT_EQ(a.send("y"), Status::ok);
  {
    auto message = b.peek();
    std::string text;
    EXPECT_THROW(static_cast<void>(b.recv(text)), std::logic_error);
    EXPECT_THROW(static_cast<void>(b.skip()), std::logic_error);
    EXPECT_EQ(b.send("meanwhile"), Status::ok) << "the other direction is another matter";
    message.release();
    EXPECT_THROW(message.release(), std::logic_error);
  }
  std::string text;
  EXPECT_EQ(b.recv(text), Status::ok);
  EXPECT_EQ(text, "y");
}

TEST(Connection, PC6_PartsOfABufferAreSentOrRefusedAsPython) {
  auto [a, b] = Connection::pair(1 << 12);
  const std::string letters = "abcdefghijklmnopqrstuvwxyz";
  const auto buffer = std::as_bytes(std::span(letters));
  std::string text;
  const auto sent = [&](std::size_t offset, std::size_t size) {
    EXPECT_EQ(a.send(buffer, offset, size), Status::ok);
    EXPECT_EQ(b.recv(text), Status::ok);
    return text;
  };
  EXPECT_EQ(sent(5, 21), letters.substr(5));
  EXPECT_EQ(sent(7, 8), letters.substr(7, 8));
  EXPECT_EQ(sent(26, 0), "");
  EXPECT_THROW(static_cast<void>(a.send(buffer, 27, 0)), std::out_of_range);
  EXPECT_THROW(static_cast<void>(a.send(buffer, 22, 5)), std::out_of_range);
  EXPECT_THROW(static_cast<void>(a.send(buffer, 26, 1)), std::out_of_range);
  EXPECT_THROW(static_cast<void>(a.send(buffer, 4, SIZE_MAX)), std::out_of_range);
  EXPECT_THROW(static_cast<void>(a.send(buffer, SIZE_MAX, 2)), std::out_of_range);
  EXPECT_EQ(b.try_recv(text), Status::empty) << "nothing was sent";
}

TYPED_TEST(ConnectionBody, BatchesAreSentAndReceived) {
  std::vector<int> numbers(5000);
  std::iota(numbers.begin(), numbers.end(), 0);
  TypeParam::run(
      {.capacity = 1 << 12},
      [&](Connection& far) {
        const BatchResult result = far.send_each(numbers);
        EXPECT_EQ(result.status, Status::ok);
        EXPECT_EQ(result.count, numbers.size());
      },
      [&](Connection& near) {
        std::vector<int> received;
        for (;;) {
          const BatchResult result = near.recv_each(received, 100);
          if (result.status != Status::ok) {
            EXPECT_EQ(result.status, Status::closed);
            break;
          }
          EXPECT_LE(result.count, 100U);
          EXPECT_GE(result.count, 1U);
        }
        EXPECT_EQ(received, numbers);
      });
}

TEST(Connection, ABatchThatDoesNotFitTellsHowFarItCame) {
  auto [a, b] = Connection::pair(256);
  const std::vector<int> numbers(100, 7);
  const BatchResult result = a.send_each(numbers, 10ms);
  EXPECT_EQ(result.status, Status::timeout);
  EXPECT_GT(result.count, 5U);
  std::vector<int> received;
  EXPECT_EQ(b.recv_each(received, 1000, Deadline::now()).count, result.count);
}

// -------------------------------------------------------------------------------------------------
// Closing

TEST(Connection, PC9_CloseFromAnotherThreadWakesWhoSendsAndWhoReceives) {
  for (int round = 0; round < 20; ++round) {
    auto [a, b] = Connection::pair(256);
    ASSERT_EQ(a.send(1), Status::ok);
    ASSERT_EQ(b.recv<int>(), 1);
    Status sent = Status::ok;
    Status received = Status::ok;
    {
      std::jthread sender([&, end = &a] { sent = end->send(Bytes(10000)); });
      std::jthread receiver([&, end = &a] {
        int none = 0;
        received = end->recv(none);
      });
      if (round % 2 == 0) std::this_thread::sleep_for(2ms);
      a.close();
      a.close();
    }
    EXPECT_EQ(sent, Status::closed);
    EXPECT_EQ(received, Status::closed);
    EXPECT_EQ(b.peer(), PeerState::closed) << "whichever of the two calls ended last";
    EXPECT_EQ(a.send(1), Status::closed);
    int none = 0;
    EXPECT_EQ(a.try_recv(none), Status::closed);
  }
}

TEST(Connection, PC8_LeavingTheScopeOrMovingFromAnEndIsDefined) {
  auto [a, b] = Connection::pair(1 << 12);
  ASSERT_EQ(a.send("last"), Status::ok);
  {
    const Connection scope = std::move(a);
  }
  EXPECT_EQ(a.send("x"), Status::closed);
  std::string text;
  EXPECT_EQ(a.recv(text), Status::closed);
  EXPECT_EQ(b.recv(text), Status::ok);
  EXPECT_EQ(b.recv(text), Status::closed);
}

TEST(Connection, AHandleThatIsClosedLateDoesNotCloseItsSuccessor) {
  Connection first = Connection::create("late");
  auto second = std::make_unique<Connection>(Connection::open("late"));
  second->close();
  Connection again = Connection::open("late");  // the same process takes the end anew
  second.reset();
  EXPECT_EQ(again.send(1), Status::ok);
  EXPECT_EQ(first.recv<int>(), 1);
  EXPECT_EQ(first.peer(), PeerState::open);
}

TEST(Connection, PC5_TheParentMayCloseItsCopyOfTheChildsEndAtOnce) {
  for (int round = 0; round < 100; ++round) {
    auto [mine, childs] = Connection::pair(1 << 12);
    Process child("pc5", [end = &childs] {
      while (const auto value = end->recv<int>())
        require(end->send(*value + 1) == Status::ok, "send");
    });
    childs.close();
    ASSERT_EQ(mine.send(42), Status::ok);
    ASSERT_EQ(mine.recv<int>(), 43);
    mine.close();
    ASSERT_TRUE(child.join(20s));
    ASSERT_EQ(child.exit_code(), 0);
  }
}

TEST(Connection, NobodyHasToCloseAnything) {
  auto [mine, childs] = Connection::pair(1 << 12);
  Process child("forgetful", [a = &mine, b = &childs] {
    require(b->recv<int>() == 1, "recv");
    require(b->send(2) == Status::ok, "send");
    static_cast<void>(a);
    _exit(0);  // without closing either
  });
  EXPECT_EQ(mine.send(1), Status::ok);
  EXPECT_EQ(mine.recv<int>(), 2);
  int none = 0;
  EXPECT_NE(mine.recv(none, 20s), Status::timeout) << "the stream has ended";
  child.join();
}

// -------------------------------------------------------------------------------------------------
// Names, memory, strangers

TEST(ConnectionName, PC21_ALiveNameAndALiveEndAreTaken) {
  Connection first = Connection::create("taken");
  EXPECT_EQ(code_of([] { static_cast<void>(Connection::create("taken")); }),
            std::errc::file_exists);
  EXPECT_EQ(code_of([] { static_cast<void>(Connection::open_or_create("taken")); }), Status::busy);
  Connection second = Connection::open("taken");
  EXPECT_EQ(code_of([] { static_cast<void>(Connection::open("taken")); }), Status::busy);
  EXPECT_EQ(code_of([] { static_cast<void>(Receiver::open("taken")); }), Status::mismatch);
  EXPECT_EQ(code_of([] { static_cast<void>(Connection::open("nobody")); }),
            std::errc::no_such_file_or_directory);
  const Receiver pipe = Receiver::create("a-pipe");
  EXPECT_EQ(code_of([] { static_cast<void>(Connection::open("a-pipe")); }), Status::mismatch);
}

TEST(ConnectionName, PC22_WhatWasSentAndClosedBeforeTheServerLookedIsReceived) {
  Connection server = Connection::create("pc22");
  {
    Connection client = Connection::open("pc22");
    EXPECT_EQ(client.send(Person{"Ada", {}, {}}), Status::ok);
  }
  EXPECT_EQ(server.recv<Person>()->name, "Ada");
  EXPECT_EQ(server.recv<Person>(), std::nullopt);
  Connection next = Connection::open("pc22");
  EXPECT_EQ(server.peer(), PeerState::open);
  EXPECT_EQ(next.send(1), Status::ok);
  EXPECT_EQ(server.recv<int>(), 1) << "the next client";
}

TEST(ConnectionName, AnEndTravelsAsADescriptor) {
  auto [a, b] = Connection::pair(1 << 12);
  UniqueFd fd = b.fd();
  b.close();
  Connection other = Connection::from_fd(std::move(fd));
  EXPECT_EQ(a.send(5), Status::ok);
  EXPECT_EQ(other.recv<int>(), 5);
  std::ostringstream text;
  text << a << "; " << other;
  EXPECT_THAT(text.str(), AllOf(HasSubstr("first end of an anonymous connection, open by tag"),
                                HasSubstr("second end")));
}

TEST(Connection, AnIdleOneWithTwoRingsOf64KiBTakesAtMost160KiB) {
  auto [a, b] = Connection::pair(1 << 16);
  EXPECT_EQ(a.capacity(), 1U << 16);
  struct stat s = {};
  ASSERT_EQ(fstat(a.fd().get(), &s), 0);
  EXPECT_LE(s.st_size, 160 << 10);
  EXPECT_LE(s.st_blocks * 512, 160 << 10);
}

TEST(Connection, ImpossibleSizesAreRefused) {
  EXPECT_EQ(code_of([] { static_cast<void>(Connection::pair(0)); }), std::errc::invalid_argument);
  EXPECT_EQ(code_of([] { static_cast<void>(Connection::pair(SIZE_MAX)); }),
            std::errc::invalid_argument);
  EXPECT_EQ(code_of([] {
              static_cast<void>(Connection::pair({.capacity = 4096, .max_message = SIZE_MAX}));
            }),
            std::errc::invalid_argument);
  EXPECT_EQ(
      code_of([] { static_cast<void>(Connection::pair({.capacity = 4096, .max_message = 0})); }),
      std::errc::invalid_argument);
}

// -------------------------------------------------------------------------------------------------
// Signals

void ignore_signal(int) {}

TEST(Connection, PC16_ASignalStormDisturbsNoLongMessage) {
  struct sigaction action = {};
  struct sigaction old = {};
  action.sa_handler = ignore_signal;  // without SA_RESTART
  sigaction(SIGALRM, &action, &old);
  itimerval storm = {.it_interval = {0, 1000}, .it_value = {0, 1000}};
  const Bytes large = numbered(4, 8 << 20);
  auto [mine, childs] = Connection::pair(1 << 12);
  Process child("storm", [&, end = &childs] {
    sigaction(SIGALRM, &action, nullptr);  // a Process starts with the default ones
    setitimer(ITIMER_REAL, &storm, nullptr);
    Bytes bytes;
    require(end->recv(bytes) == Status::ok && bytes == large, "recv");
    require(end->send(bytes) == Status::ok, "send");
  });
  setitimer(ITIMER_REAL, &storm, nullptr);
  EXPECT_EQ(mine.send(large), Status::ok);
  Bytes bytes;
  EXPECT_EQ(mine.recv(bytes), Status::ok);
  EXPECT_TRUE(bytes == large);
  const auto start = Clock::now();
  int none = 0;
  const Status status = mine.recv(none, 100ms);
  if (status == Status::timeout) {
    EXPECT_GE(Clock::now() - start, 100ms);
  }
  storm = {};
  setitimer(ITIMER_REAL, &storm, nullptr);
  sigaction(SIGALRM, &old, nullptr);
  EXPECT_TRUE(child.join(20s));
  EXPECT_EQ(child.exit_code(), 0);
}

}  // namespace
}  // namespace sluice::tests
