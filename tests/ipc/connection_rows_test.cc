// SPDX-License-Identifier: Apache-2.0
//
// Rows PC of the behaviour list for connections, each by threads, by fork and by name, where
// connection_test.cc has them in one way only; and what an end promises that no row asks for: its
// own way of waiting, errors that tell both sizes, streams that end though nobody closes anything.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/connection_ways.h"
#include "sluice/tests/support/way_names.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

void require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

/// All texts that come, to the end of the stream.
std::vector<std::string> texts_from(auto& end) {
  std::vector<std::string> texts;
  std::string text;
  while (end.recv(text, 20s) == Status::ok) texts.push_back(text);
  EXPECT_EQ(end.status(), Status::closed);
  return texts;
}

template <class Way>
class ConnectionRow : public testing::Test {};
TYPED_TEST_SUITE(ConnectionRow, AllConnections, WayNames);

template <class Way>
class PipeRows : public testing::Test {};
TYPED_TEST_SUITE(PipeRows, AllWays, WayNames);

// -------------------------------------------------------------------------------------------------
// PC6: parts of a buffer

/// Python's list of offsets and sizes: what is sent, and what is refused and sends nothing.
void send_parts_of_the_alphabet(auto& end) {
  const std::string letters = "abcdefghijklmnopqrstuvwxyz";
  const auto buffer = std::as_bytes(std::span(letters));
  EXPECT_EQ(end.send(buffer, 5, 21), Status::ok);
  end.send_or_throw(buffer, 7, 8);
  EXPECT_EQ(end.send(buffer, 26, 0), Status::ok);
  constexpr std::size_t kMost = SIZE_MAX;
  for (const auto& [offset, size] : std::vector<std::pair<std::size_t, std::size_t>>{{27, 0},
                                                                                     {22, 5},
                                                                                     {26, 1},
                                                                                     {4, kMost},
                                                                                     {kMost, 1},
                                                                                     {kMost, 2},
                                                                                     {kMost - 3, 4},
                                                                                     {1, kMost}}) {
    EXPECT_THROW(static_cast<void>(end.send(buffer, offset, size)), std::out_of_range) << offset;
    EXPECT_THROW(end.send_or_throw(buffer, offset, size), std::out_of_range) << offset;
  }
}

TYPED_TEST(ConnectionRow, PC6_PartsOfABufferAreSentOrRefused) {
  TypeParam::run(
      {.capacity = 1 << 12}, [](Connection& far) { send_parts_of_the_alphabet(far); },
      [](Connection& near) {
        EXPECT_THAT(texts_from(near),
                    testing::ElementsAre("fghijklmnopqrstuvwxyz", "hijklmno", ""));
      });
}

TYPED_TEST(PipeRows, PC6_PartsOfABufferAreSentOrRefused) {
  TypeParam::run(
      1 << 12, [](Sender& tx) { send_parts_of_the_alphabet(tx); },
      [](Receiver& rx) {
        EXPECT_THAT(texts_from(rx), testing::ElementsAre("fghijklmnopqrstuvwxyz", "hijklmno", ""));
      });
}

// -------------------------------------------------------------------------------------------------
// PC2, PC3: too large for the receiver's call, or for the connection

TYPED_TEST(ConnectionRow, PC2_PC3_AtMostSoManyBytesPerCallAndNothingIsCut) {
  TypeParam::run(
      {.capacity = 1 << 10},
      [](Connection& far) {
        EXPECT_EQ(far.send(std::string(110, 'x')), Status::ok);
        EXPECT_EQ(far.send(std::string(5000, 'y')), Status::ok);
        EXPECT_EQ(far.send("next"), Status::ok);
      },
      [](Connection& near) {
        for (const auto& [size, letter] : {std::pair(110U, 'x'), std::pair(5000U, 'y')}) {
          std::string text = "as before";
          for (const std::size_t most : {std::size_t{0}, std::size_t{40}, std::size_t{size - 1}}) {
            const RecvResult result = near.recv_at_most(most, text);
            EXPECT_EQ(result.status, Status::too_large);
            EXPECT_EQ(result.size, size);
            EXPECT_EQ(text, "as before");
          }
          const RecvResult result = near.recv_at_most(size, text);
          EXPECT_EQ(result.status, Status::ok) << "another limit, for this call";
          EXPECT_EQ(result.size, size);
          EXPECT_EQ(text, std::string(size, letter)) << "whole";
        }
        Bytes bytes;
        EXPECT_EQ(near.recv_at_most(SIZE_MAX, bytes).size, 4U) << "in step";
      });
}

