// SPDX-License-Identifier: Apache-2.0
//
// Descriptors and whole objects from one process of a domain to another. Rows PC of the behaviour
// list are named where they stand.

#include "sluice/ipc/fd_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "sluice/ipc/array.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/value.h"
#include "sluice/ipc/wait_any.h"
#include "sluice/sync/error.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/sealed_ways.h"
#include "sluice/tests/support/way_names.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Account {
  static constexpr std::string_view kTypeName = "test.Account/1";
  long left = 0;
};

struct SocketThreads {
  static constexpr const char* kName = "Threads";
  template <class Far, class Near>
  static void run(Far far, Near near) {
    FdSocketPair pair = FdSocket::pair();
    const std::jthread thread([&] {
      run_reporting([&] {
        FdSocket socket = std::move(pair.second);
        far(socket);
      });
    });
    FdSocket socket = std::move(pair.first);
    near(socket);
  }
};

struct SocketFork {
  static constexpr const char* kName = "Fork";
  template <class Far, class Near>
  static void run(Far far, Near near) {
    std::optional<FdSocketPair> pair = FdSocket::pair();
    ChildParty child([&] { far(pair->second); });
    {
      FdSocket socket = std::move(pair->first);
      pair.reset();
      near(socket);
    }
    child.finish();
  }
};

struct SocketAddress {
  static constexpr const char* kName = "Address";
  template <class Far, class Near>
  static void run(Far far, Near near) {
    const std::string address = fresh_address();
    Gate listening;
    ChildParty child([&] {
      listening.wait();
      FdSocket socket = FdSocket::connect(address, 20s);
      far(socket);
    });
    {
      FdListener listener(address);
      listening.open();
      auto socket = listener.accept(20s);
      ASSERT_TRUE(socket);
      near(*socket);
    }
    child.finish();
  }
};

template <class Way>
class SocketBody : public testing::Test {};
using AllSockets = testing::Types<SocketThreads, SocketFork, SocketAddress>;
TYPED_TEST_SUITE(SocketBody, AllSockets, WayNames);

TYPED_TEST(SocketBody, PC7_AFileWrittenByTheOtherSideIsSeenHere) {
  TypeParam::run(
      [](FdSocket& far) {
        UniqueFd fd;
        ASSERT_EQ(far.recv_fd(fd), Status::ok);
        EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
        EXPECT_EQ(pwrite(fd.get(), "foo", 3, 0), 3);
        EXPECT_EQ(far.send_fd(fd.get()), Status::ok);
      },
      [](FdSocket& near) {
        const UniqueFd file(memfd_create("plain", MFD_CLOEXEC));
        const UniqueFd high(fcntl(file.get(), F_DUPFD_CLOEXEC, 300));
        EXPECT_EQ(near.send_fd(high.get()), Status::ok);
        UniqueFd back;
        EXPECT_EQ(near.recv_fd(back, 20s), Status::ok);
        std::array<char, 4> text = {};
        EXPECT_EQ(pread(file.get(), text.data(), 3, 0), 3);
        EXPECT_EQ(std::string_view(text.data()), "foo");
        EXPECT_EQ(near.recv_fd(back), Status::closed);
      });
}

TYPED_TEST(SocketBody, ObjectsArriveAttached) {
  TypeParam::run(
      [](FdSocket& far) {
        auto account = far.recv_object<Shared<Account>>();
        auto value = far.recv_object<Value<long>>();
        auto array = far.recv_object<Array<int>>();
        ASSERT_TRUE(account && value && array);
        (*account)->left += 5;
        EXPECT_EQ(value->fetch_add(2), 40);
        (*array)[1] = 7;
        EXPECT_EQ(far.send_object(*value), Status::ok) << "and on";
      },
      [](FdSocket& near) {
        Shared<Account> account;
        account->left = 10;
        Value<long> value(40);
        Array<int> array(3);
        EXPECT_EQ(near.send_object(account), Status::ok);
        EXPECT_EQ(near.send_object(value), Status::ok);
        EXPECT_EQ(near.send_object(array), Status::ok);
        auto back = near.recv_object<Value<long>>();
        ASSERT_TRUE(back);
        EXPECT_EQ(back->load(), 42);
        EXPECT_EQ(account->left, 15);
        EXPECT_EQ(array[1], 7);
      });
}

