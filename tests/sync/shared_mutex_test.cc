// SPDX-License-Identifier: Apache-2.0
//
// SharedMutex call by call: shares and their nests, marks and their repair, misuse, ends of
// threads, bytes that are no lock. How parties in other processes see it:
// shared_mutex_behaviour_test.cc, shared_mutex_death_test.cc.

#include "sluice/sync/shared_mutex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_guard.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Lock = SharedMutex<4>;

static_assert(std::is_trivially_destructible_v<Lock> && std::is_standard_layout_v<Lock>);
static_assert(!std::is_copy_constructible_v<Lock> && !std::is_move_constructible_v<Lock>);
static_assert(!std::is_copy_assignable_v<Lock> && !std::is_move_assignable_v<Lock>);
static_assert(sizeof(Lock) == 5 * kNoSharing);

template <class Call>
void elsewhere(Call call) {
  std::jthread(call).join();
}

std::string text(const auto& lock) { return (std::ostringstream() << lock).str(); }

class SharedMutexTest : public testing::Test {
 protected:
  /// Its writer dies, as far as the lock can tell: the thread ends.
  void abandon() {
    elsewhere([&] { lock_.lock(); });
  }

  void expect_free() {
    EXPECT_EQ(lock_.readers(), 0U);
    EXPECT_EQ(lock_.shares(), 0U);
    EXPECT_TRUE(lock_.try_lock());
    lock_.unlock();
  }

  Lock lock_;
};

TEST_F(SharedMutexTest, StandardGuardsFit) {
  {
    const std::shared_lock reading(lock_);
    EXPECT_EQ(lock_.shares(), 1U);
    std::shared_lock again(lock_, 1s);
    EXPECT_TRUE(again.owns_lock());
    EXPECT_EQ(lock_.shares(), 2U);
  }
  {
    std::unique_lock writing(lock_, 1s);
    EXPECT_TRUE(writing.owns_lock());
    EXPECT_TRUE(lock_.is_owned());
  }
  {
    Mutex other;
    const std::scoped_lock both(lock_, other);
    EXPECT_TRUE(lock_.is_owned());
  }
  {
    std::shared_lock reading(lock_, std::chrono::system_clock::now() + 1h);
    EXPECT_TRUE(reading.owns_lock());
    reading.unlock();
    EXPECT_TRUE(reading.try_lock());
  }
  {
    const LockGuard hold(lock_);
    EXPECT_TRUE(lock_.is_owned());
  }
  expect_free();
}

TEST_F(SharedMutexTest, SharesNestAndEachTakesOneUnlock) {
  for (std::uint32_t n = 1; n <= 3; ++n) {
    EXPECT_TRUE(n % 2 == 0 ? lock_.try_lock_shared() : lock_.try_lock_shared_for(1s));
    EXPECT_EQ(lock_.shares(), n);
  }
  EXPECT_EQ(lock_.readers(), 1U) << "one thread, one cell";
  for (std::uint32_t n = 3; n-- != 0;) {
    elsewhere([&] { EXPECT_FALSE(lock_.try_lock()); });
    lock_.unlock_shared();
    EXPECT_EQ(lock_.shares(), n);
  }
  EXPECT_THROW(lock_.unlock_shared(), std::logic_error);
  expect_free();
}

TEST_F(SharedMutexTest, ANestedShareIsGrantedWhileAWriterWaits) {
  lock_.lock_shared();
  std::jthread writer([&] {
    lock_.lock();
    lock_.unlock();
  });
  while (lock_.report().state != LockReport::State::held) sched_yield();
  elsewhere([&] { EXPECT_FALSE(lock_.try_lock_shared()) << "a writer goes before new readers"; });
  lock_.lock_shared();
  lock_.unlock_shared();
  EXPECT_EQ(lock_.acquire_shared(Deadline::now()), Status::ok);
  lock_.unlock_shared();
  lock_.unlock_shared();
  writer.join();
  expect_free();
}

