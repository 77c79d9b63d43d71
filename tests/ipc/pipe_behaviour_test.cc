// SPDX-License-Identifier: Apache-2.0
//
// The behaviour that users of Python's Connection, its poll and its wait rely on, held against the
// pipe (rows PC and WM), and what happens to the living when somebody is killed.
//
//   here              PC1 (without messages larger than the ring), PC2, PC3, PC5, PC8 to PC12, PC16
//                     to PC18, PC21, PC22, PC24, and WM5's rule for the calls that there are
//   at compile time   PC4, PC23 (an end is no value): pipe_test.cc
//   connection_test.cc, connection_death_test.cc: PC1's echo over one connection and its 16 MiB
//                     message, PC6, and the rows above for connections
//   with descriptors and ends sent:        PC7, PC23
//   with wait_any:    WM1, WM5 and WM6 as they stand
//   with processes:   PC20's "close all but these"
//   nothing to test   PC19 (no global timeout), PC24's handshake (no network)

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/pipe.h"
#include "sluice/ipc/segment.h"
#include "sluice/pool/process.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

/// How much later than its deadline a call may return on a machine that does other things as well.
/// The lower bound has no such slack.
constexpr auto kLate = 1s;

/// For the bodies of Process, whose failures GoogleTest does not see: ends the child with code 1.
void require(bool condition, const char* what) {
  if (!condition) throw std::logic_error(what);
}

/// A number in memory that is shared with children forked later.
class SharedNumber {
 public:
  SharedNumber()
      : number_(new(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                    std::atomic<std::int64_t>(0)) {}
  ~SharedNumber() { munmap(number_, 4096); }
  SharedNumber(const SharedNumber&) = delete;
  SharedNumber& operator=(const SharedNumber&) = delete;
  std::atomic<std::int64_t>* operator->() const { return number_; }

 private:
  std::atomic<std::int64_t>* number_;
};

template <class Way>
class PipeBehaviour : public testing::Test {};
TYPED_TEST_SUITE(PipeBehaviour, AllWays, WayNames);

// -------------------------------------------------------------------------------------------------
// PC1 to PC12

TYPED_TEST(PipeBehaviour, PC1_RecvIntoFillsFromAnyOffsetAndLeavesTheRest) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        EXPECT_EQ(tx.send("abc"), Status::ok);
        EXPECT_EQ(tx.send("def"), Status::ok);
      },
      [](Receiver& rx) {
        std::string room = "----------";
        const std::span<std::byte> bytes = std::as_writable_bytes(std::span(room));
        RecvResult result = rx.recv_into(bytes);
        EXPECT_EQ(result.status, Status::ok);
        EXPECT_EQ(result.size, 3U);
        EXPECT_EQ(room, "abc-------");
        result = rx.recv_into(bytes.subspan(6));
        EXPECT_EQ(result.status, Status::ok);
        EXPECT_EQ(room, "abc---def-");
      });
}

TYPED_TEST(PipeBehaviour, PC1_PollLooksAtOnceOrWaitsAndIsTrueWhenSomethingIsThere) {
  Gate silence;
  TypeParam::run(
      1 << 12,
      [&](Sender& tx) {
        silence.wait();
        EXPECT_EQ(tx.send(1), Status::ok);
      },
      [&](Receiver& rx) {
        EXPECT_FALSE(rx.poll());
        EXPECT_FALSE(rx.poll(-1s));
        EXPECT_FALSE(rx.poll(0s));
        const auto waited = time_of([&] { EXPECT_FALSE(rx.poll(100ms)); });
        EXPECT_GE(waited, 100ms);
        EXPECT_LT(waited, 100ms + kLate);
        silence.open();
        EXPECT_TRUE(rx.poll(Deadline::never()));
        EXPECT_TRUE(rx.poll(0s));
        EXPECT_EQ(rx.recv<int>(), 1);
      });
}

TYPED_TEST(PipeBehaviour, PC2_AMessageTooLargeForTheBufferStaysAndTellsItsSize) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        EXPECT_EQ(tx.send(std::string(110, 'x')), Status::ok);
        EXPECT_EQ(tx.send("next"), Status::ok);
      },
      [](Receiver& rx) {
        std::string room(40, '-');
        for (int i = 0; i < 2; ++i) {
          const RecvResult result = rx.recv_into(std::as_writable_bytes(std::span(room)));
          EXPECT_EQ(result.status, Status::too_large);
          EXPECT_EQ(result.size, 110U);
          EXPECT_EQ(room, std::string(40, '-')) << "untouched";
        }
        room.resize(110);
        EXPECT_EQ(rx.recv_into(std::as_writable_bytes(std::span(room))).size, 110U);
        EXPECT_EQ(room, std::string(110, 'x')) << "whole";
        EXPECT_EQ(rx.recv(room), Status::ok);
        EXPECT_EQ(room, "next");
      });
}