TYPED_TEST(ConnectionRow, AboveTheMaximumTheErrorHasBothSizesAndNothingIsSent) {
  TypeParam::run(
      {.capacity = 1 << 12, .max_message = 10000},
      [](Connection& far) {
        for (const auto& call :
             {std::function([&] { far.send_or_throw(Bytes(10001)); }),
              std::function([&] { far.send_or_throw(Bytes(10001), 1s); }), std::function([&] {
                const Bytes buffer(20000);
                far.send_or_throw(std::span(buffer), 9000, 10001);
              }),
              std::function([&] { far.send_or_throw(std::string(10001, 'x')); })}) {
          const Error error = error_of(call);
          EXPECT_EQ(error.code(), Status::too_large);
          EXPECT_THAT(error.what(),
                      AllOf(HasSubstr("expected at most 10000 bytes"),
                            HasSubstr("found a message of 10001"), HasSubstr("max_message")));
        }
        const std::vector<int> numbers(2500);  // and 4 bytes that say how many
        EXPECT_THAT(error_of([&] { far.send_or_throw(numbers); }).what(), HasSubstr("of 10004"));
        EXPECT_EQ(far.reserve(far.max_in_place() + 1).status(), Status::too_large);
        far.send_or_throw(Bytes(10000));
        far.send_or_throw(7);
        far.send_or_throw("text", 1s);
      },
      [](Connection& near) {
        Bytes bytes;
        EXPECT_EQ(near.recv(bytes), Status::ok);
        EXPECT_EQ(bytes.size(), 10000U) << "the first that is seen";
        EXPECT_EQ(near.recv<int>(), 7);
        std::string text;
        EXPECT_EQ(near.recv(text), Status::ok);
        EXPECT_EQ(text, "text");
      });
}

TYPED_TEST(PipeRows, AboveTheMaximumTheErrorHasBothSizesAndNothingIsSent) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        const std::size_t most = tx.max_message();
        EXPECT_EQ(tx.send(Bytes(most + 1)), Status::too_large);
        const Error error = error_of([&] { tx.send_or_throw(Bytes(most + 1)); });
        EXPECT_EQ(error.code(), Status::too_large);
        EXPECT_THAT(error.what(),
                    AllOf(HasSubstr("sender of"), HasSubstr(std::to_string(most)),
                          HasSubstr(std::to_string(most + 1)), HasSubstr("capacity")));
        EXPECT_THAT(tx.refusal(most + 1),
                    AllOf(HasSubstr(std::to_string(most)), HasSubstr(std::to_string(most + 1)),
                          HasSubstr("this pipe")));
        tx.send_or_throw(Bytes(most));
      },
      [](Receiver& rx) {
        Bytes bytes;
        EXPECT_EQ(rx.recv(bytes), Status::ok);
        EXPECT_EQ(bytes.size(), rx.max_message());
        EXPECT_EQ(rx.recv(bytes), Status::closed);
      });
}

// -------------------------------------------------------------------------------------------------
// PC8 to PC11

/// Every call on an end of which one side has gone says so; none waits.
void expect_all_closed(Connection& end) {
  std::string text;
  int none = 0;
  std::array<std::byte, 4> room;
  std::vector<int> batch;
  EXPECT_EQ(end.send("x"), Status::closed);
  EXPECT_EQ(end.send(1, 20s), Status::closed);
  EXPECT_EQ(end.send(Bytes(100000)), Status::closed);
  EXPECT_EQ(end.try_send(1), Status::closed);
  EXPECT_EQ(end.reserve(8).status(), Status::closed);
  EXPECT_EQ(end.send_each(std::vector<int>{1}).status, Status::closed);
  EXPECT_EQ(error_of([&] { end.send_or_throw("x"); }).code(), Status::closed);
  EXPECT_EQ(end.recv(text), Status::closed);
  EXPECT_EQ(end.recv(none, 20s), Status::closed);
  EXPECT_EQ(end.recv<int>(), std::nullopt);
  EXPECT_EQ(end.try_recv(none), Status::closed);
  EXPECT_EQ(end.recv_into(room).status, Status::closed);
  EXPECT_EQ(end.recv_at_most(9, text).status, Status::closed);
  EXPECT_EQ(end.peek().status(), Status::closed);
  EXPECT_EQ(end.recv_each(batch, 3).status, Status::closed);
  EXPECT_EQ(end.skip(), Status::closed);
  EXPECT_TRUE(end.poll()) << "a recv() returns at once";
  EXPECT_EQ(end.status(), Status::closed);
  EXPECT_TRUE(batch.empty());
}

