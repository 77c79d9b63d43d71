// SPDX-License-Identifier: Apache-2.0
//
// Runs the parties of a test over one struct of the test's in three ways: as threads, as forked
// children that inherit the memory, and as processes that map it under its name, each at an address
// of its own.
//
//   struct Account { Mutex mutex; std::atomic<int> balance; };
//
//   Stage<ByThreads, Account> stage;     // or ByFork, ByName
//   stage->mutex.lock();                   // the calling thread is a party as well
//   const int other = stage.start([](Account& account) { EXPECT_FALSE(account.mutex.try_lock());
//   }); stage.wait_until_asleep(other);        // likely in its first blocking call stage.finish();
//   // its failures and exceptions fail the test
//
// The struct starts as zeroes and must bear being killed beside: no destructor runs. A party that
// is a process can be killed; one that does not end is killed after kChildLimit.

#ifndef SLUICE_TESTS_SUPPORT_LOCK_WAYS_H_
#define SLUICE_TESTS_SUPPORT_LOCK_WAYS_H_

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/way_names.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {

inline constexpr std::size_t kMostParties = 32;

/// What the parties share: the test's struct, and who they are.
template <class T>
struct Staged {
  static_assert(std::is_trivially_destructible_v<T>);
  T object;
  std::array<std::atomic<pid_t>, kMostParties> threads;  ///< 0 until the party has begun
};

struct ByThreads {
  static constexpr const char* kName = "Threads";
  static constexpr bool kProcesses = false;

  class Party {
   public:
    explicit Party(const std::function<void()>& body) : thread_([body] { run_reporting(body); }) {}
    void finish() { thread_.join(); }

   private:
    std::jthread thread_;
  };

  template <class T>
  class Memory {
   public:
    T& object() { return *object_; }
    void run(const std::function<void(T&)>& body) { body(*object_); }

   private:
    std::unique_ptr<T> object_ = std::make_unique<T>();
  };
};

struct ByFork {
  static constexpr const char* kName = "Fork";
  static constexpr bool kProcesses = true;
  using Party = ChildParty;

  template <class T>
  class Memory {
   public:
    Memory() {
      void* const memory =
          mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) throw std::system_error(errno, std::system_category(), "mmap");
      object_ = new (memory) T();
    }
    ~Memory() { munmap(object_, sizeof(T)); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    T& object() { return *object_; }
    void run(const std::function<void(T&)>& body) { body(*object_); }

   private:
    T* object_;
  };
};

struct ByName {
  static constexpr const char* kName = "Name";
  static constexpr bool kProcesses = true;
  using Party = ChildParty;

  template <class T>
  class Memory {
   public:
    T& object() { return object_in(segment_); }
    void run(const std::function<void(T&)>& body) {
      Segment mine = Segment::open(name_, kKind);
      body(object_in(mine));
    }

   private:
    static constexpr SegmentKind kKind{.name = "test", .version = 1, .fingerprint = sizeof(T)};
    static T& object_in(Segment& segment) {
      return *std::launder(reinterpret_cast<T*>(segment.object().data()));
    }
    static std::string fresh_name() {
      static int last = 0;
      return "stage-" + std::to_string(++last);
    }

    std::string name_ = fresh_name();
    Segment segment_ = Segment::create(name_, kKind, sizeof(T), Lifetime::while_used,
                                       [](std::span<std::byte> bytes) { new (bytes.data()) T(); });
  };
};

template <class Way, class T>
class Stage {
 public:
  T* operator->() { return &memory_.object().object; }
  T& operator*() { return memory_.object().object; }

  /// Starts a party, and returns its number.
  int start(std::function<void(T&)> body) {
    const std::size_t number = parties_.size();
    if (number == kMostParties) throw std::length_error("Stage: too many parties");
    parties_.push_back(std::make_unique<typename Way::Party>([this, number, body] {
      memory_.run([&](Staged<T>& staged) {
        staged.threads[number] = gettid();
        body(staged.object);
      });
    }));
    return static_cast<int>(number);
  }

  /// The thread id of a party, once it has begun; where it is a process, also its process id.
  pid_t thread_of(int party) {
    std::atomic<pid_t>& thread = memory_.object().threads.at(static_cast<std::size_t>(party));
    while (thread == 0) sched_yield();
    return thread;
  }

  /// See tests/sync/asleep.h. Fails the test if the party ends instead.
  void wait_until_asleep(int party) {
    EXPECT_TRUE(tests::wait_until_asleep(thread_of(party))) << "party " << party << " has ended";
  }

  /// Waits for one party's end, and reports its failures.
  void finish(int party) {
    std::unique_ptr<typename Way::Party>& it = parties_.at(static_cast<std::size_t>(party));
    it->finish();
    it.reset();
  }

  /// The same for all that are left.
  void finish() {
    for (auto& party : parties_) {
      if (party) party->finish();
      party.reset();
    }
  }

  /// Makes room for new parties: drops those at the end of the list that have ended.
  void forget_finished() {
    while (!parties_.empty() && !parties_.back()) {
      parties_.pop_back();
      memory_.object().threads.at(parties_.size()) = 0;
    }
  }

  /// Kills a party that is a process, and collects it.
  void kill(int party) {
    static_assert(Way::kProcesses);
    parties_.at(static_cast<std::size_t>(party)).reset();
  }

 private:
  typename Way::template Memory<Staged<T>> memory_;  // outlives the parties
  std::vector<std::unique_ptr<typename Way::Party>> parties_;
};

/// For TYPED_TEST_SUITE(..., Ways, WayNames).
using Ways = testing::Types<ByThreads, ByFork, ByName>;

/// A way and a kind of lock, to be tried with each other.
template <class W, class L>
struct LockCase {
  using Way = W;
  using Lock = L;
};

/// Names them in the output: LockBehaviour/Fork_RecursiveMutex.LK1_...
template <class Plain>
struct LockCaseNames {
  template <class Case>
  static std::string GetName(int) {
    return std::string(Case::Way::kName) +
           (std::is_same_v<typename Case::Lock, Plain> ? "_Mutex" : "_RecursiveMutex");
  }
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_LOCK_WAYS_H_