TYPED_TEST(PipeBehaviour, PC3_AnOversizedMessageThatIsSkippedLeavesTheStreamInStep) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        EXPECT_EQ(tx.send(std::string(1000, 'x')), Status::ok);
        EXPECT_EQ(tx.send("next"), Status::ok);
      },
      [](Receiver& rx) {
        std::array<std::byte, 999> room;
        EXPECT_EQ(rx.recv_into(room).status, Status::too_large) << "by one byte";
        EXPECT_EQ(rx.recv_into({}).status, Status::too_large);
        EXPECT_EQ(rx.skip(), Status::ok);
        std::string text;
        EXPECT_EQ(rx.recv(text), Status::ok);
        EXPECT_EQ(text, "next");
      });
}

TEST(PipeRow, PC5_TheParentMayCloseItsCopyOfTheChildsEndAtOnce) {
  for (int round = 0; round < 200; ++round) {
    auto [rx, tx] = Pipe::create(1 << 12);
    Process child("pc5", [r = &rx] {
      require(r->recv<int>() == 42, "the message");
      require(!r->recv<int>(), "the end of the stream");
    });
    rx.close();
    ASSERT_EQ(tx.send(42), Status::ok) << "round " << round;
    tx.close();
    ASSERT_TRUE(child.join(10s)) << "round " << round;
    ASSERT_EQ(child.exit_code(), 0) << "round " << round;
  }
}

TYPED_TEST(PipeBehaviour, PC8_LeavingTheScopeClosesTheEnd) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        EXPECT_EQ(tx.send(1), Status::ok);
        const Sender scope = std::move(tx);
      },
      [](Receiver& rx) {
        EXPECT_EQ(rx.recv<int>(), 1);
        EXPECT_EQ(rx.recv<int>(), std::nullopt);
        EXPECT_EQ(rx.status(), Status::closed);
      });
}

TEST(PipeRow, PC9_CloseFromAnotherThreadWakesABlockedReceiver) {
  for (int round = 0; round < 50; ++round) {
    auto [rx, tx] = Pipe::create(1 << 10);
    EXPECT_EQ(tx.send(0), Status::ok);
    EXPECT_EQ(rx.recv<int>(), 0);
    const pid_t receiver = gettid();
    const std::jthread closer([&, r = &rx] {
      // Every other round at any moment, to meet the call on its way to sleep.
      if (round % 2 == 0) wait_until_asleep(receiver);
      r->close();
    });
    int none = 0;
    EXPECT_EQ(rx.recv(none), Status::closed);
  }
}

TEST(PipeRow, PC9_CloseFromAnotherThreadWakesABlockedSender) {
  for (int round = 0; round < 50; ++round) {
    auto [rx, tx] = Pipe::create(128);
    EXPECT_FALSE(rx.poll());
    while (tx.try_send(0) == Status::ok) continue;
    const pid_t sender = gettid();
    const std::jthread closer([&, t = &tx] {
      if (round % 2 == 0) wait_until_asleep(sender);
      t->close();
    });
    EXPECT_EQ(tx.send(1), Status::closed);
  }
}

TEST(PipeRow, PC9_ClosingWhileTheOtherThreadSendsEndsTheStreamBehindTheLastMessage) {
  for (int round = 0; round < 100; ++round) {
    auto [rx, tx] = Pipe::create(1 << 12);
    std::atomic<int> sent = 0;
    std::jthread sender([&, t = &tx] {
      while (t->send(sent.load()) == Status::ok) ++sent;
    });
    for (int i = 0; i < round; ++i) ASSERT_EQ(rx.recv<int>(), i);
    tx.close();
    int next = round;
    while (const auto value = rx.recv<int>()) ASSERT_EQ(*value, next++);
    sender.join();
    EXPECT_EQ(next, sent) << "whatever send() said ok to, and nothing else";
  }
}

TYPED_TEST(PipeBehaviour, PC10_AMessageOfLengthZeroIsAMessage) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        EXPECT_EQ(tx.send(""), Status::ok);
        EXPECT_EQ(tx.send(Bytes{}), Status::ok);
      },
      [](Receiver& rx) {
        EXPECT_TRUE(rx.poll(Deadline::never()));
        EXPECT_TRUE(rx.poll()) << "polling takes nothing";
        std::string text = "old";
        EXPECT_EQ(rx.recv(text), Status::ok);
        EXPECT_EQ(text, "");
        const RecvResult result = rx.recv_into({});
        EXPECT_EQ(result.status, Status::ok) << "no room is room enough";
        EXPECT_EQ(result.size, 0U);
        EXPECT_EQ(rx.recv(text), Status::closed);
      });
}

