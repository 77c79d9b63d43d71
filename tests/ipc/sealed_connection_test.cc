// SPDX-License-Identifier: Apache-2.0
//
// Sealed connections between peers that behave: messages, sizes, ends, deaths, descriptors, event
// loops. Those that do not are in sealed_hostile_test.cc. Rows PC and WM of the behaviour list are
// named where they stand.

#include "sluice/ipc/sealed_connection.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/value.h"
#include "sluice/ipc/wait_any.h"
#include "sluice/sync/error.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/ipc/codec_types.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/sealed_ways.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

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

/// Runs `act` once the calling thread sleeps.
template <class Act>
std::jthread when_asleep(Act act) {
  return std::jthread([act, waiter = gettid()] {
    EXPECT_TRUE(wait_until_asleep(waiter));
    act();
  });
}

template <class End>
concept ReadsInPlace = requires(End& end) { end.peek(); };
template <class End>
concept WaitsForRoom = requires(End& end) { end.space_handle(); };
static_assert(ReadsInPlace<Connection> && !ReadsInPlace<SealedConnection>);
static_assert(WaitsForRoom<Connection> && !WaitsForRoom<SealedConnection>);
static_assert(!Travels<SealedConnection> && !std::is_copy_constructible_v<SealedConnection> &&
              std::is_nothrow_move_constructible_v<SealedConnection>);

template <class Way>
class SealedBody : public testing::Test {};
TYPED_TEST_SUITE(SealedBody, AllSealed, WayNames);

// -------------------------------------------------------------------------------------------------
// Messages

TYPED_TEST(SealedBody, PC1_AnEchoOfObjectsAndBytes) {
  TypeParam::run(
      {},
      [](SealedConnection& far) {
        while (auto person = far.recv<Person>()) {
          person->nicknames.push_back(person->greeting());
          ASSERT_EQ(far.send(*person), Status::ok);
          Bytes bytes;
          ASSERT_EQ(far.recv(bytes), Status::ok);
          ASSERT_EQ(far.send(bytes), Status::ok);
        }
        EXPECT_EQ(far.status(), Status::closed);
      },
      [](SealedConnection& near) {
        for (int i = 0; i < 100; ++i) {
          ASSERT_EQ(near.send(Person{"Ada", {"Countess"}, 36}), Status::ok);
          ASSERT_EQ(near.recv<Person>(), (Person{"Ada", {"Countess", "Hello, Ada"}, 36}));
          ASSERT_EQ(near.send("abc"), Status::ok);
          std::string room = "------";
          ASSERT_EQ(near.recv_into(std::as_writable_bytes(std::span(room))).size, 3U);
          ASSERT_EQ(room, "abc---");
        }
        EXPECT_FALSE(near.poll());
        const auto start = Clock::now();
        EXPECT_FALSE(near.poll(100ms));
        EXPECT_GE(Clock::now() - start, 100ms);
      });
}

TYPED_TEST(SealedBody, MessagesOfEverySizeArriveWholeAndInOrder) {
  constexpr std::size_t kCapacity = 1 << 10;
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; size < 4 * kCapacity; size += 37) sizes.push_back(size);
  for (std::size_t size = kCapacity / 2 - 18; size < kCapacity / 2 + 4; ++size) {
    sizes.push_back(size);
  }
  sizes.push_back(4 << 20);
  TypeParam::run(
      {.capacity = kCapacity},
      [&](SealedConnection& far) {
        for (const std::size_t size : sizes) {
          ASSERT_EQ(far.send(numbered(static_cast<std::uint32_t>(size), size)), Status::ok);
        }
      },
      [&](SealedConnection& near) {
        for (const std::size_t size : sizes) {
          Bytes bytes;
          ASSERT_EQ(near.recv(bytes), Status::ok);
          ASSERT_TRUE(bytes == numbered(static_cast<std::uint32_t>(size), size)) << size;
        }
      });
}

