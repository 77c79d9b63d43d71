// SPDX-License-Identifier: Apache-2.0
//
// All primitives of sync/ together under random kills: eleven processes work on one shared struct.
// For some sixty kills; //tests/crash:sync_soak goes on for 2,000. What each process does besides
// the common work, so that those who wait for each other never wait for others as well:
//
//   0 gives, 1 and 2 take        ConditionVariable
//   3 sends, 4 receives          Semaphore as the bell, Event as the gate, AutoResetEvent back
//   5, 6, 7 meet                 Barrier that breaks
//   8, 9, 10 meet                Barrier that shrinks

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>

#include "sluice/sync/barrier.h"
#include "sluice/sync/barrier_report.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/event.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/once.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/kill_stress.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::KillStress;
using testkit::KillStressOptions;
using testkit::KillStressResult;
using testkit::SharedArea;

constexpr unsigned kWorkers = 11;
constexpr unsigned kFirstToMeet = 5;
constexpr unsigned kMeeting = 3;
constexpr std::uint32_t kPermits = 3;
constexpr std::uint64_t kRoom = 3;

enum Act : std::uint8_t {
  mutex,
  recursive,
  write,
  read,
  permit,
  condition,
  signal,
  meet,
  shrink,
  kActs
};
constexpr std::array<const char*, kActs> kActNames = {
    "Mutex",           "RecursiveMutex",    "SharedMutex, written", "SharedMutex, Once, Latch",
    "OwnedSemaphore",  "ConditionVariable", "Semaphore, Event",     "Barrier, breaks",
    "Barrier, shrinks"};

/// What is changed under a lock: equal, but for a moment, while nobody else looks.
struct Pair {
  std::atomic<std::uint64_t> first, second;

  [[nodiscard]] bool is_whole() const { return first == second; }
  void repair() { second = first.load(); }
};

/// How long acts took, in powers of two of a microsecond.
struct Times {
  std::atomic<std::uint64_t> longest_us;
  std::array<std::atomic<std::uint64_t>, 32> counts;
};

struct Shared {
  Mutex mutex;
  Pair pair;

  RecursiveMutex recursive_mutex;
  Pair recursive_pair;

  SharedMutex<4> shared_mutex;
  Pair shared_pair;
  Once once;
  Latch latch{1};
  std::uint64_t built;

  OwnedSemaphore<4> permits{kPermits};
  std::array<std::atomic<Tag>, kPermits> holders;

  Mutex store_mutex;
  ConditionVariable room, jobs;
  std::uint64_t given, taken;  // each changes in one step; given - taken is at most kRoom

  Semaphore bell{0};
  Event gate;
  AutoResetEvent back;
  std::atomic<std::uint64_t> sent, seen;

  Barrier<4> breaking{kMeeting};
  Barrier<4> shrinking{kMeeting, BarrierOptions{.on_death = OnDeath::shrink}};
  Mutex breaking_reset, shrinking_reset;
  std::array<std::atomic<Tag>, 64> come;  // to breaking; the dead too, until it is whole again
  std::atomic<std::uint64_t> meetings;

  std::array<std::atomic<std::uint64_t>, kWorkers> rounds;
  std::array<std::atomic<Act>, kWorkers> at;
  std::array<Times, kActs> times;
};

void require(bool holds, const char* otherwise) {
  if (!holds) throw std::runtime_error(otherwise);
}

/// One worker process.
class Worker {
 public:
  Worker(Shared& shared, unsigned number) : s_(shared), number_(number), random_(getpid()) {}