TYPED_TEST(PipeBehaviour, PC11_PollInALoopSeesEveryMessageOnceAndInOrder) {
  const std::vector<std::string> words = {"hello", "", "a", "world", "", "bye"};
  TypeParam::run(
      1 << 12,
      [&](Sender& tx) {
        for (const std::string& word : words) ASSERT_EQ(tx.send(word), Status::ok);
      },
      [&](Receiver& rx) {
        for (const std::string& word : words) {
          while (!rx.poll(10ms)) continue;
          std::string text;
          ASSERT_EQ(rx.recv(text), Status::ok);
          ASSERT_EQ(text, word);
        }
      });
}

TEST(PipeRow, PC12_WhoOnlyPolledAndDiedTookNothing) {
  Sender tx = Sender::create("pc12", 1 << 12);
  EXPECT_EQ(tx.send("first"), Status::ok);
  EXPECT_EQ(tx.send("second"), Status::ok);
  Gate polled;
  Process poller("pc12", [&] {
    Receiver rx = Receiver::open("pc12");
    require(rx.poll(), "something is there");
    polled.open();
    while (rx.poll()) continue;
  });
  polled.wait();
  poller.kill();
  poller.join();
  EXPECT_EQ(poller.exit_code(), -SIGKILL);
  Receiver rx = Receiver::open("pc12");
  std::string text;
  EXPECT_EQ(rx.recv(text), Status::ok);
  EXPECT_EQ(text, "first");
  EXPECT_EQ(rx.recv(text), Status::ok);
  EXPECT_EQ(text, "second");
}

// -------------------------------------------------------------------------------------------------
// Time: never early; a little late at most

TYPED_TEST(PipeBehaviour, AWaitForAMessageEndsAtItsDeadlineAndNotBefore) {
  Gate there, silence;
  TypeParam::run(
      1 << 12,
      [&](Sender&) {
        there.open();
        silence.wait();
      },
      [&](Receiver& rx) {
        there.wait();
        for (const auto timeout : {1ms, 7ms, 35ms, 130ms}) {
          int none = 0;
          Status status = Status::ok;
          const auto waited = time_of([&] { status = rx.recv(none, timeout); });
          EXPECT_EQ(status, Status::timeout);
          EXPECT_GE(waited, timeout);
          EXPECT_LT(waited, timeout + kLate);
        }
        std::array<std::byte, 4> room;
        const auto waited = time_of(
            [&] { EXPECT_EQ(rx.recv_into(room, Clock::now() + 20ms).status, Status::timeout); });
        EXPECT_GE(waited, 20ms);
        silence.open();
      });
}

TYPED_TEST(PipeBehaviour, AWaitForRoomEndsAtItsDeadlineAndNotBeforeAndSendsNothing) {
  Gate full, done;
  TypeParam::run(
      1 << 10,
      [&](Sender& tx) {
        int sent = 0;
        while (tx.try_send(sent) == Status::ok) ++sent;
        for (const auto timeout : {1ms, 35ms, 130ms}) {
          Status status = Status::ok;
          const auto waited = time_of([&] { status = tx.send(-1, timeout); });
          EXPECT_EQ(status, Status::timeout);
          EXPECT_GE(waited, timeout);
          EXPECT_LT(waited, timeout + kLate);
        }
        full.open();
        done.wait();
      },
      [&](Receiver& rx) {
        EXPECT_FALSE(rx.closed());
        full.wait();
        int value = 0, next = 0;
        while (rx.try_recv(value) == Status::ok) EXPECT_EQ(value, next++);
        EXPECT_GT(next, 0);
        done.open();
      });
}

TYPED_TEST(PipeBehaviour, WM5_ANegativeOrZeroTimeoutLooksOnce) {
  Gate there, silence;
  TypeParam::run(
      1 << 10,
      [&](Sender&) {
        there.open();
        silence.wait();
      },
      [&](Receiver& rx) {
        there.wait();
        int none = 0;
        const auto waited = time_of([&] {
          EXPECT_EQ(rx.recv(none, -1s), Status::timeout);
          EXPECT_EQ(rx.recv(none, 0s), Status::timeout);
          EXPECT_EQ(rx.recv(none, Deadline::now()), Status::timeout);
          EXPECT_EQ(rx.recv(none, Clock::now() - 1h), Status::timeout);
        });
        EXPECT_LT(waited, 1s);
        silence.open();
      });
}

TEST(PipeRow, WM5_ANegativeTimeoutOfASendLooksOnceAndSendsIfThereIsRoom) {
  auto [rx, tx] = Pipe::create(128);
  EXPECT_EQ(tx.send(1, -1s), Status::ok);
  while (tx.try_send(2) == Status::ok) continue;
  EXPECT_EQ(tx.send(3, -1s), Status::timeout);
  EXPECT_EQ(rx.recv<int>(), 1);
  EXPECT_EQ(tx.send(4, -1s), Status::ok);
  int value = 0;
  EXPECT_EQ(rx.recv(value, -1s), Status::ok);
}

