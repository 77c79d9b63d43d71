// SPDX-License-Identifier: Apache-2.0
//
// Mutex and RecursiveMutex call by call: marks and their repair, misuse, bytes that are no lock.
// How parties in other processes see them: lock_behaviour_test.cc, lock_death_test.cc.

#include "sluice/sync/mutex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <future>
#include <ios>
#include <mutex>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_guard.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

template <class Lock>
class AnyMutex : public testing::Test {
 public:
  static_assert(std::is_trivially_destructible_v<Lock> && std::is_standard_layout_v<Lock>);
  static_assert(!std::is_copy_constructible_v<Lock> && !std::is_move_constructible_v<Lock>);
  static_assert(!std::is_copy_assignable_v<Lock> && !std::is_move_assignable_v<Lock>);

  /// Its owner dies, as far as the lock can tell: the thread ends.
  void abandon() {
    std::jthread([&] { lock_.lock(); }).join();
  }

  [[nodiscard]] LockReport::State state() const { return lock_.report().state; }

  Lock lock_ = {};
};

struct Names {
  template <class Lock>
  static std::string GetName(int) {
    return std::is_same_v<Lock, Mutex> ? "Mutex" : "RecursiveMutex";
  }
};
using Locks = testing::Types<Mutex, RecursiveMutex>;
TYPED_TEST_SUITE(AnyMutex, Locks, Names);

TYPED_TEST(AnyMutex, ARepairRunsWithTheLockHeldAndOnlyIfAnOwnerDied) {
  auto& lock = this->lock_;
  lock.lock([] { ADD_FAILURE() << "nothing to repair"; });
  lock.unlock();
  this->abandon();
  int repaired = 0;
  lock.lock([&] {
    EXPECT_TRUE(lock.is_owned());
    EXPECT_TRUE(lock.report().marked);
    ++repaired;
  });
  EXPECT_EQ(repaired, 1);
  EXPECT_TRUE(lock.is_owned());
  EXPECT_FALSE(lock.report().marked);
  lock.unlock();
  lock.lock([] { ADD_FAILURE() << "it is repaired"; });
  lock.unlock();
  this->abandon();
  {
    const LockGuard hold(lock, [&] { ++repaired; });
    EXPECT_TRUE(lock.is_owned());
  }
  EXPECT_EQ(repaired, 2);
  EXPECT_EQ(this->state(), LockReport::State::free);
}

TYPED_TEST(AnyMutex, ARepairThatThrowsGivesTheLockBackAndLeavesTheMark) {
  auto& lock = this->lock_;
  this->abandon();
  for (int i = 0; i < 2; ++i) {
    EXPECT_THROW(lock.lock([] { throw std::out_of_range("planted"); }), std::out_of_range);
    EXPECT_FALSE(lock.is_owned());
    EXPECT_EQ(this->state(), LockReport::State::owner_died);
    EXPECT_THROW(LockGuard(lock, [] { throw 42; }), int);
    EXPECT_FALSE(lock.is_owned());
  }
  lock.lock([] {});
  lock.unlock();
  EXPECT_EQ(this->state(), LockReport::State::free);
}

TYPED_TEST(AnyMutex, ARepairMayMarkTheLockConsistentItself) {
  auto& lock = this->lock_;
  this->abandon();
  lock.lock([&] { lock.mark_consistent(); });
  EXPECT_TRUE(lock.is_owned());
  lock.unlock();
  EXPECT_EQ(this->state(), LockReport::State::free);
}

TYPED_TEST(AnyMutex, AMarkStaysUntilSomebodyMarksItConsistent) {
  auto& lock = this->lock_;
  this->abandon();
  const Tag died = lock.report().owner;
  EXPECT_EQ(died, participant::self());
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(lock.lock(), OwnerDied);
    EXPECT_THROW(static_cast<void>(lock.try_lock()), OwnerDied);
    EXPECT_THROW(static_cast<void>(lock.try_lock_for(1h)), OwnerDied);
    EXPECT_FALSE(lock.is_owned());
    EXPECT_THROW(lock.unlock(), std::logic_error);
    EXPECT_EQ(lock.acquire(), Status::owner_died);
    EXPECT_TRUE(lock.report().marked);
    lock.unlock();  // has not repaired
    EXPECT_EQ(lock.report().owner, died) << "who died first stays noted";
  }
  EXPECT_EQ(lock.acquire(), Status::owner_died);
  lock.mark_consistent();
  EXPECT_THROW(lock.mark_consistent(), std::logic_error) << "it is already";
  EXPECT_TRUE(lock.is_owned());
  lock.unlock();
  EXPECT_THROW(lock.mark_consistent(), std::logic_error) << "not held";
  lock.lock();
  lock.unlock();
}

