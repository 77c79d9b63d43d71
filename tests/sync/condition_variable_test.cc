// SPDX-License-Identifier: Apache-2.0
//
// ConditionVariable call by call: predicates, the standard's lock types, locks that are lost while
// somebody waits, bytes that make no sense. How parties see each other's notifications:
// condition_behaviour_test.cc; deaths: condition_death_test.cc.

#include "sluice/sync/condition_variable.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

static_assert(std::is_trivially_destructible_v<ConditionVariable>);
static_assert(std::is_standard_layout_v<ConditionVariable>);
static_assert(!std::is_copy_constructible_v<ConditionVariable> &&
              !std::is_copy_assignable_v<ConditionVariable>);

template <class Lock>
class AnyCondition : public testing::Test {
 public:
  /// Returns when `count` others wait, the last of them in the middle of the call.
  void await_waiters(std::uint32_t count) {
    for (;;) {
      const std::scoped_lock hold(lock_);
      if (condition_.waiting() == count) return;
    }
  }

  Lock lock_ = {};
  ConditionVariable condition_ = {};
};

struct Names {
  template <class Lock>
  static std::string GetName(int) {
    return std::is_same_v<Lock, Mutex> ? "Mutex" : "RecursiveMutex";
  }
};
using Locks = testing::Types<Mutex, RecursiveMutex>;
TYPED_TEST_SUITE(AnyCondition, Locks, Names);

TYPED_TEST(AnyCondition, APredicateThatIsTrueIsNotWaitedFor) {
  std::unique_lock hold(this->lock_);
  int asked = 0;
  const auto yes = [&] {
    ++asked;
    EXPECT_TRUE(this->lock_.is_owned());
    return true;
  };
  EXPECT_EQ(this->condition_.wait(hold, yes), Status::ok);
  EXPECT_EQ(this->condition_.wait_for(hold, 1h, yes), Status::ok);
  EXPECT_EQ(this->condition_.wait_for(hold, -1h, yes), Status::ok);
  EXPECT_EQ(this->condition_.wait_until(hold, Clock::now(), yes), Status::ok);
  EXPECT_EQ(this->condition_.wait_until(hold, Clock::now() + 1h, yes), Status::ok);
  EXPECT_EQ(asked, 5);
}

/// Can be moved and called, and has a state; nothing more.
struct Countdown {
  explicit Countdown(int calls) : left(calls) {}
  Countdown(Countdown&&) = default;
  Countdown& operator=(Countdown&&) = delete;
  Countdown(const Countdown&) = delete;
  Countdown& operator=(const Countdown&) = delete;
  ~Countdown() = default;
  bool operator()() { return --left <= 0; }
  int left;
};

TYPED_TEST(AnyCondition, APredicateIsAnyCallableAndMayBlock) {
  std::jthread other;
  {
    std::unique_lock hold(this->lock_);
    EXPECT_EQ(this->condition_.wait_for(hold, 10ms, Countdown(2)), Status::ok);
    EXPECT_EQ(this->condition_.wait_until(hold, Clock::now() + 10ms, Countdown(2)), Status::ok);
    static std::atomic<bool> flag = true;
    EXPECT_EQ(this->condition_.wait(hold, +[] { return flag.load(); }), Status::ok);
  }
  Mutex second = {};
  std::atomic<bool> asked = false;
  second.lock();
  other = std::jthread([&] {
    std::unique_lock hold(this->lock_);
    EXPECT_EQ(this->condition_.wait(hold,
                                    [&] {
                                      asked = true;
                                      const std::scoped_lock both(second);
                                      return true;
                                    }),
              Status::ok);
    EXPECT_TRUE(this->lock_.is_owned());
  });
  while (!asked) sched_yield();
  EXPECT_FALSE(this->lock_.try_lock()) << "held while the predicate blocks";
  second.unlock();
}