TEST(PipeRow, ATimeoutBeyondTheClockMeansNever) {
  auto [rx, tx] = Pipe::create(1 << 10);
  const pid_t receiver = gettid();
  const std::jthread sender([&, t = &tx] {
    wait_until_asleep(receiver);
    EXPECT_EQ(t->send(1), Status::ok);
  });
  int value = 0;
  EXPECT_EQ(rx.recv(value, std::chrono::hours::max()), Status::ok);
}

// -------------------------------------------------------------------------------------------------
// PC16, PC17: signals

std::atomic<int> g_signals = 0;

/// A handled SIGALRM every millisecond, without SA_RESTART: every sleep is interrupted.
class SignalStorm {
 public:
  SignalStorm() {
    g_signals = 0;
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

TEST(PipeRow, PC16_SignalsDoNotShortenAWaitNorShow) {
  auto [rx, tx] = Pipe::create(128);
  const SignalStorm storm;
  int none = 0;
  for (const auto timeout : {30ms, 150ms}) {
    auto waited = time_of([&, r = &rx] { EXPECT_EQ(r->recv(none, timeout), Status::timeout); });
    EXPECT_GE(waited, timeout);
    EXPECT_LT(waited, timeout + kLate);
    waited = time_of([&, r = &rx] { EXPECT_FALSE(r->poll(timeout)); });
    EXPECT_GE(waited, timeout);
  }
  while (tx.try_send(0) == Status::ok) continue;
  const auto waited = time_of([&, t = &tx] { EXPECT_EQ(t->send(0, 150ms), Status::timeout); });
  EXPECT_GE(waited, 150ms);
  EXPECT_GT(g_signals, 20) << "there was a storm";
}

TYPED_TEST(PipeBehaviour, PC16_DataIsRightUnderAStormOfSignals) {
  constexpr int kCount = 3000;
  TypeParam::run(
      256,
      [](Sender& tx) {
        const SignalStorm storm;
        for (int i = 0; i < kCount; ++i) ASSERT_EQ(tx.send(i), Status::ok);
      },
      [](Receiver& rx) {
        for (int i = 0; i < kCount; ++i) {
          ASSERT_EQ(rx.recv<int>(), i);
          if (i % 100 == 0) static_cast<void>(rx.poll(3ms));
        }
        EXPECT_EQ(rx.recv<int>(), std::nullopt);
      });
}

TEST(PipeRow, PC17_MeetingByNameSurvivesSignals) {
  const SignalStorm storm;
  for (int i = 0; i < 200 || g_signals < 5; ++i) {
    Receiver rx = Receiver::open_or_create("pc17", 1 << 10);
    Sender tx = Sender::open("pc17");
    ASSERT_EQ(tx.send(i), Status::ok);
    ASSERT_EQ(rx.recv<int>(), i);
  }
}

// -------------------------------------------------------------------------------------------------
// PC18: what is no pipe

/// The text of the Error that attaching to `fd` throws.
std::string refusal(UniqueFd fd) {
  try {
    static_cast<void>(Receiver::from_fd(std::move(fd)));
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

UniqueFd memfd_of(std::size_t size, unsigned flags) {
  UniqueFd fd(memfd_create("no-pipe", MFD_CLOEXEC | flags));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  return fd;
}

TEST(PipeRow, PC18_WhatIsNoPipeIsRefusedWithAReason) {
  EXPECT_NE(refusal(UniqueFd(-1)), "");
  EXPECT_NE(refusal(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC))), "");
  EXPECT_NE(refusal(UniqueFd(open("/", O_RDONLY | O_CLOEXEC))), "");
  EXPECT_NE(refusal(memfd_of(0, MFD_ALLOW_SEALING)), "");
  EXPECT_NE(refusal(memfd_of(1 << 16, MFD_ALLOW_SEALING)), "") << "could shrink under us";
  UniqueFd sealed = memfd_of(1 << 16, MFD_ALLOW_SEALING);
  ASSERT_EQ(fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  EXPECT_NE(refusal(std::move(sealed)), "") << "zeros";
}

TEST(PipeRow, PC18_AForeignFileUnderThePipesNameIsRefused) {
  const std::string file = Domain::current().path() + "/obj-garbage";
  for (const std::string& content : {std::string(), std::string(100, 'x'), std::string(9000, '\0'),
                                     std::string(1 << 16, '\xff')}) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
    chmod(file.c_str(), 0600);
    EXPECT_THROW(static_cast<void>(Sender::open("garbage")), Error) << content.size() << " bytes";
    unlink(file.c_str());
  }
}

TEST(PipeRow, PC18_APipeWhoseFileWasCutShortIsRefused) {
  const std::string file = Domain::current().path() + "/obj-short";
  for (const off_t size : {0, 50, 88, 4096, 4200, 5000}) {
    {
      const Sender maker = Sender::create("short", 1 << 12, Lifetime::until_removed);
    }
    ASSERT_EQ(truncate(file.c_str(), size), 0);
    EXPECT_THROW(static_cast<void>(Receiver::open("short")), Error) << size << " bytes";
    EXPECT_TRUE(Segment::remove("short"));
  }
}

TEST(PipeRow, PC18_ASegmentOfAnotherKindIsRefused) {
  const SegmentKind kind = {.name = "other", .version = 1, .fingerprint = 0};
  const Segment other =
      Segment::create("of-another-kind", kind, 1 << 12, Lifetime::while_used, [](auto) {});
  try {
    static_cast<void>(Receiver::open("of-another-kind"));
    FAIL() << "a pipe?";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::mismatch);
    EXPECT_THAT(e.what(), testing::HasSubstr("other"));
    EXPECT_THAT(e.what(), testing::HasSubstr("pipe"));
  }
}

// -------------------------------------------------------------------------------------------------
// PC21, PC22, PC24: names

TEST(PipeRow, PC21_TheNameGoesWithItsLastUser) {
  const std::string file = Domain::current().path() + "/obj-pc21";
  {
    Receiver rx = Receiver::create("pc21", 1 << 12);
    {
      const Sender tx = Sender::open("pc21");
    }
    EXPECT_EQ(access(file.c_str(), F_OK), 0) << "one user is left";
  }
  EXPECT_NE(access(file.c_str(), F_OK), 0);
}

TEST(PipeRow, PC21_TheNameOfADeadCreatorCanBeTaken) {
  Gate made;
  Process creator("pc21", [&] {
    Receiver rx = Receiver::create("pc21-dead", 1 << 12);
    made.open();
    for (;;) pause();
  });
  made.wait();
  EXPECT_THROW(static_cast<void>(Receiver::create("pc21-dead", 1 << 12)), Error) << "it lives";
  creator.kill();
  creator.join();
  Receiver rx = Receiver::create("pc21-dead", 1 << 14);
  EXPECT_GE(rx.capacity(), std::size_t{1} << 14) << "a new one, not the old";
}

TEST(PipeRow, PC21_WhoOpensTheNameOfTheDeadIsToldThatItIsStale) {
  Gate made;
  Process creator("pc21", [&] {
    Receiver rx = Receiver::create("pc21-stale", 1 << 12);
    made.open();
    for (;;) pause();
  });
  made.wait();
  creator.kill();
  creator.join();
  try {
    static_cast<void>(Sender::open("pc21-stale"));
    FAIL() << "nobody is there";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::stale);
  }
}