TYPED_TEST(AnyMutex, MarkConsistentIsForTheHolder) {
  auto& lock = this->lock_;
  EXPECT_THROW(lock.mark_consistent(), std::logic_error);
  this->abandon();
  EXPECT_THROW(lock.mark_consistent(), std::logic_error) << "marked, but not held";
  EXPECT_EQ(lock.acquire(), Status::owner_died);
  std::jthread([&] { EXPECT_THROW(lock.mark_consistent(), std::logic_error); }).join();
  EXPECT_TRUE(lock.report().marked);
  lock.mark_consistent();
  lock.unlock();
}

TYPED_TEST(AnyMutex, ResetMakesItFreeAndUnmarked) {
  auto& lock = this->lock_;
  EXPECT_EQ(lock.reset(), Status::ok) << "never used";
  this->abandon();
  EXPECT_EQ(lock.reset(), Status::ok);
  EXPECT_EQ(this->state(), LockReport::State::free);
  EXPECT_EQ(lock.acquire(), Status::ok);
  EXPECT_EQ(lock.reset(), Status::busy);
  EXPECT_TRUE(lock.is_owned());
  lock.unlock();
}

TYPED_TEST(AnyMutex, DestroyTellsTheWaiters) {
  auto& lock = this->lock_;
  this->abandon();
  EXPECT_EQ(lock.destroy(), Status::ok) << "a dead owner holds nothing";
  EXPECT_EQ(lock.destroy(), Status::ok);
  EXPECT_EQ(lock.acquire(Deadline::now()), Status::closed);
  try {
    lock.lock();
    ADD_FAILURE() << "locked a destroyed lock";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), make_error_code(Status::closed));
  }
  EXPECT_THROW(lock.mark_consistent(), std::logic_error);
  EXPECT_EQ(
      (std::ostringstream() << lock).str(),
      std::string(std::is_same_v<TypeParam, Mutex> ? "Mutex" : "RecursiveMutex") + ": destroyed");
}

TYPED_TEST(AnyMutex, StandardGuardsThatMeetAMarkHoldNothing) {
  auto& lock = this->lock_;
  Mutex first = {};
  this->abandon();
  EXPECT_THROW(const std::scoped_lock hold(first, lock), OwnerDied);
  EXPECT_FALSE(first.is_owned()) << "the other lock has been given back";
  EXPECT_THROW(const std::lock_guard hold(lock), OwnerDied);
  EXPECT_THROW(const std::unique_lock hold(lock), OwnerDied);
  EXPECT_THROW(const std::unique_lock hold(lock, std::try_to_lock), OwnerDied);
  EXPECT_THROW(const std::unique_lock hold(lock, 1s), OwnerDied);
  EXPECT_FALSE(lock.is_owned());
  ASSERT_EQ(lock.acquire(), Status::owner_died);
  std::unique_lock hold(lock, std::adopt_lock);
  lock.mark_consistent();
}

TYPED_TEST(AnyMutex, ConditionVariableAnyWorksBetweenThreads) {
  auto& lock = this->lock_;
  std::condition_variable_any changed;
  int number = 0;
  const std::jthread other([&] {
    std::unique_lock hold(lock);
    changed.wait(hold, [&] { return number == 1; });
    number = 2;
    changed.notify_one();
  });
  std::unique_lock hold(lock);
  number = 1;
  changed.notify_one();
  changed.wait(hold, [&] { return number == 2; });
}

// -------------------------------------------------------------------------------------------------
// Cancellation

/// Runs `call` in a thread that is to be cancelled, and says whether it came to its end.
template <class Call>
bool survives_cancellation(Call call) {
  std::atomic<bool> ended = false;
  std::jthread([&] {
    pthread_cancel(pthread_self());  // pending: acts at the first cancellation point
    call();
    ended = true;
    pthread_testcancel();
  }).join();
  return ended;
}

