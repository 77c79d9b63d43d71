// SPDX-License-Identifier: Apache-2.0
//
// wait_any() over pipes, processes and descriptors, and the descriptors for event loops. WM1 to WM6
// are the rows of the peer's behaviour for waiting on many.

#include "sluice/ipc/wait_any.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/pipe.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/futex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/refused_call.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::size_t kSmall = 4096;

std::vector<Pipe> make_pipes(std::size_t count) {
  std::vector<Pipe> pipes;
  for (std::size_t i = 0; i < count; ++i) {
    pipes.push_back(Pipe::create(kSmall));
    EXPECT_EQ(pipes.back().sender.send("claimed"), Status::ok);
    std::string text;
    EXPECT_EQ(pipes.back().receiver.recv(text), Status::ok);
  }
  return pipes;
}

std::vector<WaitHandle> handles_of(std::vector<Pipe>& pipes) {
  std::vector<WaitHandle> handles;
  for (Pipe& pipe : pipes) handles.emplace_back(pipe.receiver);
  return handles;
}

/// Runs `act` once the calling thread sleeps.
template <class Act>
std::jthread when_asleep(Act act) {
  return std::jthread([act, waiter = gettid()] {
    EXPECT_TRUE(wait_until_asleep(waiter));
    act();
  });
}

TEST(WaitAny, ReturnsAllThatAreReadyAndNoOthers) {
  auto pipes = make_pipes(4);
  ASSERT_EQ(pipes[1].sender.send("a"), Status::ok);
  pipes[3].sender.close();
  EXPECT_THAT(wait_any(handles_of(pipes)), ElementsAre(1, 3));
  EXPECT_THAT(wait_any(handles_of(pipes), Deadline::now()), ElementsAre(1, 3)) << "takes nothing";
}

TEST(WaitAny, TakesObjectsOfAllKinds) {
  auto [rx, tx] = Pipe::create(kSmall);
  Process process([] { pause(); });
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const auto wait = [&](Deadline deadline) {
    return wait_any({rx, process, WaitHandle(event.get())}, deadline);
  };
  EXPECT_THAT(wait(Deadline::now()), IsEmpty());
  {
    const auto waker = when_asleep([&] { EXPECT_EQ(tx.send("now"), Status::ok); });
    EXPECT_THAT(wait(10s), ElementsAre(0));
  }
  std::string text;
  EXPECT_EQ(rx.recv(text), Status::ok);
  {
    const auto waker = when_asleep([&] { EXPECT_EQ(eventfd_write(event.get(), 1), 0); });
    EXPECT_THAT(wait(10s), ElementsAre(2));
  }
  eventfd_t value = 0;
  EXPECT_EQ(eventfd_read(event.get(), &value), 0);
  {
    const auto waker = when_asleep([&] { process.kill(); });
    EXPECT_THAT(wait(10s), ElementsAre(1));
  }
  EXPECT_TRUE(process.join());
}

struct Numbered {
  std::size_t sender;
  int number;
};

// Row WM1.
void collect_from_children(std::size_t children) {
  constexpr int kMessages = 10;
  std::vector<Pipe> pipes;
  std::vector<Process> processes;
  for (std::size_t i = 0; i < children; ++i) {
    pipes.push_back(Pipe::create(kSmall));
    processes.emplace_back([&tx = pipes.back().sender, i] {
      for (int k = 0; k < kMessages; ++k) {
        if (tx.send(Numbered{i, k}) != Status::ok) _exit(1);
      }
    });
  }
  std::vector<int> next(children, 0);
  std::vector<std::size_t> open(children);
  for (std::size_t i = 0; i < children; ++i) open[i] = i;
  while (!open.empty()) {
    std::vector<WaitHandle> handles;
    for (const std::size_t i : open) handles.emplace_back(pipes[i].receiver);
    const auto ready = wait_any(handles, 30s);
    ASSERT_THAT(ready, testing::Not(IsEmpty()));
    for (auto at = ready.rbegin(); at != ready.rend(); ++at) {
      const std::size_t i = open[*at];
      Numbered message = {};
      const Status status = pipes[i].receiver.try_recv(message);
      if (status == Status::ok) {
        EXPECT_EQ(message.sender, i);
        EXPECT_EQ(message.number, next[i]++);
      } else {
        EXPECT_EQ(status, Status::closed);
        EXPECT_EQ(next[i], kMessages) << "all messages come before the end";
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(*at));
      }
    }
  }
  for (Process& process : processes) EXPECT_TRUE(process.join());
}