TYPED_TEST(AnyCondition, APredicateThatThrowsLeavesTheLockHeldAndNobodyWaiting) {
  std::unique_lock hold(this->lock_);
  EXPECT_THROW(static_cast<void>(this->condition_.wait(
                   hold, []() -> bool { throw std::out_of_range("planted"); })),
               std::out_of_range);
  int calls = 0;
  EXPECT_THROW(static_cast<void>(this->condition_.wait_for(hold, 5ms,
                                                           [&]() -> bool {
                                                             if (++calls == 2) throw 42;
                                                             return false;
                                                           })),
               int);
  EXPECT_TRUE(this->lock_.is_owned());
  EXPECT_EQ(this->condition_.waiting(), 0U);
}

TYPED_TEST(AnyCondition, TakesTheLockItselfAsWellAsAUniqueLock) {
  this->lock_.lock();
  EXPECT_EQ(this->condition_.wait_for(this->lock_, 1ms), Status::timeout);
  EXPECT_EQ(this->condition_.wait_for(this->lock_, 1ms, [] { return false; }), Status::timeout);
  EXPECT_TRUE(this->lock_.is_owned());
  this->lock_.unlock();
  std::unique_lock hold(this->lock_);
  EXPECT_EQ(this->condition_.wait_for(hold, 1ms), Status::timeout);
  EXPECT_TRUE(hold.owns_lock());
}

TYPED_TEST(AnyCondition, ALockThatIsDestroyedMeanwhileEndsTheWait) {
  std::jthread unique([&] {
    std::unique_lock hold(this->lock_);
    EXPECT_EQ(this->condition_.wait_for(hold, 200ms), Status::closed);
    EXPECT_FALSE(hold.owns_lock()) << "else its destructor unlocks what it does not hold";
  });
  std::jthread plain([&] {
    this->lock_.lock();
    EXPECT_EQ(this->condition_.wait_until(this->lock_, Clock::now() + 200ms, [] { return false; }),
              Status::closed);
    EXPECT_FALSE(this->lock_.is_owned());
  });
  this->await_waiters(2);
  while (this->lock_.destroy() == Status::busy) sched_yield();
}

TYPED_TEST(AnyCondition, AMarkedLockEndsAWaitAtOnceWithoutAnybodysDeath) {
  std::jthread([&] { this->lock_.lock(); }).join();
  ASSERT_EQ(this->lock_.acquire(), Status::owner_died);
  std::unique_lock hold(this->lock_, std::adopt_lock);
  EXPECT_EQ(this->condition_.wait(hold), Status::owner_died);
  EXPECT_EQ(this->condition_.wait(hold, [] { return false; }), Status::owner_died);
  EXPECT_EQ(this->condition_.wait_for(hold, 1h), Status::owner_died);
  EXPECT_TRUE(hold.owns_lock());
  EXPECT_EQ(this->condition_.waiting(), 0U);
  this->lock_.mark_consistent();
  EXPECT_EQ(this->condition_.wait_for(hold, 1ms), Status::timeout);
}

TYPED_TEST(AnyCondition, AConditionFarFromItsLockIsRefused) {
  // Reserved, not used: two pages of 3 GiB.
  constexpr std::size_t kBytes = std::size_t{3} << 30;
  void* const memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const lock = new (memory) TypeParam();
  auto* const far = new (static_cast<std::byte*>(memory) + kBytes - 64) ConditionVariable();
  lock->lock();
  EXPECT_THROW(static_cast<void>(far->wait_for(*lock, 1ms)), std::logic_error);
  EXPECT_TRUE(lock->is_owned());
  EXPECT_EQ(far->waiting(), 0U);
  lock->unlock();
  munmap(memory, kBytes);
}

TYPED_TEST(AnyCondition, PrintsHowManyWait) {
  EXPECT_EQ((std::ostringstream() << this->condition_).str(), "ConditionVariable: 0 waiting");
  const std::jthread waiter([&] {
    std::unique_lock hold(this->lock_);
    EXPECT_EQ(this->condition_.wait(hold), Status::ok);
  });
  this->await_waiters(1);
  EXPECT_EQ((std::ostringstream() << this->condition_).str(), "ConditionVariable: 1 waiting");
  const std::scoped_lock hold(this->lock_);
  this->condition_.notify_all();
}