TYPED_TEST(ConnectionRow, PC8_PC9_EveryCallOnAClosedEndAndToAClosedPeerSaysSo) {
  TypeParam::run(
      {.capacity = 1 << 12},
      [](Connection& far) {
        EXPECT_EQ(far.recv<int>(), 1);
        {
          const Connection scope = std::move(far);
        }
        expect_all_closed(far);
        far.close();
        far.close();
      },
      [](Connection& near) {
        EXPECT_EQ(near.send(1), Status::ok);
        int none = 0;
        EXPECT_EQ(near.recv(none, 20s), Status::closed);
        expect_all_closed(near);
        EXPECT_FALSE(near.closed()) << "the peer has gone, this end has not";
        near.close();
        near.close();
        EXPECT_TRUE(near.closed());
        expect_all_closed(near);
      });
}

TYPED_TEST(ConnectionRow, PC10_PC11_PollSeesEachMessageAlsoEmptyOnesAndTakesNone) {
  const std::vector<std::string> words = {"hello", "", "a", std::string(5000, 'l'), "", "bye"};
  TypeParam::run(
      {.capacity = 1 << 10},
      [&](Connection& far) {
        for (const std::string& word : words) ASSERT_EQ(far.send(word), Status::ok);
      },
      [&](Connection& near) {
        for (const std::string& word : words) {
          while (!near.poll(10ms)) continue;
          EXPECT_TRUE(near.poll()) << "and again";
          std::string text = "old";
          ASSERT_EQ(near.recv(text), Status::ok);
          ASSERT_EQ(text, word);
        }
      });
}

/// As connection_death_test.cc, with a message that travels in parts and is still under way.
TEST(ConnectionRowDeath, PC12_WhoOnlyPolledALongMessageAndDiedTookNoPartOfIt) {
  Connection server = Connection::create("pc12-long", {.capacity = 1 << 10});
  const Bytes large(20000, std::byte{1});
  Gate polled;
  Process poller("poller", [&] {
    Connection end = Connection::open("pc12-long");
    require(end.poll(Deadline::never()), "something is there");
    polled.open();
    while (end.poll()) continue;
  });
  Process sender("sender", [&] {
    polled.wait();
    kill(poller.pid(), SIGKILL);
  });
  // Blocked in the midst of the message when its receiver dies: that one is not sent.
  EXPECT_EQ(server.send(large, 20s), Status::peer_died);
  poller.join();
  sender.join();
  Connection next = Connection::open("pc12-long");
  EXPECT_EQ(server.send("whole"), Status::ok);
  std::string text;
  EXPECT_EQ(next.recv(text, 20s), Status::ok);
  EXPECT_EQ(text, "whole") << "no tail of what was given up";
}

/// As connection_death_test.cc has it by name.
TEST(ConnectionRowDeath, WhatAKilledReaderHadPeekedComesAgainToWhoInheritedTheEnd) {
  ConnectionPair pair = Connection::pair(1 << 10);
  Pipe pipe = Pipe::create(1 << 10);
  ASSERT_EQ(pair.first.send("task"), Status::ok);
  ASSERT_EQ(pipe.sender.send("job"), Status::ok);
  Process worker("worker", [&] {
    auto task = pair.second.peek();
    auto job = pipe.receiver.peek();
    require(task.bytes().size() == 4 && job.bytes().size() == 3, "peek");
    kill(getpid(), SIGKILL);
  });
  worker.join();
  Process successor("successor", [&] {
    std::string text;
    require(pair.second.recv(text) == Status::ok && text == "task", "the task again");
    require(pipe.receiver.recv(text) == Status::ok && text == "job", "the job again");
    require(pair.second.try_recv(text) == Status::empty, "once");
  });
  EXPECT_TRUE(successor.join(20s));
  EXPECT_EQ(successor.exit_code(), 0);
}

/// A receiver at a debugger's breakpoint is not dead: nothing is dropped, nobody is thrown out.
TEST(ConnectionRowDeath, AStoppedReceiverHoldsUpItsSenderAndLosesNothing) {
  auto [mine, theirs] = Connection::pair(1 << 10);
  Process reader("reader", [end = &theirs] {
    int next = 0;
    while (const auto number = end->recv<int>()) require(*number == next++, "each, in order");
    _exit(next == 500 ? 0 : 9);
  });
  int sent = 0;
  for (; sent < 10; ++sent) ASSERT_EQ(mine.send(sent), Status::ok);
  kill(reader.pid(), SIGSTOP);
  ASSERT_TRUE(wait_for_state(reader.pid(), 'T'));
  Status status = Status::ok;
  while ((status = mine.send(sent, 150ms)) == Status::ok) ++sent;
  EXPECT_EQ(status, Status::timeout);
  EXPECT_EQ(mine.peer(), PeerState::open);
  kill(reader.pid(), SIGCONT);
  for (; sent < 500; ++sent) ASSERT_EQ(mine.send(sent), Status::ok);
  mine.close();
  EXPECT_TRUE(reader.join(20s));
  EXPECT_EQ(reader.exit_code(), 0);
}