TEST(WaitAny, CollectsFromFourChildrenUntilEachHasEnded) { collect_from_children(4); }
TEST(WaitAny, CollectsFromTwoHundredChildrenUntilEachHasEnded) { collect_from_children(200); }

// Row WM5.
TEST(WaitAny, ANegativeTimeIsALook) {
  auto pipes = make_pipes(2);
  const auto start = Clock::now();
  EXPECT_THAT(wait_any(handles_of(pipes), -1s), IsEmpty());
  EXPECT_LT(Clock::now() - start, 1s);
}

// Row WM6.
TEST(WaitAny, WithNothingToWaitForSleepsUntilTheDeadline) {
  const auto start = Clock::now();
  EXPECT_THAT(wait_any({}, 120ms), IsEmpty());
  EXPECT_GE(Clock::now() - start, 120ms);
}

TEST(WaitAny, RefusesWhatThisProcessHasClosed) {
  auto pipes = make_pipes(2);
  const auto handles = handles_of(pipes);
  pipes[1].receiver.close();
  try {
    static_cast<void>(wait_any(handles, 10s));
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Status::closed);
    EXPECT_NE(std::string(error.what()).find("handle 1"), std::string::npos) << error.what();
  }
}

TEST(WaitAny, EndsWhenAnotherThreadClosesOneOfThem) {
  auto pipes = make_pipes(3);
  const auto handles = handles_of(pipes);
  const auto closer = when_asleep([&] { pipes[2].receiver.close(); });
  EXPECT_THROW(static_cast<void>(wait_any(handles, 20s)), Error);
}

TEST(WaitAny, RefusesANumberThatIsNoDescriptor) {
  const int closed = dup(0);
  close(closed);
  EXPECT_THROW(static_cast<void>(wait_any({WaitHandle(closed)}, 10s)), Error);
}

TEST(WaitAny, NoticesThatAPeerWasKilled) {
  auto [rx, tx] = Pipe::create(kSmall);
  auto [other_rx, other_tx] = Pipe::create(kSmall);
  Process child([&tx = tx] {
    static_cast<void>(tx.send("hello"));
    pause();
  });
  std::string text;
  ASSERT_EQ(rx.recv(text), Status::ok);
  tx.close();
  {
    const auto killer = when_asleep([&] { child.kill(); });
    EXPECT_THAT(wait_any({other_rx, rx}, 20s), ElementsAre(1));
  }
  EXPECT_EQ(rx.recv(text), Status::peer_died);
  EXPECT_TRUE(child.join());
}

void expect_the_last_of_many_to_be_heard(std::size_t count) {
  auto pipes = make_pipes(count);
  const auto handles = handles_of(pipes);
  EXPECT_THAT(wait_any(handles, 15ms), IsEmpty());
  for (const std::size_t sent : {count - 1, std::size_t{0}}) {
    const auto waker = when_asleep([&] { EXPECT_EQ(pipes[sent].sender.send("x"), Status::ok); });
    EXPECT_THAT(wait_any(handles, 30s), ElementsAre(sent));
    std::string text;
    EXPECT_EQ(pipes[sent].receiver.recv(text), Status::ok);
  }
}

TEST(WaitAny, Of1) { expect_the_last_of_many_to_be_heard(1); }
TEST(WaitAny, Of128) { expect_the_last_of_many_to_be_heard(128); }
TEST(WaitAny, Of129) { expect_the_last_of_many_to_be_heard(129); }
TEST(WaitAny, Of1000) { expect_the_last_of_many_to_be_heard(1000); }