TEST(PipeRow, PC21_ManyWhoOpenOrCreateAtOnceMeetInOnePipe) {
  for (int round = 0; round < 20; ++round) {
    Gate go;
    std::vector<Process> all;
    for (int i = 0; i < 6; ++i) {
      all.emplace_back("pc21", [&, i] {
        go.wait();
        // The three that want the same end find it busy or get it; nobody sees half a pipe.
        try {
          if (i % 2 == 0) {
            Receiver rx = Receiver::open_or_create("pc21-race", 1 << 12);
            int none = 0;
            const Status status = rx.try_recv(none);
            require(status == Status::empty || status == Status::closed, "a fresh pipe is empty");
          } else {
            Sender tx = Sender::open_or_create("pc21-race", 1 << 12);
            require(tx.capacity() == 1 << 12, "a whole pipe");
          }
        } catch (const Error& e) {
          if (e.code() != Status::busy) throw;
        }
      });
    }
    for (int i = 0; i < 6; ++i) go.open();
    for (Process& p : all) {
      ASSERT_TRUE(p.join(20s));
      ASSERT_EQ(p.exit_code(), 0) << p << ", round " << round;
    }
  }
}

TEST(PipeRow, PC22_WhatWasSentByOneWhoLeftBeforeAnybodyLookedIsReceived) {
  Receiver rx = Receiver::create("pc22", 1 << 12);
  ChildParty client([] {
    Sender tx = Sender::open("pc22");
    EXPECT_EQ(tx.send("hello"), Status::ok);
  });
  client.finish();
  EXPECT_TRUE(rx.poll(1s));
  std::string text;
  EXPECT_EQ(rx.recv(text), Status::ok);
  EXPECT_EQ(text, "hello");
  EXPECT_EQ(rx.recv(text), Status::closed);
}