TYPED_TEST(SocketBody, PC23_AnEndOfAPipeIsHandedOnAndTheSendersCopyDoesNotCount) {
  TypeParam::run(
      [](FdSocket& far) {
        std::optional<Sender> tx = far.recv_object<Sender>();
        ASSERT_TRUE(tx);
        EXPECT_EQ(tx->send("through the pipe"), Status::ok);
      },
      [](FdSocket& near) {
        Pipe pipe = Pipe::create(4096);
        ASSERT_EQ(near.send_object(pipe.sender), Status::ok);
        pipe.sender.close();
        std::string text;
        EXPECT_EQ(pipe.receiver.recv(text), Status::ok);
        EXPECT_EQ(text, "through the pipe");
        EXPECT_EQ(pipe.receiver.recv(text), Status::closed);
      });
}

TYPED_TEST(SocketBody, PC23_EitherEndOfAConnectionIsHandedOn) {
  for (const bool first : {true, false}) {
    TypeParam::run(
        [](FdSocket& far) {
          std::optional<Connection> end = far.recv_object<Connection>();
          ASSERT_TRUE(end);
          EXPECT_EQ(end->send(1), Status::ok);
          EXPECT_EQ(end->recv<int>(), 2);
        },
        [first](FdSocket& near) {
          ConnectionPair pair = Connection::pair(4096);
          Connection& kept = first ? pair.second : pair.first;
          Connection& sent = first ? pair.first : pair.second;
          ASSERT_EQ(near.send_object(sent), Status::ok);
          sent.close();
          EXPECT_EQ(kept.recv<int>(), 1);
          EXPECT_EQ(kept.send(2), Status::ok);
        });
  }
}

TEST(FdSocket, AnEndUnderWayKeepsTheStreamOpenAndALostOneEndsIt) {
  std::optional<FdSocketPair> sockets = FdSocket::pair();
  Pipe pipe = Pipe::create(4096);
  ASSERT_EQ(sockets->first.send_object(pipe.sender), Status::ok);
  pipe.sender.close();
  std::string text;
  EXPECT_EQ(pipe.receiver.recv(text, 100ms), Status::timeout) << "whoever receives it may send";
  EXPECT_EQ(pipe.receiver.peer(), PeerState::open);
  sockets.reset();
  EXPECT_EQ(pipe.receiver.recv(text, 20s), Status::closed) << "nobody can any more";
}

TEST(FdSocket, AnEndThatWasUsedStays) {
  auto [a, b] = FdSocket::pair();
  Pipe pipe = Pipe::create(4096);
  ASSERT_EQ(pipe.sender.send("mine"), Status::ok);
  try {
    static_cast<void>(a.send_object(pipe.sender));
    ADD_FAILURE() << "sent";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::busy);
    EXPECT_THAT(e.what(), HasSubstr("before its first use"));
  }
}

TEST(FdSocket, WhatWasNotAskedForIsDropped) {
  auto [a, b] = FdSocket::pair();
  const Value<long> value(1);
  UniqueFd fd;
  std::optional<Value<long>> object;
  ASSERT_EQ(a.send_object(value), Status::ok);
  EXPECT_EQ(b.recv_fd(fd), Status::mismatch);
  ASSERT_EQ(a.send_fd(0), Status::ok);
  EXPECT_EQ(b.recv_object(object, 1s), Status::mismatch);
  ASSERT_EQ(a.send_object(Value<int>(1)), Status::ok);
  EXPECT_THROW(static_cast<void>(b.recv_object(object, 1s)), Error) << "of another type";
  EXPECT_EQ(b.recv_object(object, 10ms), Status::timeout);
  EXPECT_FALSE(object);
}

TEST(FdSocket, IsWaitedForAmongOthersAndEndsWhenThePeerIsKilled) {
  std::optional<FdSocketPair> pair = FdSocket::pair();
  const pid_t child = fork();
  if (child == 0) {
    FdSocket far = std::move(pair->second);
    pair->first.~FdSocket();
    static_cast<void>(far.send_fd(0));
    for (;;) pause();
  }
  FdSocket near = std::move(pair->first);
  pair.reset();
  EXPECT_THAT(wait_any({near}, 20s), ElementsAre(0));
  UniqueFd fd;
  EXPECT_EQ(near.recv_fd(fd), Status::ok);
  EXPECT_THAT(wait_any({near}, 0ms), IsEmpty());
  kill(child, SIGKILL);
  EXPECT_THAT(wait_any({near}, 20s), ElementsAre(0));
  EXPECT_EQ(near.recv_fd(fd), Status::closed);
  waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace sluice::tests