TYPED_TEST(AnyMutex, NoCallIsACancellationPoint) {
  // In children, so that the first use of the process is among the calls.
  TypeParam* const lock = new (mmap(nullptr, sizeof(TypeParam), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0)) TypeParam();
  ChildParty([&] {
    EXPECT_TRUE(survives_cancellation([&] {
      lock->lock();  // attaches
      lock->unlock();
    }));
  }).finish();
  lock->lock();
  ChildParty([&] {
    EXPECT_TRUE(survives_cancellation([&] {
      EXPECT_FALSE(lock->try_lock());  // asks after the holder
      EXPECT_FALSE(lock->try_lock_for(20ms));
    }));
  }).finish();
  lock->unlock();
  ChildParty([&] { lock->lock(); }).finish();
  ChildParty([&] {
    EXPECT_TRUE(survives_cancellation([&] {
      EXPECT_THROW(lock->lock(), OwnerDied);
      EXPECT_NE((std::ostringstream() << *lock).str(), "");
      lock->lock([] {});
      lock->unlock();
    }));
  }).finish();
  munmap(lock, sizeof *lock);
}

// -------------------------------------------------------------------------------------------------
// Threads of this process that are no more

TYPED_TEST(AnyMutex, LocksOfAThreadThatLeftByTheKernelAloneAreTaken) {
  // No destructor of the C library runs, and the kernel watches only the lock taken last. In a
  // child, for what such a thread leaves allocated.
  ChildParty([] {
    std::array<TypeParam, 3> locks;
    std::atomic<pid_t> thread = 0;
    std::thread([&] {
      for (TypeParam& lock : locks) lock.lock();
      thread = gettid();
      syscall(SYS_exit, 0);
    }).detach();
    while (thread == 0 || tgkill(getpid(), thread, 0) == 0) sched_yield();
    for (TypeParam& lock : locks) {
      ASSERT_EQ(lock.acquire(10s), Status::owner_died);
      EXPECT_EQ(lock.died(), participant::self());
      lock.mark_consistent();
      lock.unlock();
    }
  }).finish();
}

TYPED_TEST(AnyMutex, AThreadThatLivesIsWaitedFor) {
  auto& lock = this->lock_;
  std::promise<void> taken;
  std::promise<void> asked;
  std::jthread holder([&] {
    const LockGuard hold(lock);
    taken.set_value();
    asked.get_future().wait();
  });
  taken.get_future().wait();
  EXPECT_EQ(lock.acquire(50ms), Status::timeout) << "asks after its owner several times";
  asked.set_value();
  EXPECT_EQ(lock.acquire(10s), Status::ok);
  lock.unlock();
}

// -------------------------------------------------------------------------------------------------
// Bytes that are no lock

struct Bytes {
  std::uint64_t word;
  std::uint32_t incarnation;
  std::uint32_t died;
};

template <class Lock>
Bytes bytes_of(const Lock& lock) {
  static_assert(sizeof(Lock) == sizeof(Bytes));
  Bytes bytes;
  std::memcpy(&bytes, static_cast<const void*>(&lock), sizeof bytes);
  return bytes;
}

template <class Lock>
void overwrite(Lock& lock, Bytes bytes) {
  std::memcpy(static_cast<void*>(&lock), &bytes, sizeof bytes);
}

TYPED_TEST(AnyMutex, AHeldLockThatIsOverwrittenIsReportedByUnlock) {
  auto& lock = this->lock_;
  lock.lock();
  const Bytes held = bytes_of(lock);
  overwrite(lock, {.word = 0, .incarnation = held.incarnation, .died = 0});
  EXPECT_THROW(lock.unlock(), Error);
  EXPECT_THROW(lock.unlock(), std::logic_error) << "it is not held any more";
  lock.lock();
  lock.unlock();
}

TYPED_TEST(AnyMutex, AGuardLeavesNothingBehindOfALockThatIsOverwritten) {
  // At its end a thread marks what it holds: by then, the memory of this one is gone.
  std::thread([] {
    void* const memory =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    auto& lock = *new (memory) TypeParam;
    {
      const LockGuard hold(lock);
      overwrite(lock, {});
    }
    munmap(memory, 4096);
  }).join();
}