TEST(PipeRow, PC24_OnlyTheUserMayAttach) {
  const Receiver rx = Receiver::create("pc24", 1 << 12);
  struct stat s = {};
  ASSERT_EQ(stat((Domain::current().path() + "/obj-pc24").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 07777, 0600U);
}

// -------------------------------------------------------------------------------------------------
// Who counts as an end's user after a fork

TEST(PipeFork, CopiesThatNobodyUsedDoNotKeepTheStreamOpen) {
  auto [rx, tx] = Pipe::create(1 << 12);
  Gate end;
  Process bystander("bystander", [&] { end.wait(); });  // inherits both ends, uses neither
  Process sender("sender", [t = &tx] { require(t->send(1) == Status::ok, "send"); });
  EXPECT_EQ(rx.recv<int>(), 1);
  sender.join();
  int none = 0;
  EXPECT_EQ(rx.recv(none, 10s), Status::closed);
  end.open();
}

TEST(PipeFork, ClosingAnUnusedCopyChangesNothingForWhoUsesTheEnd) {
  auto [rx, tx] = Pipe::create(1 << 12);
  EXPECT_EQ(tx.send(1), Status::ok);
  Process closer("closer", [r = &rx, t = &tx] {
    t->close();
    r->close();
  });
  closer.join();
  EXPECT_EQ(tx.send(2), Status::ok);
  EXPECT_EQ(rx.recv<int>(), 1);
  EXPECT_EQ(rx.recv<int>(), 2);
}

TEST(PipeFork, AnEndInUseByTheParentIsBusyInTheChild) {
  auto [rx, tx] = Pipe::create(1 << 12);
  EXPECT_EQ(tx.send(1), Status::ok);
  EXPECT_EQ(rx.recv<int>(), 1);
  Process child("child", [r = &rx, t = &tx] {
    int none = 0;
    require(t->send(2) == Status::busy && t->try_send(2) == Status::busy, "sender");
    require(r->recv(none) == Status::busy && r->try_recv(none) == Status::busy, "receiver");
    require(r->skip() == Status::busy, "skip");
    try {
      static_cast<void>(r->recv<int>());
      require(false, "recv<int>() must throw: this is no end of the stream");
    } catch (const Error& e) {
      require(e.code() == Status::busy, "its code");
    }
  });
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_EQ(tx.send(3), Status::ok);
  EXPECT_EQ(rx.recv<int>(), 3);
}

TEST(PipeFork, TwoChildrenTalkThroughTheirParentsPipe) {
  auto [rx, tx] = Pipe::create(1 << 10);
  Process producer("producer", [t = &tx] {
    for (int i = 0; i < 5000; ++i) require(t->send(i) == Status::ok, "send");
  });
  Process consumer("consumer", [r = &rx] {
    for (int i = 0; i < 5000; ++i) require(r->recv<int>() == i, "recv");
    require(!r->recv<int>(), "end");
  });
  EXPECT_TRUE(producer.join(30s));
  EXPECT_TRUE(consumer.join(30s));
  EXPECT_EQ(producer.exit_code(), 0);
  EXPECT_EQ(consumer.exit_code(), 0);
}

TEST(PipeFork, EndsThatNobodyClaimedEndWithTheirDeadCreator) {
  Gate made, forked;
  SharedNumber result;
  Process creator("creator", [&] {
    auto [rx, tx] = Pipe::create(1 << 12);
    // The grandchild receives and has never heard of a sender but its parent.
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      forked.open();
      int none = 0;
      result->store(1 + static_cast<int>(rx.recv(none, 20s)));
      made.open();
      _exit(0);
    }
    for (;;) pause();
  });
  forked.wait();
  creator.kill();
  creator.join();
  made.wait();
  EXPECT_EQ(result->load(), 1 + static_cast<int>(Status::closed));
}

// -------------------------------------------------------------------------------------------------
// Killed peers

template <class Way>
class PipeKill : public testing::Test {};

/// A child at the sending end that runs `produce` until it is killed.
struct KilledOverFork {
  static constexpr const char* kName = "Fork";
  static void run(const std::function<void(Sender&)>& produce,
                  const std::function<void(Receiver&, Process&)>& consume) {
    Pipe pipe = Pipe::create(1 << 12);
    Process producer("producer", [&] { produce(pipe.sender); });
    consume(pipe.receiver, producer);
    producer.kill();
  }
};
struct KilledOverName {
  static constexpr const char* kName = "Name";
  static void run(const std::function<void(Sender&)>& produce,
                  const std::function<void(Receiver&, Process&)>& consume) {
    Receiver rx = Receiver::create("killed", 1 << 12);
    Process producer("producer", [&] {
      Sender tx = Sender::open("killed");
      produce(tx);
    });
    consume(rx, producer);
    producer.kill();
  }
};
using KillWays = testing::Types<KilledOverFork, KilledOverName>;
TYPED_TEST_SUITE(PipeKill, KillWays, WayNames);

TYPED_TEST(PipeKill, AKilledSendersMessagesAreDeliveredThenTheDeathIsTold) {
  Gate sent;
  TypeParam::run(
      [&](Sender& tx) {
        for (int i = 0; i < 10; ++i) require(tx.send(i) == Status::ok, "send");
        sent.open();
        for (;;) pause();
      },
      [&](Receiver& rx, Process& producer) {
        sent.wait();
        producer.kill();
        producer.join();
        EXPECT_EQ(rx.status(), Status::ok) << "messages are left";
        for (int i = 0; i < 10; ++i) ASSERT_EQ(rx.recv<int>(), i);
        EXPECT_EQ(rx.recv<int>(), std::nullopt);
        EXPECT_EQ(rx.status(), Status::peer_died);
        int none = 0;
        EXPECT_EQ(rx.recv(none), Status::peer_died) << "the end stays";
        EXPECT_TRUE(rx.poll()) << "recv returns at once";
      });
}