  [[noreturn]] void run() {
    // What a predecessor had done, and may not have told.
    if (number_ == 3) {
      s_.gate.set();
      s_.bell.release();
    }
    if (number_ == 4) s_.back.set();
    for (;;) {
      switch (below(8)) {
        case 0:
          timed(Act::mutex, &Worker::change);
          break;
        case 1:
          timed(Act::recursive, &Worker::change_twice);
          break;
        case 2:
          timed(Act::write, &Worker::write);
          break;
        case 3:
          timed(Act::permit, &Worker::hold_a_permit);
          break;
        case 4:
          play_own_part();
          break;
        default:
          timed(Act::read, &Worker::read);
          break;
      }
      ++s_.rounds[number_];
    }
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  void timed(Act act, void (Worker::*what)()) {
    s_.at[number_] = act;
    const auto begin = std::chrono::steady_clock::now();
    (this->*what)();
    const auto took = std::chrono::steady_clock::now() - begin;
    const auto us = static_cast<std::uint64_t>(took / 1us);
    Times& times = s_.times[act];
    ++times.counts[std::min<std::size_t>(std::bit_width(us), times.counts.size() - 1)];
    std::uint64_t longest = times.longest_us;
    while (us > longest && !times.longest_us.compare_exchange_weak(longest, us)) {
    }
  }

  void play_own_part() {
    if (number_ < 3) return timed(Act::condition, &Worker::trade);
    if (number_ == 3) return timed(Act::signal, &Worker::send);
    if (number_ == 4) return timed(Act::signal, &Worker::receive);
    if (number_ < kFirstToMeet + kMeeting) return timed(Act::meet, &Worker::meet);
    timed(Act::shrink, &Worker::meet_who_is_left);
  }

  /// Leaves the pair in halves for a while that may be long.
  void change_pair(Pair& pair) {
    require(pair.is_whole(), "half a change was seen by the next owner");
    const std::uint64_t mine = ++pair.first;
    linger();
    require(pair.first == mine && pair.second == mine - 1, "two owners at a time");
    pair.second = mine;
  }

  void linger() {
    for (std::uint64_t i = below(below(16) == 0 ? 20'000 : 200); i != 0; --i) {
      std::atomic_signal_fence(std::memory_order_seq_cst);  // only for the compiler: it takes time
    }
  }

  void change() {
    s_.mutex.lock([this] { s_.pair.repair(); });
    change_pair(s_.pair);
    if (below(4) == 0) change_twice();  // two locks at once
    s_.mutex.unlock();
  }

  void change_twice() {
    s_.recursive_mutex.lock([this] { s_.recursive_pair.repair(); });
    s_.recursive_mutex.lock();
    change_pair(s_.recursive_pair);
    s_.recursive_mutex.unlock();
    require(s_.recursive_mutex.is_owned(), "the first of two unlock() gave the lock back");
    change_pair(s_.recursive_pair);
    s_.recursive_mutex.unlock();
  }

  void write() {
    s_.shared_mutex.lock([this] { s_.shared_pair.repair(); });
    change_pair(s_.shared_pair);
    std::construct_at(&s_.once);  // nobody uses them: that takes a share of the lock
    std::construct_at(&s_.latch, 1);
    s_.shared_mutex.unlock();
  }

  void read() {
    const Status status = s_.shared_mutex.acquire_shared();
    if (status == Status::owner_died) return write();
    require(status == Status::ok, "a share was refused");
    const std::uint64_t value = s_.shared_pair.first;
    require(s_.shared_pair.second == value, "a reader saw half a change");
    if (below(4) == 0) static_cast<void>(s_.latch.wait(100us));  // sleeps, unless it is built
    s_.once.call([this] { build(); });
    s_.latch.wait();
    require(s_.built == value, "a Once that is done has not been done for this value");
    linger();
    require(s_.shared_pair.first == value && s_.shared_pair.second == value,
            "a writer beside a reader");
    s_.shared_mutex.unlock_shared();
  }

  void build() {
    s_.built = s_.shared_pair.first;
    linger();
    try {
      s_.latch.count_down();
    } catch (const std::logic_error&) {  // one that died in here had opened it
    }
  }

  void hold_a_permit() {
    s_.permits.acquire();
    const Tag me = participant::self();
    const std::size_t place = find_place(me);
    linger();
    if (below(16) == 0) usleep(500);
    require(s_.holders[place].exchange(participant::kNobody) == me, "a permit was taken away");
    s_.permits.release();
  }

  /// There is one for each permit; those of the dead are free. While others come and go one may be
  /// overlooked, but not each time.
  std::size_t find_place(Tag me) {
    for (int look = 0; look < 200; ++look) {
      for (std::size_t place = 0; place < kPermits; ++place) {
        Tag found = s_.holders[place];
        const bool free =
            found == participant::kNobody || participant::probe(found) == Liveness::dead;
        if (free && s_.holders[place].compare_exchange_strong(found, me)) return place;
      }
    }
    throw std::runtime_error("more permits are held than there are");
  }

  void trade() {
    s_.store_mutex.lock([this] { tell_all(); });
    if (number_ == 0) {
      wait_in_store(s_.room, [this] { return s_.given - s_.taken < kRoom; });
      ++s_.given;
      s_.jobs.notify_one();
    } else {
      wait_in_store(s_.jobs, [this] { return s_.given != s_.taken; });
      ++s_.taken;
      s_.room.notify_one();
    }
    require(s_.given - s_.taken <= kRoom, "more was taken than given, or given than there is room");
    s_.store_mutex.unlock();
  }

  template <class Predicate>
  void wait_in_store(ConditionVariable& condition, Predicate predicate) {
    while (condition.wait(s_.store_mutex, predicate) == Status::owner_died) {
      tell_all();
      s_.store_mutex.mark_consistent();
    }
  }

  void tell_all() {
    s_.room.notify_all();
    s_.jobs.notify_all();
  }

  void send() {
    while (s_.seen != s_.sent) s_.back.wait();
    s_.gate.clear();
    ++s_.sent;
    s_.gate.set();
    s_.bell.release();
  }

  void receive() {
    while (s_.seen == s_.sent) {
      if (below(2) == 0) {
        s_.gate.wait();
      } else {
        s_.bell.acquire();
      }
    }
    while (s_.bell.try_acquire()) {
    }
    require(s_.sent - s_.seen == 1, "a sender that did not wait");
    s_.seen = s_.sent.load();
    s_.back.set();
  }

  void meet() {
    std::atomic<Tag>& come = come_to_meeting(participant::self());
    const std::uint64_t before = s_.meetings;
    const BarrierResult all = s_.breaking.wait([this] {
      const auto missing = std::count(s_.come.begin(), s_.come.end(), participant::kNobody);
      require(s_.come.size() - static_cast<std::size_t>(missing) >= kMeeting,
              "a round was completed before all had come");
      ++s_.meetings;
    });
    come = participant::kNobody;
    if (all) require(s_.meetings > before, "let go before the action");
    make_whole(all.status, s_.breaking, s_.breaking_reset, [this] {
      for (std::atomic<Tag>& tag : s_.come) {
        Tag dead = tag;
        if (dead == participant::kNobody || participant::probe(dead) != Liveness::dead) continue;
        tag.compare_exchange_strong(dead, participant::kNobody);
      }
    });
  }

  std::atomic<Tag>& come_to_meeting(Tag me) {
    for (std::atomic<Tag>& tag : s_.come) {
      Tag nobody = participant::kNobody;
      if (tag.compare_exchange_strong(nobody, me)) return tag;
    }
    throw std::runtime_error("the dead are not cleared away");
  }

  void meet_who_is_left() {
    make_whole(s_.shrinking.wait().status, s_.shrinking, s_.shrinking_reset, [] {});
  }

  /// For the first that finds it broken, or has no seat since its predecessor was removed.
  template <class Before>
  static void make_whole(Status status, Barrier<4>& barrier, Mutex& mutex, Before before) {
    if (status == Status::ok) return;
    require(status == Status::broken || status == Status::full, "a barrier is corrupt");
    mutex.lock([] {});
    if (barrier.broken() || barrier.parties() < kMeeting) {
      before();
      require(barrier.reset() == Status::ok, "reset() failed");
    }
    mutex.unlock();
  }

  Shared& s_;
  const unsigned number_;
  std::minstd_rand random_;
};

/// When nobody lives: what is left can be taken, and is whole.
std::string judge(Shared& s) {
  std::ostringstream wrong;
  const auto check = [&](bool holds, const char* what) {
    if (!holds) wrong << what << "; ";
  };
  s.mutex.lock([&] { s.pair.repair(); });
  check(s.pair.is_whole(), "Mutex: half a change");
  s.recursive_mutex.lock([&] { s.recursive_pair.repair(); });
  check(s.recursive_pair.is_whole(), "RecursiveMutex: half a change");
  s.shared_mutex.lock([&] { s.shared_pair.repair(); });
  check(s.shared_pair.is_whole(), "SharedMutex: half a change");
  for (std::uint32_t i = 0; i < kPermits; ++i) {
    check(s.permits.try_acquire(), "OwnedSemaphore: a permit is lost");
  }
  check(!s.permits.try_acquire(), "OwnedSemaphore: a permit too many");
  s.store_mutex.lock([] {});
  check(s.given - s.taken <= kRoom, "ConditionVariable: too many");
  check(s.breaking.reset() == Status::ok && s.breaking.parties() == kMeeting, "Barrier: seats");
  check(s.shrinking.reset() == Status::ok && s.shrinking.parties() == kMeeting, "Barrier: shrunk");
  return wrong.str();
}

void print_times(const Shared& s) {
  for (std::size_t act = 0; act < kActs; ++act) {
    const Times& times = s.times[act];
    std::uint64_t all = 0;
    for (const auto& count : times.counts) all += count;
    const auto below = [&](double share) {
      double left = share * static_cast<double>(all);
      std::size_t i = 0;
      while (i + 1 < times.counts.size() && (left -= static_cast<double>(times.counts[i])) > 0) ++i;
      return std::uint64_t{1} << i;
    };
    std::cout << "[   STRESS ] " << std::left << std::setw(25) << kActNames[act] << std::right
              << std::setw(10) << all << " acts; us: p50 < " << below(0.5) << ", p99 < "
              << below(0.99) << ", max " << times.longest_us << '\n';
  }
}

void print_state(const Shared& s) {
  for (unsigned i = 0; i < kWorkers; ++i) {
    std::cout << "worker " << i << " at " << kActNames[s.at[i]] << ", " << s.rounds[i]
              << " rounds\n";
  }
  std::cout << s.mutex << '\n' << s.recursive_mutex << '\n' << s.shared_mutex << '\n';
  std::cout << s.once << '\n' << s.latch << '\n' << s.permits << '\n';
  std::cout << "store: " << s.store_mutex << "; room: " << s.room << "; jobs: " << s.jobs << "; "
            << s.given << " given, " << s.taken << " taken\n";
  std::cout << s.bell << "; gate: " << s.gate << "; back: " << s.back << "; " << s.sent << " sent, "
            << s.seen << " seen\n";
  std::cout << "breaking: " << s.breaking << "; " << s.breaking_reset << '\n';
  std::cout << "shrinking: " << s.shrinking << "; " << s.shrinking_reset << '\n';
}

TEST(SyncStress, AllPrimitivesGoOnWhoeverIsKilled) {
  SharedArea<Shared> area;
  KillStress stress{.name = "all primitives"};
  stress.workers = kWorkers;
  stress.setup = [&] { area.reset(); };
  stress.work = [&](unsigned worker) { Worker(*area, worker).run(); };
  stress.progress = [&](unsigned worker) { return area->rounds[worker].load(); };
  stress.verdict = [&] { return judge(*area); };
  KillStressOptions options{.duration = 1ms, .min_kills = 60};  // the kills decide
  if (const char* const kills = std::getenv("SLUICE_SOAK_KILLS")) {
    options.min_kills = std::strtoull(kills, nullptr, 10);
  } else {
    options.seed = 1;
  }
  const KillStressResult result = kill_stress(stress, options);
  std::cout << "[   STRESS ] " << result << std::endl;
  print_times(*area);
  if (!result.intact()) print_state(*area);
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_LT(result.longest_pause, 2s);
}

}  // namespace
}  // namespace sluice::tests
