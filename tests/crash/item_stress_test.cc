// SPDX-License-Identifier: Apache-2.0
//
// JoinableQueue, PriorityQueue and Deque between producers and consumers, which are killed at
// random and replaced. Of a PriorityQueue and a Deque, each item whose push had returned is popped
// exactly once, unless its taker died with it. Of a JoinableQueue, each is done in the end: never
// two of the living have it, none comes again that somebody was done with, and those of one
// producer come in their order the first time. None is torn.

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include "sluice/ipc/deque.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/priority_queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/kill_stress.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/stress_item.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::KillStress;
using testkit::KillStressResult;
using testkit::SharedArea;

/// What is known of each item, outside of the queue.
enum Known : std::uint8_t {
  kAcknowledged = 1,  ///< its push had returned
  kEnding = 2,        ///< somebody was about to be done with it, or has taken it for good
  kDone = 4,          ///< that had returned
};

struct Shared {
  std::array<std::atomic<std::uint64_t>, kProducers> attempted;
  std::array<std::array<std::atomic<std::uint8_t>, kMost>, kProducers> known;
  /// The life that has got a task last.
  std::array<std::array<std::atomic<std::uint32_t>, kMost>, kProducers> holder;
  std::array<std::atomic<std::uint64_t>, kWorkers> rounds;
  std::array<std::atomic<std::uint32_t>, kWorkers> lives;
};

[[noreturn]] void stop(const char* why) {
  std::cerr << "a worker stops: " << why << std::endl;
  std::abort();
}

template <class Push>
void produce(Shared& shared, unsigned producer, Push push) {
  for (;;) {
    // A predecessor may have pushed the number that it had attempted: it is not used again.
    const std::uint64_t n = shared.attempted[producer];
    ++shared.rounds[producer];
    if (n >= kMost) continue;
    shared.attempted[producer] = n + 1;
    Status status = Status::timeout;
    while (status == Status::timeout) {
      status = push(StressItem::of(producer, n));
      ++shared.rounds[producer];
    }
    if (status != Status::ok) stop("push");
    shared.known[producer][n].fetch_or(kAcknowledged);
  }
}

template <class Pop>
void consume(Shared& shared, unsigned worker, Pop pop) {
  for (;;) {
    StressItem item;
    const Status status = pop(item);
    ++shared.rounds[worker];
    if (status == Status::timeout) continue;
    if (status != Status::ok || !item.is_sound()) stop("pop");
    if ((shared.known[item.producer][item.number].fetch_or(kDone) & kDone) != 0) stop("twice");
  }
}

using Tasks = JoinableQueue<StressItem>;

/// Which life that is: its worker in the lowest bits.
std::uint32_t life_of(const Shared& shared, unsigned worker) {
  return shared.lives[worker] * kWorkers + worker;
}
void work_on(Shared& shared, unsigned worker, Tasks::Task& task) {
  const std::uint32_t me = life_of(shared, worker);
  auto& holder = shared.holder[task->producer][task->number];
  auto& known = shared.known[task->producer][task->number];
  holder = me;
  if ((known & kDone) != 0) stop("what was done came again");
  sched_yield();
  if (holder != me) stop("another has it as well");
  if (task->number % 5 == 0 && task.attempt() == 1) return task.fail();
  known.fetch_or(kEnding);
  task.done();
  known.fetch_or(kDone);
}

void work(Tasks& tasks, Shared& shared, unsigned worker) {
  std::array<std::uint64_t, kProducers> next = {};
  for (;;) {
    std::optional<Tasks::Task> task;
    const Status status = tasks.pop(task, 1s);
    ++shared.rounds[worker];
    if (status == Status::timeout) continue;
    if (status != Status::ok || !(*task)->is_sound()) stop("pop");
    if (task->attempt() == 1) {
      if ((*task)->number < next[(*task)->producer]) stop("out of order");
      next[(*task)->producer] = (*task)->number + 1;
    }
    work_on(shared, worker, *task);
  }
}

/// What of the acknowledged nobody has had, but for one with each that died.
std::string missing(const Shared& shared) {
  std::uint64_t lost = 0;
  for (unsigned p = 0; p < kProducers; ++p) {
    std::uint64_t acknowledged = 0;
    for (std::uint64_t n = 0; n < shared.attempted[p]; ++n) {
      const std::uint8_t known = shared.known[p][n];
      acknowledged += known & kAcknowledged;
      lost += (known & (kAcknowledged | kDone)) == kAcknowledged ? 1 : 0;
    }
    if (acknowledged < 10) return "hardly anything was pushed";
  }
  std::uint64_t deaths = 0;
  for (unsigned w = kProducers; w < kWorkers; ++w) deaths += shared.lives[w];
  return lost <= deaths ? "" : std::to_string(lost) + " lost by " + std::to_string(deaths);
}