TYPED_TEST(AnyCondition, NoCallIsACancellationPoint) {
  std::atomic<bool> ended = false;
  std::jthread([&] {
    pthread_cancel(pthread_self());  // pending: acts at the first cancellation point
    std::unique_lock hold(this->lock_);
    EXPECT_EQ(this->condition_.wait_for(hold, 30ms), Status::timeout);
    EXPECT_EQ(this->condition_.wait_for(hold, 30ms, [] { return false; }), Status::timeout);
    this->condition_.notify_all();
    hold.unlock();
    ended = true;
    pthread_testcancel();
  }).join();
  EXPECT_TRUE(ended);
  EXPECT_TRUE(this->lock_.try_lock());
  this->lock_.unlock();
}

TYPED_TEST(AnyCondition, NoBytesMakeACallHangOrCrash) {
  std::uint64_t state = 7;
  const auto next = [&] {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const auto random = static_cast<std::uint32_t>(state >> 32);
    const std::array<std::uint32_t, 6> values = {0, 1, ~0U, 1U << 31, 100, random};
    return values[(state >> 20) % 6];
  };
  std::unique_lock hold(this->lock_);
  for (int i = 0; i < 2000; ++i) {
    std::array<std::uint32_t, 6> words;
    for (std::uint32_t& word : words) word = next();
    if (i % 2 == 0) {
      // The way to the lock is right, so that the rest is looked at.
      words[5] = static_cast<std::uint32_t>(reinterpret_cast<std::byte*>(&this->lock_) -
                                            reinterpret_cast<std::byte*>(&this->condition_));
    }
    static_assert(sizeof words == sizeof this->condition_);
    std::memcpy(static_cast<void*>(&this->condition_), words.data(), sizeof words);
    for (const std::ptrdiff_t n : {std::ptrdiff_t{1}, std::ptrdiff_t{-1}, PTRDIFF_MAX}) {
      try {
        const Status s = this->condition_.wait_for(hold, 50us);
        EXPECT_TRUE(s == Status::timeout || s == Status::ok) << s;
      } catch (const std::logic_error&) {
        EXPECT_EQ(i % 2, 1) << "another lock's";
      }
      EXPECT_TRUE(hold.owns_lock() && this->lock_.is_owned());
      try {
        this->condition_.notify(n);
      } catch (const std::logic_error&) {
        EXPECT_EQ(i % 2, 1) << "another lock's";
      }
    }
  }
}

TYPED_TEST(AnyCondition, SequenceNumbersMayPassTheirEnd) {
  const auto way = static_cast<std::uint32_t>(reinterpret_cast<std::byte*>(&this->lock_) -
                                              reinterpret_cast<std::byte*>(&this->condition_));
  for (const std::uint32_t released : {0xfffffffeU, 0x7ffffffeU, 0xc0000000U}) {
    const std::array<std::uint32_t, 6> words = {0xfffffffeU, released, 0, 0, 0, way};
    std::memcpy(static_cast<void*>(&this->condition_), words.data(), sizeof words);
    std::atomic<int> woken = 0;
    const auto wait = [&] {
      std::unique_lock hold(this->lock_);
      EXPECT_EQ(this->condition_.wait(hold), Status::ok);
      ++woken;
    };
    std::array<std::jthread, 4> waiters;
    for (std::jthread& waiter : waiters) waiter = std::jthread(wait);
    this->await_waiters(4);
    for (int i = 1; i <= 3; ++i) {
      {
        const std::scoped_lock hold(this->lock_);
        this->condition_.notify_one();
      }
      while (woken < i) sched_yield();
      std::this_thread::sleep_for(20ms);
      EXPECT_EQ(woken, i);
    }
    const std::scoped_lock hold(this->lock_);
    this->condition_.notify_all();
  }
}

}  // namespace
}  // namespace sluice::tests