TYPED_TEST(AnyMutex, AnOwnerThatIsNoThreadOfThisProcessIsDead) {
  auto& lock = this->lock_;
  lock.lock();
  lock.unlock();
  const std::uint64_t mine = std::uint64_t{participant::self()} << 32;
  const std::uint64_t abroad = internal::LockWord::kForeignThread;
  for (const std::uint64_t thread : {std::uint64_t{internal::LockWord::kThread}, abroad, abroad - 1,
                                     2 * abroad - 1, 2 * abroad}) {
    Bytes made_up = bytes_of(lock);
    made_up.word = mine | thread;
    overwrite(lock, made_up);
    EXPECT_EQ(lock.acquire(10s), Status::owner_died) << std::hex << made_up.word;
    lock.mark_consistent();
    lock.unlock();
  }
}

TYPED_TEST(AnyMutex, ALockOfAnotherRegistryIsLeftAlone) {
  auto& lock = this->lock_;
  lock.lock();
  lock.unlock();
  Bytes foreign = bytes_of(lock);
  foreign.incarnation ^= 1;
  // Free, held by who seems to be dead here, and marked.
  const std::uint64_t unknown_tag = std::uint64_t{0xfffffff0} << 32;
  for (const std::uint64_t word :
       {std::uint64_t{0}, unknown_tag | 4711, unknown_tag | (1U << 30), unknown_tag | (3U << 30)}) {
    foreign.word = word;
    overwrite(lock, foreign);
    EXPECT_EQ(lock.acquire(), Status::foreign_registry);
    EXPECT_EQ(lock.acquire(Deadline::now()), Status::foreign_registry);
    try {
      lock.lock();
      ADD_FAILURE() << "locked";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), make_error_code(Status::foreign_registry));
      EXPECT_THAT(e.what(), testing::HasSubstr("reset()"));
    }
    EXPECT_THROW(static_cast<void>(lock.try_lock()), Error);
    EXPECT_EQ(lock.destroy(), Status::foreign_registry);
    EXPECT_THROW(lock.unlock(), std::logic_error);
    EXPECT_THROW(lock.mark_consistent(), std::logic_error);
    EXPECT_EQ(bytes_of(lock).word, word) << "untouched";
    EXPECT_EQ(lock.reset(), Status::ok);
    EXPECT_EQ(lock.acquire(), Status::ok);
    lock.unlock();
  }
}

TYPED_TEST(AnyMutex, NoBytesMakeACallHangOrCrash) {
  auto& lock = this->lock_;
  lock.lock();
  const Bytes held = bytes_of(lock);
  lock.unlock();
  const std::uint32_t tag = static_cast<std::uint32_t>(held.word >> 32);
  std::uint64_t state = 1;
  for (int i = 0; i < 20'000; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    // Random halves, and halves that mean something.
    const std::array<std::uint32_t, 6> high = {
        tag, 0, ~0U, static_cast<std::uint32_t>(state >> 32), tag + 1, 1U << 31};
    const std::array<std::uint32_t, 6> low = {static_cast<std::uint32_t>(held.word),
                                              0,
                                              1U << 31,
                                              3U << 30,
                                              static_cast<std::uint32_t>(state >> 16),
                                              (1U << 30) - 1};
    const std::uint64_t word =
        std::uint64_t{high[(state >> 40) % 6]} << 32 | low[(state >> 50) % 6];
    overwrite(lock, {.word = word, .incarnation = held.incarnation, .died = tag});
    if (i % 100 == 0) {
      EXPECT_NE((std::ostringstream() << lock).str(), "");
    }
    try {
      const Status s = lock.acquire(Deadline::now());
      if (s == Status::ok || s == Status::owner_died) lock.unlock();
    } catch (const std::logic_error&) {
      EXPECT_EQ(word, held.word | (word & (3U << 30))) << "only its own signature is a relock";
    }
    EXPECT_FALSE(lock.recursion_count() > 0);
    static_cast<void>(lock.reset());
  }
  overwrite(lock, {});
}

}  // namespace
}  // namespace sluice::tests