TYPED_TEST(SealedBody, EachEndSendsFromOneThreadAndReceivesInAnother) {
  constexpr int kCount = 20000;
  for (const WaitMode mode : {WaitMode::adaptive, WaitMode::block}) {
    const auto both_ways = [mode](SealedConnection& end) {
      ASSERT_EQ(end.send(-1), Status::ok);
      std::jthread sender([&] {
        const ScopedWaitPolicy policy({.mode = mode});
        for (int i = 0; i < kCount; ++i) ASSERT_EQ(end.send(i), Status::ok);
      });
      const ScopedWaitPolicy policy({.mode = mode});
      for (int i = -1; i < kCount; ++i) ASSERT_EQ(end.recv<int>(), i);
    };
    TypeParam::run({.capacity = 1 << 10}, both_ways, both_ways);
  }
}

TYPED_TEST(SealedBody, PC2_PC3_AMessageTooLargeForTheRoomStaysOrIsSkipped) {
  TypeParam::run(
      {.capacity = 1 << 10},
      [](SealedConnection& far) {
        EXPECT_EQ(far.send(Bytes(300, std::byte{1})), Status::ok);
        EXPECT_EQ(far.send(Bytes(5000, std::byte{2})), Status::ok);
        EXPECT_EQ(far.send(Bytes(6000, std::byte{3})), Status::ok);
        EXPECT_EQ(far.send(7), Status::ok);
        EXPECT_EQ(far.send("next"), Status::ok);
      },
      [](SealedConnection& near) {
        Bytes room(299);
        for (const std::size_t size : {300, 5000}) {
          for (int i = 0; i < 2; ++i) {
            const RecvResult result = near.recv_into(room);
            EXPECT_EQ(result.status, Status::too_large);
            EXPECT_EQ(result.size, size);
          }
          Bytes bytes;
          EXPECT_EQ(near.recv_at_most(100, bytes).status, Status::too_large);
          const RecvResult taken = near.recv_at_most(size, bytes);
          EXPECT_EQ(taken.status, Status::ok);
          EXPECT_EQ(bytes, Bytes(size, std::byte(size == 300 ? 1 : 2)));
        }
        EXPECT_TRUE(near.poll(20s));
        EXPECT_EQ(near.skip(), Status::ok);
        std::string words;
        double number = 0;
        EXPECT_TRUE(near.poll(20s));
        EXPECT_EQ(near.recv(number), Status::mismatch) << "and it stays";
        EXPECT_EQ(near.recv<int>(), 7);
        EXPECT_EQ(near.recv(words), Status::ok);
        EXPECT_EQ(words, "next");
      });
}

TYPED_TEST(SealedBody, AboveThePeersMaximumNothingIsSent) {
  TypeParam::run(
      {.capacity = 1 << 12, .max_message = 10000},
      [](SealedConnection& far) {
        EXPECT_EQ(far.max_message(), 10000U);
        EXPECT_EQ(far.send(Bytes(10001)), Status::too_large);
        EXPECT_EQ(far.try_send(Bytes(10000)), Status::too_large) << "not without waiting";
        EXPECT_EQ(far.send(Bytes(10000)), Status::ok);
      },
      [](SealedConnection& near) {
        Bytes bytes;
        EXPECT_EQ(near.recv(bytes), Status::ok);
        EXPECT_EQ(bytes.size(), 10000U);
      });
}

TYPED_TEST(SealedBody, ReserveFillsInPlace) {
  TypeParam::run(
      {.capacity = 1 << 10},
      [](SealedConnection& far) {
        for (int i = 0; i < 500; ++i) {
          auto room = far.reserve(100);
          ASSERT_TRUE(room);
          std::ranges::fill(room.bytes(), static_cast<std::byte>(i));
          room.commit(static_cast<std::size_t>(i % 100));
        }
        static_cast<void>(far.reserve(100));  // given up
        EXPECT_EQ(far.reserve(far.max_in_place() + 1).status(), Status::too_large);
      },
      [](SealedConnection& near) {
        for (int i = 0; i < 500; ++i) {
          Bytes bytes;
          ASSERT_EQ(near.recv(bytes), Status::ok);
          ASSERT_EQ(bytes, Bytes(static_cast<std::size_t>(i % 100), static_cast<std::byte>(i)));
        }
        Bytes bytes;
        EXPECT_EQ(near.recv(bytes), Status::closed);
      });
}