TEST_F(SharedMutexTest, MisuseIsAnErrorAndChangesNothing) {
  EXPECT_THROW(lock_.unlock(), std::logic_error);
  EXPECT_THROW(lock_.unlock_shared(), std::logic_error);
  EXPECT_THROW(lock_.mark_consistent(), std::logic_error);

  lock_.lock_shared();
  EXPECT_THROW(lock_.lock(), std::logic_error) << "would wait for itself";
  EXPECT_THROW(static_cast<void>(lock_.acquire(1h)), std::logic_error);
  EXPECT_THROW(static_cast<void>(lock_.try_lock_for(1h)), std::logic_error);
  EXPECT_FALSE(lock_.try_lock());
  EXPECT_THROW(lock_.unlock(), std::logic_error) << "for reading";
  EXPECT_THROW(lock_.mark_consistent(), std::logic_error);
  elsewhere([&] { EXPECT_THROW(lock_.unlock_shared(), std::logic_error) << "another's"; });
  EXPECT_EQ(lock_.shares(), 1U);
  EXPECT_FALSE(lock_.is_owned());
  lock_.unlock_shared();

  lock_.lock();
  EXPECT_THROW(lock_.lock(), std::logic_error);
  EXPECT_THROW(lock_.lock_shared(), std::logic_error) << "would wait for itself";
  EXPECT_FALSE(lock_.try_lock());
  EXPECT_FALSE(lock_.try_lock_shared());
  EXPECT_THROW(lock_.unlock_shared(), std::logic_error) << "for writing";
  EXPECT_THROW(lock_.mark_consistent(), std::logic_error) << "not marked";
  elsewhere([&] { EXPECT_THROW(lock_.unlock(), std::logic_error) << "another's"; });
  EXPECT_TRUE(lock_.is_owned());
  EXPECT_EQ(lock_.shares(), 0U);
  lock_.unlock();
  expect_free();
}

