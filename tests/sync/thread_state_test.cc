// SPDX-License-Identifier: Apache-2.0
//
// What a thread leaves when it ends with locks, what the kernel is told meanwhile, and what the C
// library's own robust mutexes have of it.

#include "sluice/sync/thread_state.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>

#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_guard.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/no_kernel_help.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

/// What the kernel would look at if the calling thread died now: the address of a lock word.
const void* pending() {
  robust_list_head* head = nullptr;
  std::size_t size = 0;
  if (syscall(SYS_get_robust_list, 0, &head, &size) != 0) return nullptr;
  const auto* const entry = reinterpret_cast<const char*>(head->list_op_pending);
  return entry == nullptr ? nullptr : entry + head->futex_offset;
}

/// A T in memory that is shared with children forked later.
template <class T>
class Shared {
 public:
  Shared()
      : object_(new(mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                         0)) T()) {}
  ~Shared() { munmap(object_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }

 private:
  T* object_;
};

template <class Lock>
void expect_marked_and_repair(Lock& lock) {
  EXPECT_EQ(lock.report().state, LockReport::State::owner_died);
  EXPECT_EQ(lock.acquire(Deadline::now()), Status::owner_died);
  lock.mark_consistent();
  lock.unlock();
}

// -------------------------------------------------------------------------------------------------
// The end of a thread

TEST(ThreadEnd, MarksEveryLockThatTheThreadHolds) {
  std::array<Mutex, 40> locks = {};
  RecursiveMutex recursive = {};
  std::jthread([&] {
    for (Mutex& lock : locks) lock.lock();
    for (int i = 0; i < 3; ++i) recursive.lock();
    locks[7].unlock();
  }).join();
  for (std::size_t i = 0; i < locks.size(); ++i) {
    if (i == 7) {
      EXPECT_TRUE(locks[i].try_lock());
      locks[i].unlock();
    } else {
      expect_marked_and_repair(locks[i]);
    }
  }
  EXPECT_THROW(recursive.lock(), OwnerDied);
  expect_marked_and_repair(recursive);
  recursive.lock();
  EXPECT_EQ(recursive.recursion_count(), 1U) << "the dead thread's levels are gone";
  recursive.unlock();
}

TEST(ThreadEnd, WakesAWaiterOfEveryLock) {
  std::array<Mutex, 3> locks = {};
  std::atomic<int> step = 0;
  std::jthread owner([&] {
    for (Mutex& lock : locks) lock.lock();
    step = 1;
    while (step < 2) sched_yield();
  });
  while (step < 1) sched_yield();
  std::array<std::atomic<pid_t>, 3> threads = {};
  std::deque<std::jthread> waiters;
  for (std::size_t i = 0; i < locks.size(); ++i) {
    waiters.emplace_back([&, i] {
      const ScopedWaitPolicy no_slices(
          {.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h});
      attach();  // so that the first sleep is the one that is meant
      threads[i] = gettid();
      EXPECT_EQ(locks[i].acquire(20s), Status::owner_died);
      locks[i].unlock();
    });
  }
  for (std::size_t i = 0; i < locks.size(); ++i) {
    while (threads[i] == 0 || !locks[i].report().maybe_waiting) sched_yield();
    EXPECT_TRUE(wait_until_asleep(threads[i]));
  }
  step = 2;
  owner.join();
  waiters.clear();
  for (Mutex& lock : locks) expect_marked_and_repair(lock);
}

TEST(ThreadEnd, IsTheSameByCancellationAndByPthreadExit) {
  Mutex lock = {};
  std::jthread([&] {
    lock.lock();
    pthread_exit(nullptr);
  }).join();
  expect_marked_and_repair(lock);
  std::atomic<int> held = 0;
  std::jthread cancelled([&] {
    lock.lock();
    held = 1;
    for (;;) pause();
  });
  while (held == 0) sched_yield();
  pthread_cancel(cancelled.native_handle());
  cancelled.join();
  expect_marked_and_repair(lock);
}

thread_local std::unique_ptr<LockGuard<Mutex>> t_guard;

TEST(ThreadEnd, ThreadLocalObjectsMayStillGiveBackWhatTheyHold) {
  static Mutex lock = {};
  for (int i = 0; i < 3; ++i) {
    std::jthread([&] { t_guard = std::make_unique<LockGuard<Mutex>>(lock); }).join();
    EXPECT_EQ(lock.report().state, LockReport::State::free);
  }
}

TEST(ThreadEnd, ALockTakenByALateDestructorIsMarkedAsWell) {
  static Mutex lock = {};
  static Mutex late = {};
  pthread_key_t key{};
  ASSERT_EQ(pthread_key_create(&key, [](void*) { late.lock(); }), 0);
  std::jthread([&] {
    lock.lock();
    pthread_setspecific(key, &lock);
  }).join();
  expect_marked_and_repair(lock);
  expect_marked_and_repair(late);
  pthread_key_delete(key);
}