// Linux before 5.16, or a sandbox.
TEST(WaitAny, DoesTheSameWithoutFutexWaitv) {
  for (const int error : {ENOSYS, EPERM}) {
    Process child([error] {
      refuse_calls({{.number = 449, .error = error}});
      run_reporting([] {
        for (const std::size_t count : {1, 128, 129}) expect_the_last_of_many_to_be_heard(count);
        auto [rx, tx] = Pipe::create(kSmall);
        const UniqueFd event(eventfd(0, EFD_CLOEXEC));
        const auto waker = when_asleep([&tx = tx] { EXPECT_EQ(tx.send("x"), Status::ok); });
        EXPECT_THAT(wait_any({WaitHandle(event.get()), rx}, 30s), ElementsAre(1));
      });
    });
    EXPECT_TRUE(child.join());
    EXPECT_EQ(child.exit_code(), 0);
  }
}

/// CPU time of this process.
Clock::duration cpu_time() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

TEST(WaitAny, UsesNoCpuTimeWhileNothingHappens) {
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  for (const std::size_t count : {3, 200}) {
    auto pipes = make_pipes(count);
    auto handles = handles_of(pipes);
    for (const bool beside_a_descriptor : {false, true}) {
      if (beside_a_descriptor) handles.emplace_back(event.get());
      const auto before = cpu_time();
      EXPECT_THAT(wait_any(handles, 400ms), IsEmpty());
      EXPECT_LT(cpu_time() - before, 200ms) << count << " pipes";
    }
  }
}

TEST(WaitAny, SignalsDoNotEndIt) {
  static std::atomic<int> alarms = 0;
  struct sigaction act = {};
  act.sa_handler = [](int) { ++alarms; };
  struct sigaction before = {};
  ASSERT_EQ(sigaction(SIGALRM, &act, &before), 0);
  const itimerval each_ms = {.it_interval = {0, 1000}, .it_value = {0, 1000}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &each_ms, nullptr), 0);
  auto pipes = make_pipes(3);
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  const auto start = Clock::now();
  EXPECT_THAT(wait_any(handles_of(pipes), 100ms), IsEmpty());
  EXPECT_THAT(wait_any({pipes[0].receiver, WaitHandle(event.get())}, 100ms), IsEmpty());
  EXPECT_GE(Clock::now() - start, 200ms);
  EXPECT_GT(alarms, 10);
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  sigaction(SIGALRM, &before, nullptr);
}

// A sleeper by other means that gives up hands its wake-up to the next.
TEST(WaitHandle, RetractPassesAWakeUpOn) {
  EventCount event;
  static constexpr WaitHandle::Operations kNothingEver = {
      [](void*, WaitHandle::Look) { return Status::empty; }, [](void*) { return UniqueFd(); }};
  const WaitHandle handle(nullptr, kNothingEver, event);
  std::atomic<bool> ready = false;
  std::atomic<pid_t> sleeper = 0;
  const auto key = handle.announce();
  std::jthread waiter([&] {
    sleeper = gettid();
    // Far longer than the test: only the wake-up ends this sleep.
    const auto announced = event.announce();
    if (!ready) event.sleep(announced, Clock::now() + 60s);
    EXPECT_TRUE(ready);
  });
  while (sleeper == 0) continue;
  ASSERT_TRUE(wait_until_asleep(sleeper));
  ready = true;
  // As if a notify_one() had found this thread asleep, and it then looks no more.
  internal::RealEnv::fetch_add(handle.word(), 4U, std::memory_order_relaxed);  // relaxed: a test
  handle.retract(key);
}

class ReadyDescriptorTest : public testing::Test {
 public:
  ReadyDescriptorTest() {
    epoll_event event = {};
    event.events = EPOLLIN;
    EXPECT_EQ(epoll_ctl(loop_.get(), EPOLL_CTL_ADD, pipe_.receiver.descriptor(), &event), 0);
  }