TEST_F(SharedMutexTest, MisuseByAReaderWithoutACellIsTheSame) {
  SharedMutex<1> lock;
  std::atomic<int> step = 0;
  std::jthread reader([&] {
    lock.lock_shared();
    step = 1;
    while (step != 2) sched_yield();
    lock.unlock_shared();
  });
  while (step != 1) sched_yield();
  lock.lock_shared();
  lock.lock_shared();
  EXPECT_EQ(lock.shares(), 2U);
  EXPECT_FALSE(lock.is_owned());
  EXPECT_THROW(lock.unlock(), std::logic_error);
  EXPECT_THROW(lock.lock(), std::logic_error);
  EXPECT_THROW(lock.mark_consistent(), std::logic_error);
  lock.unlock_shared();
  EXPECT_EQ(lock.shares(), 1U);
  elsewhere([&] { EXPECT_FALSE(lock.try_lock()); });
  step = 2;
  reader.join();
  elsewhere([&] {
    EXPECT_FALSE(lock.try_lock()) << "one reader is left";
    EXPECT_TRUE(lock.try_lock_shared()) << "the cell is free again, and the writer's lock no bar";
    lock.unlock_shared();
  });
  lock.unlock_shared();
  EXPECT_THROW(lock.unlock_shared(), std::logic_error);
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST_F(SharedMutexTest, AThreadThatEndsGivesItsSharesBack) {
  elsewhere([&] {
    lock_.lock_shared();
    lock_.lock_shared();
  });
  EXPECT_TRUE(lock_.try_lock());
  lock_.unlock();
  expect_free();
  // More of them than cells, and the last without one.
  SharedMutex<1> narrow;
  std::atomic<int> step = 0;
  std::jthread first([&] {
    narrow.lock_shared();
    step = 1;
    while (step != 2) sched_yield();
  });
  while (step != 1) sched_yield();
  elsewhere([&] { narrow.lock_shared(); });
  step = 2;
  first.join();
  EXPECT_EQ(narrow.acquire(1s), Status::ok) << "a reader's end is told nobody";
  narrow.unlock();
}

TEST_F(SharedMutexTest, SharesOfManyLocksAreGivenBackInAnyOrder) {
  std::vector<Lock> locks(40);
  Mutex mutex;
  for (Lock& lock : locks) lock.lock_shared();
  mutex.lock();
  for (std::size_t i = 0; i < locks.size(); i += 2) locks[i].unlock_shared();
  mutex.unlock();
  for (std::size_t i = 1; i < locks.size(); i += 2) locks[i].unlock_shared();
  for (Lock& lock : locks) {
    EXPECT_TRUE(lock.try_lock());
    lock.unlock();
  }
}

/// What the kernel would mark if this thread died: its address must not outlive the share, since
/// other things may lie there later.
TEST_F(SharedMutexTest, TheKernelForgetsACellThatIsGivenBack) {
  robust_list_head* head = nullptr;
  std::size_t size = 0;
  ASSERT_EQ(syscall(SYS_get_robust_list, 0, &head, &size), 0);
  Mutex mutex;
  lock_.lock_shared();
  mutex.lock();
  mutex.unlock();
  lock_.unlock_shared();
  EXPECT_EQ(head->list_op_pending, nullptr);
}

// -------------------------------------------------------------------------------------------------
// Marks

TEST_F(SharedMutexTest, AWritersDeathIsToldToAllUntilRepaired) {
  abandon();
  for (int i = 0; i < 2; ++i) {
    EXPECT_THROW(lock_.lock(), OwnerDied);
    EXPECT_THROW(static_cast<void>(lock_.try_lock()), OwnerDied);
    EXPECT_THROW(lock_.lock_shared(), OwnerDied);
    EXPECT_THROW(static_cast<void>(lock_.try_lock_shared()), OwnerDied);
    EXPECT_EQ(lock_.acquire_shared(), Status::owner_died);
    EXPECT_EQ(lock_.shares(), 0U);
    EXPECT_FALSE(lock_.is_owned());
  }
  EXPECT_EQ(lock_.acquire(), Status::owner_died);
  EXPECT_TRUE(lock_.is_owned());
  lock_.unlock();
  EXPECT_EQ(lock_.acquire_shared(), Status::owner_died) << "not repaired";
  EXPECT_EQ(lock_.acquire(), Status::owner_died) << "not repaired";
  lock_.mark_consistent();
  lock_.unlock();
  EXPECT_EQ(lock_.acquire_shared(), Status::ok);
  lock_.unlock_shared();
  expect_free();
}

TEST_F(SharedMutexTest, ARepairRunsWithTheLockHeldAndOnlyIfAWriterDied) {
  lock_.lock([] { ADD_FAILURE() << "nothing to repair"; });
  lock_.unlock();
  abandon();
  EXPECT_THROW(lock_.lock([] { throw std::out_of_range("planted"); }), std::out_of_range);
  EXPECT_FALSE(lock_.is_owned());
  EXPECT_EQ(lock_.acquire_shared(), Status::owner_died) << "the mark stays";
  int repaired = 0;
  lock_.lock([&] {
    EXPECT_TRUE(lock_.is_owned());
    ++repaired;
  });
  EXPECT_EQ(repaired, 1);
  lock_.unlock();
  lock_.lock_shared();
  lock_.unlock_shared();
  expect_free();
}

TEST_F(SharedMutexTest, ARepairerThatGoesOnWritingAndDiesIsToldOfToo) {
  abandon();
  elsewhere([&] {
    lock_.lock([] {});
    // Consistent, and being changed again.
  });
  EXPECT_EQ(lock_.acquire_shared(), Status::owner_died);
  lock_.lock([] {});
  lock_.unlock();
  expect_free();
}

TEST_F(SharedMutexTest, AWriterThatGivesUpLeavesNoMark) {
  lock_.lock_shared();
  elsewhere([&] {
    EXPECT_EQ(lock_.acquire(5ms), Status::timeout);
    EXPECT_EQ(lock_.acquire(Deadline::now()), Status::timeout);
  });
  elsewhere([&] {
    EXPECT_TRUE(lock_.try_lock_shared()) << "who has given up keeps nobody out";
    lock_.unlock_shared();
  });
  lock_.unlock_shared();
  expect_free();
}

// -------------------------------------------------------------------------------------------------
// Ends

TEST_F(SharedMutexTest, DestroyAndResetAreBusyWhileItIsHeldInAnyWay) {
  lock_.lock_shared();
  EXPECT_EQ(lock_.destroy(), Status::busy);
  EXPECT_EQ(lock_.reset(), Status::busy);
  lock_.unlock_shared();
  lock_.lock();
  EXPECT_EQ(lock_.destroy(), Status::busy);
  EXPECT_EQ(lock_.reset(), Status::busy);
  lock_.unlock();
  EXPECT_EQ(lock_.destroy(), Status::ok);
  EXPECT_EQ(lock_.acquire(), Status::closed);
  EXPECT_EQ(lock_.acquire_shared(), Status::closed);
  EXPECT_THROW(lock_.lock_shared(), Error);
  EXPECT_THROW(static_cast<void>(lock_.try_lock_shared()), Error);
  EXPECT_THROW(lock_.lock(), Error);
  EXPECT_EQ(lock_.reset(), Status::ok) << "begins anew";
  expect_free();
}

TEST_F(SharedMutexTest, ResetForgetsADeadWriter) {
  abandon();
  EXPECT_EQ(lock_.reset(), Status::ok);
  EXPECT_EQ(lock_.acquire_shared(), Status::ok);
  lock_.unlock_shared();
  expect_free();
}

TEST_F(SharedMutexTest, TheTextSaysWhoHoldsIt) {
  EXPECT_EQ(text(lock_), "SharedMutex: unlocked; 0 of 4 reader cells taken");
  lock_.lock_shared();
  EXPECT_EQ(text(lock_), "SharedMutex: unlocked; 1 of 4 reader cells taken");
  lock_.unlock_shared();
  lock_.lock();
  EXPECT_THAT(text(lock_), testing::StartsWith("SharedMutex: locked by participant "));
  lock_.unlock();
  abandon();
  EXPECT_THAT(text(lock_), testing::HasSubstr(", died"));
}

// -------------------------------------------------------------------------------------------------
// Bytes that are no lock

template <class T>
void put(Lock& lock, std::size_t at, T value) {
  std::memcpy(reinterpret_cast<std::byte*>(&lock) + at, &value, sizeof value);
}

TEST_F(SharedMutexTest, ALockOfAnotherRegistryIsLeftAlone) {
  lock_.lock();
  lock_.unlock();
  const std::uint32_t mine = internal::this_thread().incarnation;
  put(lock_, 8, mine ^ 1U);
  put(lock_, 128, std::uint64_t{0xfffffff0} << 32 | 4711);  // who seems to be dead here
  EXPECT_EQ(lock_.acquire(), Status::foreign_registry);
  EXPECT_EQ(lock_.acquire_shared(), Status::foreign_registry);
  EXPECT_THROW(lock_.lock_shared(), Error);
  EXPECT_THROW(static_cast<void>(lock_.try_lock()), Error);
  EXPECT_EQ(lock_.destroy(), Status::foreign_registry);
  EXPECT_THROW(lock_.unlock_shared(), std::logic_error);
  EXPECT_EQ(lock_.readers(), 1U) << "untouched";
  EXPECT_EQ(lock_.reset(), Status::ok);
  expect_free();
}

TEST_F(SharedMutexTest, ACellThatIsOverwrittenIsReportedByItsReader) {
  lock_.lock_shared();
  for (std::size_t cell = 0; cell < 4; ++cell) put(lock_, 128 * (1 + cell), std::uint64_t{0});
  EXPECT_THROW(lock_.unlock_shared(), Error);
  EXPECT_THROW(lock_.unlock_shared(), std::logic_error) << "it is not held any more";
  lock_.lock();
  put(lock_, 0, std::uint64_t{0});
  EXPECT_THROW(lock_.unlock(), Error);
  EXPECT_THROW(lock_.unlock(), std::logic_error) << "it is not held any more";
  expect_free();
}

TEST_F(SharedMutexTest, NoBytesMakeItHangOrHarmTheCaller) {
  const ScopedWaitPolicy blocks(
      {.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 1ms});
  std::mt19937_64 random(7);
  const std::uint64_t me = internal::this_thread().me;
  const std::uint32_t mine = internal::this_thread().incarnation;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::uint64_t> words(sizeof(Lock) / 8);
    for (std::uint64_t& word : words) {
      switch (random() % 5) {
        case 0:
          word = random();
          break;
        case 1:
          word = me ^ (1ULL << random() % 64);
          break;
        case 2:
          word = ~0ULL >> random() % 64;
          break;
        case 3:
          word = me;
          break;
        default:
          word = 0;
      }
    }
    std::memcpy(static_cast<void*>(&lock_), words.data(), sizeof lock_);
    if (round % 4 != 0) put(lock_, 8, mine);
    const Deadline soon = 2ms;
    try {
      const Status s = lock_.acquire_shared(soon);
      if (s == Status::ok) lock_.unlock_shared();
    } catch (const std::exception&) {
    }
    try {
      const Status s = lock_.acquire(soon);
      if (s == Status::ok || s == Status::owner_died) lock_.unlock();
    } catch (const std::exception&) {
    }
    EXPECT_NE(text(lock_), "");
    static_cast<void>(lock_.destroy());
    EXPECT_EQ(internal::this_thread().held.count(), 0U) << "in round " << round;
  }
}

}  // namespace
}  // namespace sluice::tests