TYPED_TEST(SealedBody, AFullRingIsFullAndADeadlineHolds) {
  Gate filled;
  TypeParam::run(
      {.capacity = 1 << 10},
      [&](SealedConnection& far) {
        while (far.try_send(Bytes(100)) == Status::ok) continue;
        EXPECT_EQ(far.try_send(Bytes(100)), Status::full);
        const auto start = Clock::now();
        EXPECT_EQ(far.send(Bytes(100), 100ms), Status::timeout);
        EXPECT_GE(Clock::now() - start, 100ms);
        EXPECT_EQ(far.send(Bytes(1 << 20), 10ms), Status::timeout) << "parts of it may be there";
        filled.open();
        EXPECT_EQ(far.send("after"), Status::ok) << "waits for room";
      },
      [&](SealedConnection& near) {
        filled.wait();
        Bytes bytes;
        std::string last;
        while (near.recv(bytes) == Status::ok) last.assign(bytes.size() == 5 ? "after" : "");
        EXPECT_EQ(last, "after");
      });
}

// -------------------------------------------------------------------------------------------------
// Ends and deaths

TYPED_TEST(SealedBody, WhatWasSentBeforeTheEndIsReceivedFirst) {
  TypeParam::run(
      {},
      [](SealedConnection& far) {
        EXPECT_EQ(far.send(1), Status::ok);
        EXPECT_EQ(far.send(2), Status::ok);
      },
      [](SealedConnection& near) {
        EXPECT_EQ(near.recv<int>(), 1);
        while (near.peer() == PeerState::open) std::this_thread::yield();
        EXPECT_EQ(near.status(), Status::ok) << "a message is left";
        EXPECT_EQ(near.recv<int>(), 2);
        EXPECT_EQ(near.recv<int>(), std::nullopt);
        EXPECT_EQ(near.status(), Status::closed);
        EXPECT_EQ(near.peer(), PeerState::closed);
        EXPECT_EQ(near.send(3), Status::closed);
        int number = 0;
        EXPECT_EQ(near.try_recv(number), Status::closed);
      });
}

TYPED_TEST(SealedBody, CloseWakesASleepingReceiverAndASleepingSender) {
  for (const bool sends : {false, true}) {
    Gate slept;
    TypeParam::run(
        {.capacity = 1 << 10},
        [&](SealedConnection& far) {
          EXPECT_EQ(far.send("here"), Status::ok);
          slept.wait();
        },
        [&](SealedConnection& near) {
          std::string text;
          EXPECT_EQ(near.recv(text), Status::ok);
          const auto waker = when_asleep([&] { slept.open(); });
          Status status = Status::ok;
          while (status == Status::ok) status = sends ? near.send(Bytes(200)) : near.recv(text);
          EXPECT_EQ(status, Status::closed);
        });
  }
}

TEST(SealedConnection, CloseByAnotherThreadWakesTheCaller) {
  auto [a, b] = SealedConnection::pair({.capacity = 1 << 10});
  for (const bool sends : {false, true}) {
    auto [near, far] = SealedConnection::pair({.capacity = 1 << 10});
    const auto closer = when_asleep([&near = near] { near.close(); });
    Status status = Status::ok;
    std::string text;
    while (status == Status::ok) status = sends ? near.send(Bytes(200)) : near.recv(text);
    EXPECT_EQ(status, Status::closed);
  }
}

/// A child that was connected and then killed at a moment of the test's.
template <class Body>
pid_t fork_child(Body body) {
  const pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(0);
  }
  return pid;
}