TYPED_TEST(PipeKill, ABlockedReceiverLearnsOfTheDeathSoon) {
  const pid_t receiver = getpid();
  TypeParam::run(
      [&](Sender& tx) {
        require(tx.send(1) == Status::ok, "send");
        wait_until_asleep(receiver);
        kill(getpid(), SIGKILL);
      },
      [&](Receiver& rx, Process&) {
        EXPECT_EQ(rx.recv<int>(), 1);
        int none = 0;
        Status status = Status::ok;
        const auto waited = time_of([&] { status = rx.recv(none, 20s); });
        EXPECT_EQ(status, Status::peer_died);
        EXPECT_LT(waited, 80ms + kLate) << "a slice, not the deadline";
      });
}

TYPED_TEST(PipeKill, WhoNeverBlocksLearnsOfTheDeathAsWell) {
  Gate sent;
  TypeParam::run(
      [&](Sender& tx) {
        require(tx.send(1) == Status::ok, "send");
        sent.open();
        for (;;) pause();
      },
      [&](Receiver& rx, Process& producer) {
        sent.wait();
        EXPECT_EQ(rx.recv<int>(), 1);
        producer.kill();
        producer.join();
        int none = 0;
        Status status = Status::empty;
        for (int i = 0; i < 5000 && status == Status::empty; ++i) status = rx.try_recv(none);
        EXPECT_EQ(status, Status::peer_died);
      });
}

TYPED_TEST(PipeKill, AStoppedSenderIsNotDead) {
  Gate sent;
  TypeParam::run(
      [&](Sender& tx) {
        require(tx.send(1) == Status::ok, "send");
        sent.open();
        for (;;) pause();
      },
      [&](Receiver& rx, Process& producer) {
        sent.wait();
        EXPECT_EQ(rx.recv<int>(), 1);
        kill(producer.pid(), SIGSTOP);
        ASSERT_TRUE(wait_for_state(producer.pid(), 'T'));
        int none = 0;
        EXPECT_EQ(rx.recv(none, 150ms), Status::timeout);
        kill(producer.pid(), SIGCONT);
      });
}

TYPED_TEST(PipeKill, ASenderThatExitsInGoodOrderClosesTheStream) {
  TypeParam::run([&](Sender& tx) { require(tx.send(1) == Status::ok, "send"); },
                 [&](Receiver& rx, Process& producer) {
                   EXPECT_EQ(rx.recv<int>(), 1);
                   producer.join();
                   EXPECT_EQ(rx.recv<int>(), std::nullopt);
                   EXPECT_EQ(rx.status(), Status::closed);
                 });
}

TEST(PipeRow, AKilledReceiverReleasesABlockedSender) {
  auto [rx, tx] = Pipe::create(1 << 10);
  const pid_t sender = getpid();
  Process receiver("receiver", [&, r = &rx] {
    require(r->recv<int>() == 0, "recv");
    wait_until_asleep(sender);
    kill(getpid(), SIGKILL);
  });
  Status status = Status::ok;
  const auto waited = time_of([&, t = &tx] {
    for (int i = 0; status == Status::ok; ++i) status = t->send(i, 20s);
  });
  EXPECT_EQ(status, Status::peer_died);
  EXPECT_LT(waited, 10s);
  receiver.join();
  Status again = Status::full;
  for (int i = 0; i < 5000 && again == Status::full; ++i) again = tx.try_send(0);
  EXPECT_EQ(again, Status::peer_died) << "also for who never blocks";
}

/// A successor of a sender that was killed at a random moment goes on in the same stream.
TEST(PipeTakeover, NothingIsLostOrDoubledWhenASenderIsKilledAtAnyMoment) {
  for (int round = 0; round < 40; ++round) {
    auto [rx, tx] = Pipe::create(1 << 10);
    SharedNumber acknowledged;  // how many sends returned ok
    Gate go;
    Process first("first", [&, t = &tx] {
      for (std::int64_t i = 0;; ++i) {
        require(t->send(i) == Status::ok, "send");
        acknowledged->store(i + 1);
      }
    });
    Process second("second", [&, t = &tx] {
      go.wait();
      for (std::int64_t i = 0; i < 500; ++i) require(t->send(1000000 + i) == Status::ok, "send");
    });
    std::int64_t next = 0;
    for (; next < 1 + 37 * round; ++next) ASSERT_EQ(rx.recv<std::int64_t>(), next);
    first.kill();
    while (const auto value = rx.recv<std::int64_t>()) ASSERT_EQ(*value, next++);
    EXPECT_EQ(rx.status(), Status::peer_died);
    EXPECT_GE(next, acknowledged->load()) << "a send that returned was received";
    EXPECT_LE(next, acknowledged->load() + 1) << "and at most the one that was under way";
    first.join();
    go.open();
    for (std::int64_t i = 0; i < 500; ++i) {
      std::int64_t value = 0;
      Status status = Status::peer_died;
      while (status == Status::peer_died) status = rx.recv(value);
      ASSERT_EQ(status, Status::ok);
      ASSERT_EQ(value, 1000000 + i);
    }
    EXPECT_EQ(rx.recv<std::int64_t>(), std::nullopt);
    EXPECT_EQ(rx.status(), Status::closed);
  }
}