TEST(ThreadEnd, LK7_TenThousandShortThreadsLeaveNothing) {
  Mutex lock = {};
  RecursiveMutex recursive = {};
  const auto run = [&](int threads) {
    for (int i = 0; i < threads; ++i) {
      std::jthread([&] {
        const std::scoped_lock hold(lock, recursive);
        const LockGuard again(recursive);
      }).join();
    }
  };
  run(100);
  const auto before = mallinfo2().uordblks;
  run(10'000);
  EXPECT_LT(mallinfo2().uordblks, before + 10'000 * 10) << "bytes in use";
  EXPECT_EQ(lock.report().state, LockReport::State::free);
  EXPECT_EQ(pending(), nullptr);
}

// -------------------------------------------------------------------------------------------------
// What the kernel is told

TEST(KernelHelp, TheLockTakenLastIsPendingWhileItIsHeld) {
  Mutex outer = {};
  RecursiveMutex inner = {};
  EXPECT_EQ(pending(), nullptr);
  outer.lock();
  EXPECT_EQ(pending(), &outer);
  inner.lock();
  EXPECT_EQ(pending(), &inner);
  inner.lock();
  EXPECT_EQ(pending(), &inner);
  inner.unlock();
  EXPECT_EQ(pending(), &inner);
  inner.unlock();
  EXPECT_EQ(pending(), &outer);
  EXPECT_THROW(outer.lock(), std::logic_error);
  EXPECT_EQ(pending(), &outer);
  outer.unlock();
  EXPECT_EQ(pending(), nullptr);
  EXPECT_THROW(outer.unlock(), std::logic_error);
  EXPECT_EQ(pending(), nullptr);
}

TEST(KernelHelp, ALockThatWasNotTakenIsNotPending) {
  Mutex lock = {};
  Mutex outer = {};
  outer.lock();
  std::atomic<int> step = 0;
  std::jthread holder([&] {
    lock.lock();
    step = 1;
    while (step < 2) sched_yield();
  });
  while (step < 1) sched_yield();
  EXPECT_FALSE(lock.try_lock());
  EXPECT_EQ(pending(), &outer);
  EXPECT_FALSE(lock.try_lock_for(20ms));
  EXPECT_EQ(pending(), &outer);
  step = 2;
  holder.join();
  EXPECT_THROW(lock.lock(), OwnerDied);
  EXPECT_EQ(pending(), &outer);
  outer.unlock();
  EXPECT_EQ(pending(), nullptr);
  expect_marked_and_repair(lock);
  EXPECT_EQ(pending(), nullptr);
}

TEST(KernelHelp, LocksMayBeGivenBackInAnyOrder) {
  std::array<Mutex, 3> locks = {};
  for (Mutex& lock : locks) lock.lock();
  locks[0].unlock();
  EXPECT_EQ(pending(), &locks[2]);
  locks[2].unlock();
  EXPECT_EQ(pending(), &locks[1]);
  locks[1].unlock();
  EXPECT_EQ(pending(), nullptr);
  for (const Mutex& lock : locks) EXPECT_EQ(lock.report().state, LockReport::State::free);
}

TEST(KernelHelp, TheKernelMarksAtOnceAndWithoutAnybodysAsking) {
  const Shared<Mutex> lock;
  ChildParty([&] { lock->lock(); }).finish();
  EXPECT_EQ(lock->report().state, LockReport::State::owner_died) << "nobody has asked for it yet";
  expect_marked_and_repair(*lock);
  ChildParty([&] {
    refuse_kernel_help();
    lock->lock();
    EXPECT_EQ(pending(), nullptr);
  }).finish();
  EXPECT_EQ(lock->report().state, LockReport::State::held) << "but not without the kernel's help";
  EXPECT_EQ(lock->acquire(10s), Status::owner_died);
  lock->unlock();
}

TEST(KernelHelp, IsNotAskedForInAnotherPidNamespaceWhereThreadIdsMeanSomethingElse) {
  const Shared<Mutex> lock;
  lock->lock();  // the registry is of this namespace
  lock->unlock();
  const Shared<std::atomic<bool>> refused;
  ChildParty([&] {
    *refused = unshare(CLONE_NEWPID) != 0;
    if (*refused) return;
    const pid_t first = fork();
    if (first == 0) {
      lock->lock();
      const bool as_expected =
          getpid() == 1 && pending() == nullptr && lock->is_owned() && lock->report().thread == 1;
      _exit(as_expected ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(first, &status, 0), first);
    EXPECT_EQ(status, 0);
  }).finish();
  if (*refused) GTEST_SKIP() << "only root may make a pid namespace";
  EXPECT_EQ(lock->report().state, LockReport::State::held) << "the kernel was not to touch it";
  EXPECT_EQ(lock->acquire(10s), Status::owner_died);
  lock->mark_consistent();
  lock->unlock();
}

// -------------------------------------------------------------------------------------------------
// Fork

TEST(Fork, GuardsOfTheParentDoNothingInTheChild) {
  const Shared<Mutex> lock;
  const Shared<RecursiveMutex> recursive;
  for (const bool attaches : {false, true}) {
    {
      // On the heap, so that the child can end them as a scope would.
      auto guard = std::make_unique<LockGuard<Mutex>>(*lock);
      auto twice = std::make_unique<LockGuard<RecursiveMutex>>(*recursive);
      ChildParty child([&] {
        if (attaches) attach();
        guard.reset();
        twice.reset();
        EXPECT_FALSE(lock->try_lock());
        EXPECT_FALSE(recursive->try_lock());
        Mutex own = {};
        const LockGuard hold(own);
        EXPECT_EQ(pending(), &own);
      });
      child.finish();
      EXPECT_TRUE(lock->is_owned());
      EXPECT_TRUE(recursive->is_owned());
    }
    EXPECT_EQ(lock->report().state, LockReport::State::free);
    EXPECT_EQ(recursive->report().state, LockReport::State::free);
  }
}

TEST(Fork, AChildTakesTheLockWhenTheParentGivesItBack) {
  const Shared<Mutex> lock;
  lock->lock();
  Gate there;
  ChildParty child([&] {
    there.open();
    EXPECT_TRUE(lock->try_lock_for(10s));
    EXPECT_TRUE(lock->is_owned());
    lock->unlock();
  });
  there.wait();
  lock->unlock();
  child.finish();
}

TEST(Fork, AChildThatDiesLeavesItsParentsLockAlone) {
  const Shared<Mutex> lock;
  lock->lock();
  ChildParty([] {}).finish();
  ChildParty([&] { std::jthread([&] { EXPECT_FALSE(lock->try_lock()); }).join(); }).finish();
  EXPECT_TRUE(lock->is_owned());
  EXPECT_FALSE(lock->report().marked);
  lock->unlock();
}

// -------------------------------------------------------------------------------------------------
// Beside the C library's robust mutexes

struct Both {
  Mutex ours;
  Mutex inner;
  pthread_mutex_t theirs;
};

void init_robust(pthread_mutex_t& mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ASSERT_EQ(pthread_mutex_init(&mutex, &attributes), 0);
  pthread_mutexattr_destroy(&attributes);
}

TEST(CLibrary, ItsRobustMutexAndOursMayBeHeldTogetherAndBothDeathsAreTold) {
  const Shared<Both> both;
  init_robust(both->theirs);
  // Taken before ours, after it, in between, and given back while ours is held.
  const std::array<std::function<void()>, 5> orders = {
      [&] {
        pthread_mutex_lock(&both->theirs);
        both->ours.lock();
      },
      [&] {
        both->ours.lock();
        pthread_mutex_lock(&both->theirs);
      },
      [&] {
        both->ours.lock();
        pthread_mutex_lock(&both->theirs);
        both->inner.lock();
      },
      [&] {
        both->ours.lock();
        both->inner.lock();
        pthread_mutex_lock(&both->theirs);
        both->inner.unlock();
      },
      [&] {
        pthread_mutex_lock(&both->theirs);
        both->ours.lock();
        pthread_mutex_unlock(&both->theirs);
        pthread_mutex_lock(&both->theirs);
      },
  };
  for (const auto& order : orders) {
    Gate there;
    {
      ChildParty victim([&] {
        order();
        there.open();
        for (;;) pause();
      });
      there.wait();
    }  // kills it
    EXPECT_EQ(pthread_mutex_lock(&both->theirs), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(&both->theirs), 0);
    EXPECT_EQ(pthread_mutex_unlock(&both->theirs), 0);
    EXPECT_EQ(both->ours.acquire(10s), Status::owner_died);
    both->ours.mark_consistent();
    both->ours.unlock();
    if (both->inner.acquire(10s) == Status::owner_died) both->inner.mark_consistent();
    both->inner.unlock();
  }
  pthread_mutex_destroy(&both->theirs);
}

TEST(CLibrary, AThreadsEndTellsBoth) {
  Both both = {};
  init_robust(both.theirs);
  std::jthread([&] {
    both.ours.lock();
    pthread_mutex_lock(&both.theirs);
    both.inner.lock();
  }).join();
  EXPECT_EQ(pthread_mutex_lock(&both.theirs), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(&both.theirs), 0);
  pthread_mutex_unlock(&both.theirs);
  pthread_mutex_destroy(&both.theirs);
  expect_marked_and_repair(both.ours);
  expect_marked_and_repair(both.inner);
}

}  // namespace
}  // namespace sluice::tests