  bool becomes_readable(std::chrono::milliseconds within) {
    epoll_event event = {};
    return epoll_wait(loop_.get(), &event, 1, static_cast<int>(within.count())) == 1;
  }

  void drain() {
    std::string text;
    while (pipe_.receiver.try_recv(text) == Status::ok) received_.push_back(text);
  }

  Pipe pipe_ = Pipe::create(kSmall);
  UniqueFd loop_{epoll_create1(EPOLL_CLOEXEC)};
  std::vector<std::string> received_;
};

TEST_F(ReadyDescriptorTest, IsReadableUntilACallFoundNothing) {
  EXPECT_EQ(pipe_.sender.send("early"), Status::ok);
  EXPECT_TRUE(becomes_readable(0ms));
  drain();
  EXPECT_FALSE(becomes_readable(0ms));
  {
    const auto waker = when_asleep([&] { EXPECT_EQ(pipe_.sender.send("late"), Status::ok); });
    EXPECT_TRUE(becomes_readable(20s));
  }
  EXPECT_TRUE(becomes_readable(0ms)) << "as long as nobody has looked";
  drain();
  EXPECT_FALSE(becomes_readable(0ms));
  EXPECT_THAT(received_, ElementsAre("early", "late"));
}

TEST_F(ReadyDescriptorTest, LosesNoMessageUnderLoad) {
  constexpr int kMessages = 20'000;
  const std::jthread sender([&] {
    for (int i = 0; i < kMessages; ++i) {
      EXPECT_EQ(pipe_.sender.send(std::to_string(i)), Status::ok);
      if (i % 64 == 0) std::this_thread::yield();
    }
  });
  while (received_.size() < kMessages) {
    ASSERT_TRUE(becomes_readable(20s));
    drain();
  }
  for (int i = 0; i < kMessages; ++i) ASSERT_EQ(received_[i], std::to_string(i));
}

TEST_F(ReadyDescriptorTest, TellsOfThePeersEnd) {
  Process child([&] {
    static_cast<void>(pipe_.sender.send("hello"));
    pause();
  });
  ASSERT_TRUE(becomes_readable(20s));
  while (received_.empty()) drain();
  pipe_.sender.close();
  drain();
  auto killer = when_asleep([&] { child.kill(); });
  std::string text;
  Status status = Status::empty;
  int calls = 0;
  for (; status == Status::empty; ++calls) {
    ASSERT_TRUE(becomes_readable(20s));
    status = pipe_.receiver.try_recv(text);
  }
  EXPECT_EQ(status, Status::peer_died);
  EXPECT_LT(calls, 10);
  killer.join();
  EXPECT_TRUE(child.join());
}

TEST_F(ReadyDescriptorTest, MovesWithItsReceiver) {
  drain();
  Receiver moved = std::move(pipe_.receiver);
  EXPECT_EQ(pipe_.sender.send("x"), Status::ok);
  EXPECT_TRUE(becomes_readable(20s));
  std::string text;
  EXPECT_EQ(moved.try_recv(text), Status::ok);
  EXPECT_EQ(moved.try_recv(text), Status::empty);
  EXPECT_FALSE(becomes_readable(0ms));
  moved = Pipe::create(kSmall).receiver;  // the watched word goes with its memory
  EXPECT_FALSE(becomes_readable(0ms));
}

TEST_F(ReadyDescriptorTest, AForkedChildHasOneOfItsOwn) {
  const int parents = pipe_.receiver.descriptor();
  drain();
  Process child([&] { run_reporting([&] { EXPECT_NE(pipe_.receiver.descriptor(), parents); }); });
  EXPECT_TRUE(child.join());
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_EQ(pipe_.sender.send("x"), Status::ok);
  EXPECT_TRUE(becomes_readable(20s));
}

}  // namespace
}  // namespace sluice::tests