TEST(PipeTakeover, ASuccessorOfAKilledReceiverGetsWhatIsLeft) {
  for (int round = 0; round < 40; ++round) {
    Sender tx = Sender::create("reader-dies", 1 << 10);
    SharedNumber taken;  // how many receives returned
    Process first("first", [&] {
      Receiver rx = Receiver::open("reader-dies");
      for (std::int64_t i = 0;; ++i) {
        require(rx.recv<std::int64_t>() == i, "in order");
        taken->store(i + 1);
      }
    });
    std::int64_t sent = 0;
    for (; sent < 300 + 37 * round; ++sent) ASSERT_EQ(tx.send(sent), Status::ok);
    first.kill();
    first.join();
    Receiver rx = Receiver::open("reader-dies");
    std::int64_t next = 0;
    if (rx.try_recv(next) == Status::empty) {
      EXPECT_GE(taken->load() + 1, sent) << "all but the one being taken";
      continue;
    }
    EXPECT_GE(next, taken->load()) << "nothing twice";
    EXPECT_LE(next, taken->load() + 1) << "at most the one being taken is lost";
    for (++next; next < sent; ++next) ASSERT_EQ(rx.recv<std::int64_t>(), next);
    int none = 0;
    EXPECT_EQ(rx.try_recv(none), Status::empty);
  }
}

TEST(PipeTakeover, AnEndClosedInTheMiddleOfASendGoesToItsSuccessorInOneState) {
  for (int round = 0; round < 100; ++round) {
    Receiver rx = Receiver::create("closed-in-the-middle", 1 << 10);
    Sender tx = Sender::open("closed-in-the-middle");
    std::atomic<int> sent = 0;
    std::jthread sender([&] {
      while (tx.send(sent.load()) == Status::ok) ++sent;
    });
    std::jthread successor([&] {
      for (;;) {
        try {
          Sender next = Sender::open("closed-in-the-middle");
          for (int i = 0; i < 100; ++i) ASSERT_EQ(next.send(1000000 + i), Status::ok);
          return;
        } catch (const Error& e) {
          ASSERT_EQ(e.code(), Status::busy);
        }
      }
    });
    for (int i = 0; i <= round; ++i) ASSERT_EQ(rx.recv<int>(), i);
    tx.close();
    int next = round + 1, value = 0;
    for (;;) {
      const Status status = rx.recv(value);
      if (status == Status::closed) continue;  // between the two
      ASSERT_EQ(status, Status::ok);
      if (value >= 1000000) break;
      ASSERT_EQ(value, next++);
    }
    sender.join();
    EXPECT_EQ(next, sent) << "whatever send() said ok to, and nothing else";
    for (int i = 1; i < 100; ++i) ASSERT_EQ(rx.recv<int>(), 1000000 + i);
  }
}

TEST(PipeTakeover, OfTwoSuccessorsOneGetsTheEnd) {
  for (int round = 0; round < 20; ++round) {
    auto [rx, tx] = Pipe::create(1 << 12);
    Process first("first", [t = &tx] {
      require(t->send(-1) == Status::ok, "send");
      kill(getpid(), SIGKILL);
    });
    EXPECT_EQ(rx.recv<int>(), -1);
    first.join();
    Gate go, tried, end;
    std::vector<Process> successors;
    for (int i = 0; i < 2; ++i) {
      successors.emplace_back("successor", [&, i, t = &tx] {
        go.wait();
        const Status status = t->send(i);
        tried.open();
        end.wait();  // the winner lives until both have tried
        if (status == Status::busy) _exit(7);
        require(status == Status::ok, "ok or busy");
      });
    }
    go.open();
    go.open();
    tried.wait();
    tried.wait();
    int winner = -1;
    while (rx.recv(winner) == Status::peer_died) continue;
    int none = 0;
    EXPECT_EQ(rx.recv(none, 30ms), Status::timeout) << "one of them only";
    end.open();
    end.open();
    for (Process& p : successors) EXPECT_TRUE(p.join(10s));
    EXPECT_EQ(successors[static_cast<std::size_t>(winner)].exit_code(), 0);
    EXPECT_EQ(successors[static_cast<std::size_t>(1 - winner)].exit_code(), 7);
  }
}

}  // namespace
}  // namespace sluice::tests
