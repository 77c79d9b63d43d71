// SPDX-License-Identifier: Apache-2.0
//
// What the headers of sync/ allow in a signal handler, while the interrupted thread is anywhere
// within a call on the same object. Twice: with SIGALRM a thousand times a second, and with an
// environment that calls the handler after each step on shared memory. OwnedSemaphore and
// BoundedSemaphore: semaphore_test.cc.

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/event.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/once.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace {

/// Counts this thread's allocations.
constinit thread_local std::uint64_t t_allocations = 0;

}  // namespace

// Not inlined: gcc takes malloc and free for a pair that does not belong together otherwise.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++t_allocations;
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

/// What a lock protects: equal, but for a moment, while nobody else looks.
struct Pair {
  std::atomic<std::uint64_t> first, second;

  [[nodiscard]] bool is_whole() const { return first == second; }
  void change() {
    ++first;
    ++second;
  }
};

template <class Env>
struct Objects {
  BasicMutex<Env> mutex, other_mutex;
  Pair pair;
  BasicSharedMutex<Env, 2> shared_mutex;
  Pair shared_pair;
  BasicSemaphore<Env, Bounded::no> semaphore{1};
  std::atomic<int> inside;  ///< how many have the permit
  BasicEvent<Env> event;
  BasicEventCount<Env> event_count;
  BasicLatch<Env> open, closed{1};
  BasicOnce<Env> done, not_done;

  std::size_t others = 0;  ///< threads that read all the time

  // Of the handler's calls.
  std::atomic<std::uint64_t> calls, locked, shared, written, acquired, wrong, allocated;
};

/// What the handler does. All that it takes it gives back before it returns.
template <class Env>
void handle(Objects<Env>& o) {
  if (o.mutex.try_lock()) {
    o.wrong += o.pair.is_whole() ? 0 : 1;
    o.pair.change();
    o.mutex.unlock();
    ++o.locked;
  }
  if (o.other_mutex.try_lock()) o.other_mutex.unlock();
  if (o.shared_mutex.try_lock_shared()) {
    const bool keeps_writers_out = o.shared_mutex.readers() > o.others ||
                                   o.shared_mutex.report().state == LockReport::State::held;
    o.wrong += keeps_writers_out && o.shared_pair.is_whole() ? 0 : 1;
    o.shared_mutex.unlock_shared();
    ++o.shared;
  }
  if (o.shared_mutex.try_lock()) {
    o.wrong += o.shared_pair.is_whole() ? 0 : 1;
    o.shared_pair.change();
    o.shared_mutex.unlock();
    ++o.written;
  }
  if (o.semaphore.try_acquire()) {
    o.wrong += o.inside == 0 ? 0 : 1;
    o.semaphore.release();
    ++o.acquired;
  }
  o.calls % 2 == 0 ? o.event.set() : o.event.clear();
  o.event_count.notify_one();
  o.event_count.notify_all();
  const bool as_they_are =
      o.open.try_wait() && !o.closed.try_wait() && o.done.done() && !o.not_done.done();
  o.wrong += as_they_are ? 0 : 1;
}

template <class Env>
void count_and_handle(Objects<Env>& o) {
  const std::uint64_t before = t_allocations;
  try {
    handle(o);
  } catch (...) {
    ++o.wrong;
  }
  o.allocated += t_allocations - before;
  ++o.calls;
}

template <class Env>
void lock_and_change(Objects<Env>& o) {
  {
    const std::scoped_lock hold(o.mutex);
    o.wrong += o.pair.is_whole() ? 0 : 1;
    o.pair.change();
    const std::scoped_lock also(o.other_mutex);
  }
  {
    const std::scoped_lock writing(o.shared_mutex);
    o.wrong += o.shared_pair.is_whole() ? 0 : 1;
    o.shared_pair.change();
  }
}

template <class Env>
void read(Objects<Env>& o) {
  o.shared_mutex.lock_shared();
  o.wrong += o.shared_pair.is_whole() ? 0 : 1;
  o.shared_mutex.unlock_shared();
}

/// What the interrupted thread does.
template <class Env>
void use(Objects<Env>& o) {
  lock_and_change(o);
  if (o.mutex.try_lock()) o.mutex.unlock();
  read(o);
  o.shared_mutex.lock_shared();
  read(o);  // a second share
  o.shared_mutex.unlock_shared();
  o.semaphore.acquire();
  o.wrong += o.inside++ == 0 ? 0 : 1;
  --o.inside;
  o.semaphore.release();
  static_cast<void>(o.event.wait(100us));
  o.event.clear();
  static_cast<void>(
      o.event_count.await(100us, [&] { return o.event.is_set(); }, [] { return Status::ok; }));
  static_cast<void>(o.closed.wait(10us));
}

template <class Env>
void begin(Objects<Env>& o) {
  o.done.call([] {});
  use(o);  // the first use attaches, and allocates
}

template <class Env>
void expect_sound(const Objects<Env>& o) {
  EXPECT_EQ(o.wrong, 0U);
  EXPECT_EQ(o.allocated, 0U);
  EXPECT_TRUE(o.pair.is_whole() && o.shared_pair.is_whole());
  EXPECT_GT(o.locked, 0U);
  EXPECT_LT(o.locked, o.calls);
  EXPECT_GT(o.shared, 0U);
  EXPECT_LT(o.shared, o.calls);
  EXPECT_GT(o.written, 0U);
  EXPECT_LT(o.written, o.calls);
  EXPECT_GT(o.acquired, 0U);
}