void kill_and_reap(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

TEST(SealedDeath, AKilledPeerIsNoticedByASleeperAtOnce) {
  for (const bool sends : {false, true}) {
    auto [near, far] = SealedConnection::pair({.capacity = 1 << 10});
    const pid_t child = fork_child([&far = far] {
      static_cast<void>(far.send("here"));
      pause();
    });
    far.close();
    std::string text;
    ASSERT_EQ(near.recv(text), Status::ok);
    EXPECT_EQ(near.peer(), PeerState::open);
    Status status = Status::ok;
    {
      const auto killer = when_asleep([&] { kill_and_reap(child); });
      while (status == Status::ok) status = sends ? near.send(Bytes(200)) : near.recv(text);
    }
    EXPECT_EQ(status, Status::peer_died);
    EXPECT_EQ(near.peer(), PeerState::died);
    EXPECT_EQ(near.status(), Status::peer_died);
    EXPECT_EQ(near.recv(text), Status::peer_died);
    EXPECT_EQ(near.send(Bytes(2000), 20s), Status::peer_died) << "once there is no room";
    EXPECT_EQ(near.recv(text, Deadline::now()), Status::peer_died);
  }
}

TEST(SealedDeath, WhoOnlyTriesLearnsOfItToo) {
  auto [near, far] = SealedConnection::pair({.capacity = 1 << 10});
  const pid_t child = fork_child([&far = far] {
    static_cast<void>(far.send("here"));
    pause();
  });
  far.close();
  std::string text;
  ASSERT_EQ(near.recv(text), Status::ok);
  kill_and_reap(child);
  Status status = Status::empty;
  for (int i = 0; i < 5000 && status == Status::empty; ++i) status = near.try_recv(text);
  EXPECT_EQ(status, Status::peer_died);
  status = Status::ok;
  for (int i = 0; i < 5000 && (status == Status::ok || status == Status::full); ++i) {
    status = near.try_send(Bytes(100));
  }
  EXPECT_EQ(status, Status::peer_died);
}

TEST(SealedDeath, WhatAKilledPeerHadSentIsReceivedFirst) {
  auto [near, far] = SealedConnection::pair();
  Gate sent;
  const pid_t child = fork_child([&, &far = far] {
    for (int i = 0; i < 10; ++i) static_cast<void>(far.send(i));
    sent.open();
    pause();
  });
  far.close();
  sent.wait();
  kill_and_reap(child);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(near.recv<int>(), i);
  EXPECT_EQ(near.recv<int>(), std::nullopt);
  EXPECT_EQ(near.status(), Status::peer_died);
}

TEST(SealedDeath, AnEndThatNobodyEverUsedIsClosedNotDead) {
  auto [near, far] = SealedConnection::pair();
  const pid_t child = fork_child([] { pause(); });
  far.close();
  EXPECT_EQ(near.peer(), PeerState::open) << "the child may still use its copy";
  kill_and_reap(child);
  EXPECT_EQ(near.recv<int>(), std::nullopt);
  EXPECT_EQ(near.status(), Status::closed);
}

TEST(SealedDeath, AChildsForgottenCopyOfTheOtherEndDoesNotKeepItAlive) {
  Gate used;
  auto [near, far] = SealedConnection::pair();
  // The grandchild-like order: `first` uses near and dies; `second` uses far, and has inherited a
  // copy of near that it never looks at.
  const pid_t second = fork_child([&, &near = near, &far = far] {
    std::string text;
    static_cast<void>(near.capacity());
    _exit(far.recv(text) == Status::ok && far.recv(text) == Status::peer_died ? 7 : 1);
  });
  const pid_t first = fork_child([&, &near = near] {
    static_cast<void>(near.send("here"));
    used.open();
    pause();
  });
  near.close();
  far.close();
  used.wait();
  kill_and_reap(first);
  int status = 0;
  waitpid(second, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(SealedDeath, AChildOfAKilledUserDoesNotKeepTheEndAlive) {
  auto [near, far] = SealedConnection::pair();
  Gate end;
  const pid_t child = fork_child([&, &far = far] {
    static_cast<void>(far.send("here"));
    // It lives on, with copies of all that its parent had.
    if (fork() == 0)
      end.wait();
    else
      pause();
  });
  far.close();
  std::string text;
  ASSERT_EQ(near.recv(text), Status::ok);
  kill_and_reap(child);
  EXPECT_EQ(near.recv(text, 20s), Status::peer_died);
  end.open();
}

TEST(SealedConnection, AnEndHasOneUser) {
  auto [near, far] = SealedConnection::pair();
  ASSERT_EQ(far.send(1), Status::ok);
  ChildParty child([&far = far] {
    EXPECT_EQ(far.try_send(2), Status::busy);
    int number = 0;
    EXPECT_EQ(far.try_recv(number), Status::busy);
    far.close();  // its copy alone
  });
  child.finish();
  EXPECT_EQ(near.recv<int>(), 1);
  EXPECT_EQ(near.peer(), PeerState::open);
  EXPECT_EQ(near.send(3), Status::ok);
  EXPECT_EQ(far.recv<int>(), 3);
}

// -------------------------------------------------------------------------------------------------
// Meeting

TEST(SealedListener, TellsWhoThePeerIs) {
  const std::string address = fresh_address();
  SealedListener listener(address);
  const pid_t child = fork_child([&] {
    auto end = SealedConnection::connect(address, 20s);
    static_cast<void>(end.recv<int>());
  });
  auto end = listener.accept(20s);
  ASSERT_TRUE(end);
  const PeerCredentials peer = end->credentials();
  EXPECT_EQ(peer.pid, child);
  EXPECT_EQ(peer.uid, geteuid());
  EXPECT_EQ(peer.gid, getegid());
  std::ostringstream out;
  out << *end;
  EXPECT_THAT(out.str(), AllOf(HasSubstr("sealed connection to pid " + std::to_string(child)),
                               HasSubstr("peer open")));
  EXPECT_EQ(end->send(1), Status::ok);
  waitpid(child, nullptr, 0);
}

TEST(SealedListener, AcceptWaitsUntilItsDeadlineAndUntilClose) {
  SealedListener listener(fresh_address());
  const auto start = Clock::now();
  EXPECT_FALSE(listener.accept(100ms));
  EXPECT_GE(Clock::now() - start, 100ms);
  EXPECT_FALSE(listener.accept(Deadline::now()));
  const auto closer = when_asleep([&] { listener.close(); });
  EXPECT_FALSE(listener.accept());
}

/// A socket's path has at most 107 bytes, and where Bazel has tests put their files is longer.
std::string short_path(const std::string& name) {
  return (std::filesystem::temp_directory_path() / name).string() + std::to_string(getpid());
}

TEST(SealedListener, AnAddressIsUsedOnceAndAPathGoesWithItsListener) {
  const std::string directory = short_path("sealed");
  std::filesystem::create_directory(directory);
  for (const std::string& address : {fresh_address(), directory + "/listener"}) {
    SealedListener listener(address);
    EXPECT_EQ(code_of([&] { SealedListener second(address); }), std::errc::address_in_use);
    const std::jthread client([&] {
      run_reporting([&] {
        auto end = SealedConnection::connect(address, 20s);
        EXPECT_EQ(end.send(5), Status::ok);
      });
    });
    auto end = listener.accept(20s);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->recv<int>(), 5);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  EXPECT_EQ(code_of([&] { SealedConnection::connect(directory + "/listener", 1s); }),
            std::errc::no_such_file_or_directory);
  EXPECT_EQ(code_of([&] { SealedConnection::connect(fresh_address(), 1s); }),
            std::errc::connection_refused);
  for (const std::string bad : {"", "x", "relative/path", "@", "/"}) {
    EXPECT_EQ(code_of([&] { SealedListener listener(bad); }), std::errc::invalid_argument) << bad;
  }
  std::filesystem::remove_all(directory);
}

TEST(SealedListener, APathOfAKilledListenerIsTakenOver) {
  const std::string path = short_path("sealed-killed");
  Gate listening;
  const pid_t child = fork_child([&] {
    const SealedListener listener(path);
    listening.open();
    pause();
  });
  listening.wait();
  EXPECT_EQ(code_of([&] { SealedListener listener(path); }), std::errc::address_in_use);
  kill_and_reap(child);
  EXPECT_TRUE(std::filesystem::exists(path));
  const SealedListener listener(path);
}

TEST(SealedConnection, WithAProcessThatOnlyTheSocketConnects) {
  // exec'd: it shares nothing with this one but a socket; main() gives it a domain of its own.
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd mine(ends[0]);
  const pid_t child = fork_child([&] {
    setenv("SLUICE_SEALED_PARTY", std::to_string(dup(ends[1])).c_str(), 1);
    execl("/proc/self/exe", "sealed_party", "--gtest_filter=SealedParty.Echo", nullptr);
  });
  close(ends[1]);
  auto end = SealedConnection::from_socket(std::move(mine), 20s);
  EXPECT_EQ(end.send(Person{"Ada", {}, 36}), Status::ok);
  EXPECT_EQ(end.recv<Person>(), (Person{"Ada", {"seen"}, 36}));
  end.close();
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(SealedParty, Echo) {
  const char* const socket = std::getenv("SLUICE_SEALED_PARTY");
  if (socket == nullptr) GTEST_SKIP() << "for the test above, in a process of its own";
  auto end = SealedConnection::from_socket(UniqueFd(dup(std::stoi(socket))), 20s);
  while (auto person = end.recv<Person>()) {
    person->nicknames.emplace_back("seen");
    ASSERT_EQ(end.send(*person), Status::ok);
  }
}

// -------------------------------------------------------------------------------------------------
// Descriptors

/// What can be read from the start of a file.
std::string contents(int fd) {
  std::string text(100, '\0');
  const ssize_t size = pread(fd, text.data(), text.size(), 0);
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return text;
}

UniqueFd file_with(const std::string& text) {
  UniqueFd fd(memfd_create("plain", MFD_CLOEXEC));
  EXPECT_EQ(pwrite(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return fd;
}

TYPED_TEST(SealedBody, PC7_DescriptorsArriveInOrderUsableAndCloseOnExec) {
  TypeParam::run(
      {},
      [](SealedConnection& far) {
        for (int i = 0; i < 20; ++i) {
          EXPECT_EQ(far.send_fd(file_with("file " + std::to_string(i)).get()), Status::ok);
          EXPECT_EQ(far.send(i), Status::ok);
        }
        UniqueFd back;
        EXPECT_EQ(far.recv_fd(back), Status::ok);
        EXPECT_EQ(pwrite(back.get(), "by far", 6, 0), 6);
        EXPECT_EQ(far.send(-1), Status::ok);
      },
      [](SealedConnection& near) {
        UniqueFd fd;
        EXPECT_EQ(near.recv_fd(fd, 20s), Status::ok);
        EXPECT_EQ(contents(fd.get()), "file 0");
        EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
        for (int i = 0; i < 20; ++i) {
          EXPECT_EQ(near.recv<int>(), i);
          if (i == 0) continue;
          EXPECT_EQ(near.recv_fd(fd), Status::ok);
          EXPECT_EQ(contents(fd.get()), "file " + std::to_string(i));
        }
        EXPECT_EQ(near.recv_fd(fd, 20ms), Status::timeout);
        UniqueFd file = file_with("");
        const UniqueFd high(fcntl(file.get(), F_DUPFD_CLOEXEC, 300));
        EXPECT_EQ(near.send_fd(high.get()), Status::ok);
        EXPECT_EQ(near.recv<int>(), -1);
        EXPECT_EQ(contents(file.get()), "by far");
        EXPECT_EQ(near.recv_fd(fd), Status::closed);
        EXPECT_EQ(near.send_fd(file.get()), Status::closed);
      });
}

TEST(SealedDescriptors, ASenderWithoutRoomWaitsUntilItsDeadline) {
  auto [a, b] = SealedConnection::pair();
  const UniqueFd file = file_with("x");
  int sent = 0;
  while (sent < 100000 && a.send_fd(file.get(), 5ms) == Status::ok) ++sent;
  EXPECT_LT(sent, 100000);
  UniqueFd fd;
  for (int i = 0; i < sent; ++i) ASSERT_EQ(b.recv_fd(fd, Deadline::now()), Status::ok);
  EXPECT_EQ(b.recv_fd(fd, Deadline::now()), Status::timeout);
  EXPECT_EQ(a.send_fd(file.get(), Deadline::now()), Status::ok);
}

TEST(SealedDescriptors, OneThatIsNoneIsRefused) {
  auto [a, b] = SealedConnection::pair();
  EXPECT_EQ(code_of([&, &a = a] { static_cast<void>(a.send_fd(-1)); }),
            std::errc::bad_file_descriptor);
}

TEST(SealedDescriptors, WithoutRoomForItTheReceiverIsToldThatItIsLost) {
  auto [a, b] = SealedConnection::pair();
  const UniqueFd file = file_with("x");
  ASSERT_EQ(a.send_fd(file.get()), Status::ok);
  ASSERT_EQ(a.send_fd(file.get()), Status::ok);
  UniqueFd fd;
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  const UniqueFd next(dup(file.get()));
  none.rlim_cur = static_cast<rlim_t>(next.get()) + 1;
  setrlimit(RLIMIT_NOFILE, &none);
  const auto code = code_of([&, &b = b] { static_cast<void>(b.recv_fd(fd)); });
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(code, std::errc::too_many_files_open);
  EXPECT_EQ(b.recv_fd(fd), Status::ok) << "the next";
}

struct Account {
  static constexpr std::string_view kTypeName = "test.Account/1";
  long left = 0;
};

TEST(SealedDescriptors, ObjectsThatThePeerCouldWriteAreRefused) {
  auto [a, b] = SealedConnection::pair();
  const Shared<Account> account;
  const Value<long> value(1);
  auto [rx, tx] = Pipe::create(4096);
  for (const int fd : {account.fd().release(), value.fd().release(), tx.fd().release()}) {
    const UniqueFd closes(fd);
    try {
      static_cast<void>(a.send_fd(fd));
      ADD_FAILURE() << "sent";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Status::mismatch);
      EXPECT_THAT(e.what(), HasSubstr("send the value"));
    }
  }
  UniqueFd fd;
  EXPECT_EQ(b.recv_fd(fd, Deadline::now()), Status::timeout);
}

// -------------------------------------------------------------------------------------------------
// Waiting for many

TYPED_TEST(SealedBody, WM1_WaitAnyTakesItAmongOthers) {
  Gate asleep;
  TypeParam::run(
      {},
      [&](SealedConnection& far) {
        EXPECT_EQ(far.send(0), Status::ok);
        for (int i = 1; i < 10; ++i) {
          EXPECT_EQ(far.recv<int>(), i);
          EXPECT_EQ(far.send(i), Status::ok);
        }
      },
      [&](SealedConnection& near) {
        auto [rx, tx] = Pipe::create(4096);
        for (int i = 0; i < 10; ++i) {
          EXPECT_THAT(wait_any({rx, near}, 20s), ElementsAre(1));
          EXPECT_EQ(near.recv<int>(), i);
          if (i == 9) break;
          EXPECT_THAT(wait_any({rx, near}, i == 0 ? 30ms : 0ms), IsEmpty());
          const auto asker = when_asleep([&] { EXPECT_EQ(near.send(i + 1), Status::ok); });
          EXPECT_THAT(wait_any({rx, near}, 20s), ElementsAre(1));
        }
        EXPECT_THAT(wait_any({rx, near}, 20s), ElementsAre(1)) << "the end counts";
        EXPECT_EQ(near.recv<int>(), std::nullopt);
      });
}

/// No slice of a sleep ends within the test: only what wakes a sleeper does.
constexpr WaitPolicy kAsleep = {
    .mode = WaitMode::block, .first_slice = 100s, .longest_slice = 100s};

TEST(SealedWait, ABellAloneWakesASleepingReceiverAndASleepingSender) {
  const ScopedWaitPolicy policy(kAsleep);
  auto [near, far] = SealedConnection::pair({.capacity = 1 << 10});
  for (int i = 0; i < 20; ++i) {
    {
      const auto sender = when_asleep([&, &far = far] { EXPECT_EQ(far.send(i), Status::ok); });
      int number = -1;
      EXPECT_EQ(near.recv(number, 50s), Status::ok);
      EXPECT_EQ(number, i);
    }
    while (near.try_send(Bytes(100)) == Status::ok) continue;
    const auto taker = when_asleep([&far = far] {
      Bytes bytes;
      while (far.try_recv(bytes) == Status::ok) continue;
    });
    EXPECT_EQ(near.send(Bytes(400), 50s), Status::ok);
  }
}

TEST(SealedWait, APeersDeathAloneWakesASleeper) {
  const ScopedWaitPolicy policy(kAsleep);
  for (const bool sends : {false, true}) {
    auto [near, far] = SealedConnection::pair({.capacity = 1 << 10});
    const pid_t child = fork_child([&far = far] {
      static_cast<void>(far.send("here"));
      pause();
    });
    far.close();
    std::string text;
    ASSERT_EQ(near.recv(text), Status::ok);
    const auto killer = when_asleep([&] { kill_and_reap(child); });
    Status status = Status::ok;
    while (status == Status::ok) status = sends ? near.send(Bytes(200), 50s) : near.recv(text, 50s);
    EXPECT_EQ(status, Status::peer_died);
  }
}

TEST(SealedWait, NoticesThatAPeerWasKilled) {
  auto [near, far] = SealedConnection::pair();
  const pid_t child = fork_child([&far = far] {
    static_cast<void>(far.send("x"));
    pause();
  });
  far.close();
  std::string text;
  ASSERT_EQ(near.recv(text), Status::ok);
  EXPECT_THAT(wait_any({near}, Deadline::now()), IsEmpty());
  {
    const auto killer = when_asleep([&] { kill_and_reap(child); });
    EXPECT_THAT(wait_any({near}, 20s), ElementsAre(0));
  }
  EXPECT_EQ(near.recv(text), Status::peer_died);
  near.close();
  EXPECT_EQ(code_of([&, &near = near] { static_cast<void>(wait_any({near}, 1s)); }),
            Status::closed);
}

TEST(SealedWait, TheDescriptorLosesNoMessageUnderLoad) {
  constexpr int kMessages = 20'000;
  auto [near, far] = SealedConnection::pair({.capacity = 1 << 12});
  const UniqueFd loop(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event = {};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(loop.get(), EPOLL_CTL_ADD, near.descriptor(), &event), 0);
  std::jthread sender([&far = far] {
    for (int i = 0; i < kMessages; ++i) {
      EXPECT_EQ(far.send(i), Status::ok);
      if (i % 64 == 0) std::this_thread::yield();
    }
  });
  for (int i = 0; i < kMessages; ++i) {
    int number = -1;
    Status status = Status::empty;
    while (status == Status::empty) {
      ASSERT_EQ(epoll_wait(loop.get(), &event, 1, 20000), 1);
      // One at a time: it stays readable until nothing is found. By the other calls, too.
      status = i % 3 == 0 ? near.recv(number, 1us) : near.try_recv(number);
      if (status == Status::timeout) status = Status::empty;
    }
    ASSERT_EQ(status, Status::ok);
    ASSERT_EQ(number, i);
  }
  sender.join();
  int number = 0;
  EXPECT_EQ(near.try_recv(number), Status::empty);
  EXPECT_EQ(epoll_wait(loop.get(), &event, 1, 0), 0) << "nothing is left";
  far.close();
  EXPECT_EQ(epoll_wait(loop.get(), &event, 1, 20000), 1);
  EXPECT_EQ(near.try_recv(number), Status::closed);
  EXPECT_EQ(epoll_wait(loop.get(), &event, 1, 0), 1) << "an end stays";
}

TEST(SealedWait, TheDescriptorTellsOfTheLastMessageAsOfTheFirst) {
  constexpr int kRounds = 4000;
  auto [near, far] = SealedConnection::pair({.capacity = 1 << 12});
  std::atomic<int> received = 0;
  const std::jthread sender([&, &far = far] {
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_EQ(far.send(i), Status::ok);
      // While the receiver finds out that there is no more: nothing else comes to wake it.
      while (received <= i) std::this_thread::yield();
    }
  });
  pollfd polled = {near.descriptor(), POLLIN, 0};
  int number = -1;
  while (received < kRounds) {
    ASSERT_EQ(poll(&polled, 1, 20000), 1) << "after " << received;
    while (near.try_recv(number) == Status::ok) received = number + 1;
  }
}

TEST(SealedWait, TheLastMessageComesBeforeTheEnd) {
  for (int i = 0; i < 150; ++i) {
    auto [near, far] = SealedConnection::pair({.capacity = 1 << 10});
    std::atomic<bool> go = false;
    const std::jthread sender([&, &far = far] {
      while (!go) continue;
      EXPECT_EQ(far.send(i), Status::ok);
      far.close();
    });
    go = true;
    int number = -1;
    Status status = Status::empty;
    while (status == Status::empty) status = near.try_recv(number);
    ASSERT_EQ(status, Status::ok) << "round " << i;
    ASSERT_EQ(number, i);
  }
}

TEST(SealedWait, ASleeperUsesNoCpuTime) {
  auto [near, far] = SealedConnection::pair();
  ASSERT_EQ(far.send(1), Status::ok);
  EXPECT_EQ(near.recv<int>(), 1);
  const auto cpu = [] {
    timespec now = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  const auto before = cpu();
  int number = 0;
  EXPECT_EQ(near.recv(number, 400ms), Status::timeout);
  EXPECT_LT(cpu() - before, 200ms);
}

}  // namespace
}  // namespace sluice::tests