/// Ends all that is left: who had a task is dead.
std::string finish_all(Tasks& tasks, Shared& shared) {
  std::optional<Tasks::Task> task;
  Status status = Status::ok;
  while ((status = tasks.try_pop(task)) == Status::ok) {
    if (!(*task)->is_sound()) return "torn";
    const auto before = shared.known[(*task)->producer][(*task)->number].fetch_or(kEnding | kDone);
    if ((before & kDone) != 0) return "what was done came again";
    task->done();
  }
  if (status != Status::empty) return "try_pop: " + std::string(to_string(status));
  if (tasks.join(5s) != Status::ok) return "it can't be joined";
  if (tasks.bytes() != 0 || !tasks.dead_letters().empty()) return "something is left";
  for (unsigned p = 0; p < kProducers; ++p) {
    for (std::uint64_t n = 0; n < shared.attempted[p]; ++n) {
      // Nobody was even about to be done with it, though it was pushed.
      if (shared.known[p][n] == kAcknowledged) return "lost: number " + std::to_string(n);
    }
  }
  return missing(shared);
}

template <class Work, class Verdict>
void run(const char* name, Work work_as, Verdict verdict) {
  SharedArea<Shared> area;
  KillStress stress{.name = name};
  stress.workers = kWorkers;
  stress.work = [&](unsigned worker) {
    ++area->lives[worker];
    work_as(*area, worker);
  };
  stress.progress = [&](unsigned worker) { return area->rounds[worker].load(); };
  stress.verdict = [&] { return verdict(*area); };
  const KillStressResult result = kill_stress(stress, stress_options());
  std::cout << "[   STRESS ] " << result << "; pushed " << area->attempted[0] << " and "
            << area->attempted[1] << std::endl;
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_LT(result.longest_pause, 10s);
}

TEST(ItemStress, JoinableEachTaskIsDoneInTheEnd) {
  Tasks tasks(Capacity(20, 8000), {.max_attempts = 0});
  run(
      "a joinable queue",
      [&](Shared& shared, unsigned worker) {
        if (worker >= kProducers) work(tasks, shared, worker);
        produce(shared, worker, [&](const StressItem& item) { return tasks.push(item, 1s); });
      },
      [&](Shared& shared) { return finish_all(tasks, shared); });
}

TEST(ItemStress, PriorityNothingIsLostButWithTheDead) {
  PriorityQueue<StressItem> queue(Capacity(20, 4000));
  run(
      "a priority queue",
      [&](Shared& shared, unsigned worker) {
        if (worker >= kProducers) {
          consume(shared, worker, [&](StressItem& item) { return queue.pop(item, 1s); });
        }
        produce(shared, worker, [&](const StressItem& item) { return queue.push(item, 1s); });
      },
      [&](Shared& shared) -> std::string {
        StressItem item;
        std::optional<StressItem> last;
        while (queue.try_pop(item) == Status::ok) {
          if (!item.is_sound()) return "torn";
          if (last && item < *last) return "out of order";
          if ((shared.known[item.producer][item.number].fetch_or(kDone) & kDone) != 0) {
            return "twice";
          }
          last = item;
        }
        return queue.bytes() == 0 ? missing(shared) : "something is left";
      });
}

TEST(ItemStress, DequeNothingIsLostButWithTheDead) {
  // Grows, and gives back.
  Deque<StressItem> row(Capacity::unlimited(1 << 20), {.overflow = Overflow::block});
  run(
      "a deque",
      [&](Shared& shared, unsigned worker) {
        if (worker >= kProducers) {
          consume(shared, worker, [&, front = true](StressItem& item) mutable {
            front = !front;
            return front ? row.pop_front(item, 1s) : row.pop_back(item, 1s);
          });
        }
        produce(shared, worker, [&](const StressItem& item) {
          return item.number % 2 == 0 ? row.push_front(item, 1s) : row.push_back(item, 1s);
        });
      },
      [&](Shared& shared) -> std::string {
        StressItem item;
        while (row.try_pop_back(item) == Status::ok) {
          if (!item.is_sound()) return "torn";
          if ((shared.known[item.producer][item.number].fetch_or(kDone) & kDone) != 0) {
            return "twice";
          }
        }
        return row.bytes() == 0 ? missing(shared) : "something is left";
      });
}

}  // namespace
}  // namespace sluice::tests