// -------------------------------------------------------------------------------------------------
// SIGALRM

using RealObjects = Objects<internal::RealLockEnv>;

constinit RealObjects* g_objects = nullptr;

void handle_alarm(int) { count_and_handle(*g_objects); }

/// A thousand times per second, in the threads that do not block it.
class Alarm {
 public:
  explicit Alarm(RealObjects& objects) {
    g_objects = &objects;
    struct sigaction action{};
    action.sa_handler = handle_alarm;
    sigaction(SIGALRM, &action, &before_);
    const itimerval each_ms{.it_interval = {0, 1000}, .it_value = {0, 1000}};
    setitimer(ITIMER_REAL, &each_ms, nullptr);
  }
  ~Alarm() {
    const itimerval never{};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

 private:
  struct sigaction before_{};
};

TEST(InSignalHandler, TriesReleasesAndNotifiesWhileAnotherThreadHoldsTheSameThings) {
  RealObjects objects;
  begin(objects);
  std::atomic<bool> over = false;
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &alarm, nullptr);  // inherited by the other thread
  std::jthread other([&] {
    while (!over) {
      lock_and_change(objects);
      read(objects);
    }
  });
  pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  {
    const Alarm thousand_times_a_second(objects);
    while (objects.calls < 1000) use(objects);
  }
  over = true;
  other.join();
  expect_sound(objects);
}

// -------------------------------------------------------------------------------------------------
// After each step

/// Calls a handler after each change of a word in shared memory, and before each look at one.
struct InterruptedEnv : internal::RealLockEnv {
  using Handler = void (*)();
  static inline constinit thread_local Handler handler = nullptr;

  static void interrupt() noexcept {
    if (const Handler now = std::exchange(handler, nullptr)) {
      now();
      handler = now;
    }
  }

  template <class T>
  static T load(const internal::Word<T>& word, std::memory_order order) noexcept {
    interrupt();
    return RealEnv::load(word, order);
  }
  template <class T>
  static void store(internal::Word<T>& word, T value, std::memory_order order) noexcept {
    interrupt();
    RealEnv::store(word, value, order);
    interrupt();
  }
  template <class T>
  static bool cas(internal::Word<T>& word, T& expected, T desired,
                  std::memory_order order) noexcept {
    interrupt();
    const bool done = RealEnv::cas(word, expected, desired, order);
    interrupt();
    return done;
  }
  template <class T>
  static T fetch_add(internal::Word<T>& word, T value, std::memory_order order) noexcept {
    interrupt();
    const T before = RealEnv::fetch_add(word, value, order);
    interrupt();
    return before;
  }
  template <class T>
  static T fetch_or(internal::Word<T>& word, T bits, std::memory_order order) noexcept {
    interrupt();
    const T before = RealEnv::fetch_or(word, bits, order);
    interrupt();
    return before;
  }
};

using InterruptedObjects = Objects<InterruptedEnv>;

TEST(InSignalHandler, MayComeBetweenAnyTwoSteps) {
  static InterruptedObjects objects;
  begin(objects);
  InterruptedEnv::handler = [] { count_and_handle(objects); };
  for (int i = 0; i < 100; ++i) use(objects);
  InterruptedEnv::handler = nullptr;
  expect_sound(objects);
}

/// A thread that holds something as long as this lives.
class Holder {
 public:
  template <class Take, class GiveBack>
  Holder(Take take, GiveBack give_back)
      : thread_([this, take, give_back] {
          take();
          taken_.count_down();
          over_.wait();
          give_back();
        }) {
    taken_.wait();
  }
  ~Holder() { over_.count_down(); }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  Latch taken_{1}, over_{1};
  std::jthread thread_;
};

TEST(InSignalHandler, NoShareIsHadBesideAWriter) {
  static InterruptedObjects objects;
  begin(objects);
  auto& mutex = objects.shared_mutex;
  const Holder writer([&] { mutex.lock(); }, [&] { mutex.unlock(); });
  InterruptedEnv::handler = [] { count_and_handle(objects); };
  EXPECT_FALSE(mutex.try_lock_shared());
  EXPECT_FALSE(mutex.try_lock());
  EXPECT_FALSE(mutex.try_lock_shared_for(1ms));
  InterruptedEnv::handler = nullptr;
  EXPECT_GT(objects.calls, 0U);
  EXPECT_EQ(objects.shared + objects.written + objects.wrong, 0U);
}

TEST(InSignalHandler, AShareWithoutACellIsOneToo) {
  static InterruptedObjects objects;
  begin(objects);
  auto& mutex = objects.shared_mutex;
  const Holder one([&] { mutex.lock_shared(); }, [&] { mutex.unlock_shared(); });
  const Holder two([&] { mutex.lock_shared(); }, [&] { mutex.unlock_shared(); });
  objects.others = 2;  // as many as there are cells
  InterruptedEnv::handler = [] { count_and_handle(objects); };
  for (int i = 0; i < 10; ++i) {
    mutex.lock_shared();
    read(objects);
    mutex.unlock_shared();
  }
  InterruptedEnv::handler = nullptr;
  EXPECT_GT(objects.shared, 0U);
  EXPECT_EQ(objects.written + objects.wrong, 0U);
}

}  // namespace
}  // namespace sluice::tests