// -------------------------------------------------------------------------------------------------
// PC16: signals

std::atomic<int> g_signals = 0;

/// A handled SIGALRM every millisecond, without SA_RESTART.
class SignalStorm {
 public:
  SignalStorm() {
    struct sigaction action = {};
    // Relaxed: only counted.
    action.sa_handler = [](int) { g_signals.fetch_add(1, std::memory_order_relaxed); };
    sigaction(SIGALRM, &action, &before_);
    const itimerval each = {.it_interval = {0, 1000}, .it_value = {0, 1000}};
    setitimer(ITIMER_REAL, &each, nullptr);
  }
  ~SignalStorm() {
    const itimerval off = {};
    setitimer(ITIMER_REAL, &off, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
  }
  SignalStorm(const SignalStorm&) = delete;
  SignalStorm& operator=(const SignalStorm&) = delete;

 private:
  struct sigaction before_ = {};
};

TYPED_TEST(ConnectionRow, PC16_AStormOfSignalsNeitherShowsNorShortensAWait) {
  const Bytes large(1 << 20, std::byte{7});
  Gate timed;
  g_signals = 0;
  TypeParam::run(
      {.capacity = 1 << 12},
      [&](Connection& far) {
        Bytes bytes;
        ASSERT_EQ(far.recv(bytes), Status::ok);
        EXPECT_TRUE(bytes == large);
        ASSERT_EQ(far.send(bytes), Status::ok);
        timed.wait();  // silent, and alive
      },
      [&](Connection& near) {
        const SignalStorm storm;
        EXPECT_EQ(near.send(large), Status::ok) << "longer than the ring: it blocks";
        Bytes bytes;
        EXPECT_EQ(near.recv(bytes), Status::ok);
        EXPECT_TRUE(bytes == large);
        int none = 0;
        auto start = Clock::now();
        EXPECT_EQ(near.recv(none, 100ms), Status::timeout);
        EXPECT_GE(Clock::now() - start, 100ms);
        start = Clock::now();
        EXPECT_FALSE(near.poll(100ms));
        EXPECT_GE(Clock::now() - start, 100ms);
        start = Clock::now();
        EXPECT_EQ(near.peek(50ms).status(), Status::timeout);
        EXPECT_GE(Clock::now() - start, 50ms);
        start = Clock::now();
        EXPECT_EQ(near.send(large, 50ms), Status::timeout);
        EXPECT_GE(Clock::now() - start, 50ms);
        EXPECT_GT(g_signals, 50) << "there was a storm";
        timed.open();
      });
}

// -------------------------------------------------------------------------------------------------
// How an end waits is its own

TYPED_TEST(ConnectionRow, EndsThatWaitInDifferentWaysUnderstandEachOther) {
  constexpr std::array kModes = {WaitMode::adaptive, WaitMode::spin, WaitMode::block};
  for (const WaitMode one : kModes) {
    for (const WaitMode other : kModes) {
      TypeParam::run(
          {.capacity = 128, .max_message = 4096},
          [&](Connection& far) {
            far.set_wait_policy({.mode = one});
            while (const auto number = far.recv<int>()) {
              ASSERT_EQ(far.send(Bytes(static_cast<std::size_t>(*number))), Status::ok);
            }
          },
          [&](Connection& near) {
            near.set_wait_policy({.mode = other});
            Bytes bytes;
            for (int i = 0; i < 100; ++i) {
              ASSERT_EQ(near.send(i), Status::ok);
              ASSERT_EQ(near.recv(bytes), Status::ok);
              ASSERT_EQ(bytes.size(), static_cast<std::size_t>(i)) << one << ", " << other;
            }
          });
    }
  }
}

/// How often the calling thread has given up its CPU because it had to wait.
long sleeps() {
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

TEST(ConnectionWait, AnEndsPolicyComesBeforeItsThreads) {
  auto [a, b] = Connection::pair(128);
  int none = 0;
  EXPECT_EQ(b.try_send(1), Status::ok);
  EXPECT_EQ(a.recv<int>(), 1);
  const WaitPolicy asleep = {.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 2ms};
  const auto sleeps_in_wait = [&](Connection& end) {
    const long before = sleeps();
    EXPECT_EQ(end.recv(none, 150ms), Status::timeout);
    return sleeps() - before;
  };
  {
    const ScopedWaitPolicy thread({.mode = WaitMode::spin});
    EXPECT_LE(sleeps_in_wait(a), 3) << "the thread's";
    a.set_wait_policy(asleep);
    EXPECT_GE(sleeps_in_wait(a), 6) << "its own";
    Connection moved = std::move(a);
    EXPECT_GE(sleeps_in_wait(moved), 6) << "goes with it";
    EXPECT_EQ(wait_policy().mode, WaitMode::spin) << "the thread's is as it was";
    while (moved.try_send(1) == Status::ok) continue;
    const long before = sleeps();
    EXPECT_EQ(moved.send(1, 150ms), Status::timeout);
    EXPECT_GE(sleeps() - before, 6) << "a sender as well";
    a = std::move(moved);
  }
  const ScopedWaitPolicy thread(asleep);
  a.set_wait_policy({.mode = WaitMode::spin});
  EXPECT_LE(sleeps_in_wait(a), 3);
  EXPECT_THROW(a.set_wait_policy({.first_slice = 0ms}), std::invalid_argument);
  EXPECT_LE(sleeps_in_wait(a), 3) << "what was refused changed nothing";
}

// -------------------------------------------------------------------------------------------------
// Nobody closes anything

/// A chain of processes, each of which inherits all ends of all pipes, uses two and closes none.
TEST(Forgotten, AChainInWhichNobodyClosesAnythingEnds) {
  auto [first_out, first_in] = Pipe::create(1 << 12);
  auto [second_out, second_in] = Pipe::create(1 << 12);
  auto [third_out, third_in] = Pipe::create(1 << 12);
  Process source("source", [in = &first_in] {
    for (int i = 0; i < 10; ++i) require(in->send(i) == Status::ok, "send");
    _exit(0);  // not even destructors
  });
  const auto squares = [](Receiver* from, Sender* to) {
    return [=] {
      while (const auto number = from->recv<int>()) {
        require(to->send(*number * *number) == Status::ok, "send");
      }
      _exit(0);
    };
  };
  Process middle("middle", squares(&first_out, &second_in));
  Process last("last", squares(&second_out, &third_in));
  std::vector<int> received;
  int number = 0;
  Status status = Status::ok;
  while ((status = third_out.recv(number, 20s)) == Status::ok) received.push_back(number);
  EXPECT_NE(status, Status::timeout) << "the stream has ended";
  EXPECT_EQ(received, (std::vector{0, 1, 16, 81, 256, 625, 1296, 2401, 4096, 6561}));
  for (Process* process : {&source, &middle, &last}) {
    EXPECT_TRUE(process->join(20s));
    EXPECT_EQ(process->exit_code(), 0);
  }
}

/// Both directions of a connection, and all of a family of processes that never close.
TEST(Forgotten, AServerWhoseClientsForgetToCloseServesThemAllAndEnds) {
  std::vector<ConnectionPair> pairs;
  for (int i = 0; i < 4; ++i) pairs.push_back(Connection::pair(1 << 10));
  std::vector<Process> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back("client", [&pairs, i] {
      Connection& end = pairs[static_cast<std::size_t>(i)].second;
      require(end.send(i) == Status::ok && end.recv<int>() == i + 1, "serve");
      _exit(0);
    });
  }
  for (ConnectionPair& pair : pairs) {
    int number = 0;
    ASSERT_EQ(pair.first.recv(number, 20s), Status::ok);
    ASSERT_EQ(pair.first.send(number + 1), Status::ok);
    EXPECT_NE(pair.first.recv(number, 20s), Status::timeout) << "the client has gone";
    EXPECT_EQ(pair.first.recv<int>(), std::nullopt);
  }
  for (Process& client : clients) EXPECT_TRUE(client.join(20s));
}

/// Met by name: nobody inherits anything, and nobody closes.
TEST(Forgotten, ByNameAsWell) {
  Gate made;
  Process producer("producer", [&] {
    made.wait();
    Connection end = Connection::open("forgotten");
    for (int i = 0; i < 10; ++i) require(end.send(i) == Status::ok, "send");
    _exit(0);
  });
  Connection end = Connection::create("forgotten", {.capacity = 1 << 10});
  made.open();
  int number = 0;
  Status status = Status::ok;
  for (int next = 0; (status = end.recv(number, 20s)) == Status::ok; ++next) {
    ASSERT_EQ(number, next);
  }
  EXPECT_EQ(number, 9);
  EXPECT_NE(status, Status::timeout);
  EXPECT_TRUE(producer.join(20s));
}

}  // namespace
}  // namespace sluice::tests
