// SPDX-License-Identifier: Apache-2.0
//
// The checks of testkit/queue_checks.h for calls that wait: who sleeps is woken by what it waits
// for, and by close(). Include that one; it says how to use these.

#ifndef SLUICE_TESTKIT_QUEUE_CHECKS_WAITING_H_
#define SLUICE_TESTKIT_QUEUE_CHECKS_WAITING_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "sluice/testkit/check_items.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/parties.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_under_test.h"

namespace sluice::internal {

/// A queue, threads that sleep in its calls, and a caller who wakes them.
template <class A>
class Bedroom {
 public:
  Bedroom(std::size_t capacity, const testkit::CheckOptions& options)
      : bed_(std::make_shared<Bed>(capacity)), options_(options), dice_(options.seed) {}

  testkit::QueueUnderTest<A>& queue() { return bed_->queue; }
  Parties& parties() { return parties_; }

  /// A thread that pops so many times, or until pop() is false; a step is a pop.
  void start_popper(std::size_t most) {
    parties_.start([bed = bed_, most](Steps& steps) {
      auto&& queue = testkit::party_of(*bed->queue);
      std::uint64_t out = 0;
      for (std::size_t i = 0; i < most && queue.pop(out); ++i) {
        bed->last_popped = out;
        ++steps;
      }
    });
  }
  void start_pusher(std::size_t most) {
    parties_.start([bed = bed_, most](Steps& steps) {
      auto&& queue = testkit::party_of(*bed->queue);
      for (std::size_t i = 0; i < most && queue.push(bed->next++); ++i) ++steps;
    });
  }

  /// One item in or out, by one call or another.
  bool push_one(std::size_t way) {
    const std::uint64_t id = bed_->next++;
    note_call("a push in time");
    if constexpr (testkit::BatchAdapter<A>) {
      if (way % 3 == 2) return queue()->try_push_n(std::span(&id, 1)) == 1;
    }
    return way % 3 == 1 ? queue()->push(id) : queue()->try_push(id);
  }
  bool pop_one(std::size_t way) {
    std::uint64_t out = 0;
    note_call("a pop in time");
    if constexpr (testkit::BatchAdapter<A>) {
      if (way % 3 == 2) return queue()->try_pop_n(std::span(&out, 1)) == 1;
    }
    return way % 3 == 1 ? queue()->pop(out) : queue()->try_pop(out);
  }
  bool fill() {
    bool good = true;
    for (std::size_t i = 0; i < queue().capacity(); ++i) good = push_one(0) && good;
    return good;
  }

  /// Asleep for certain at first; on its way there in later rounds.
  void let_sleep(std::size_t party, std::size_t round) {
    if (round < 6 || round % 256 == 0) {
      parties_.wait_until_asleep(party);
    } else {
      for (std::uint64_t turns = dice_.roll(2000); turns != 0; --turns) asm volatile("");
    }
  }
  /// What is wrong if the only party does not come so far now; `who` is its call.
  std::string expect_step(std::uint64_t step, const std::string& who, const std::string& after) {
    if (parties_.wait_for_step(0, step, options_.patience)) return "";
    if (std::string threw = parties_.threw(); !threw.empty()) return threw;
    if (parties_.has_ended(0)) return who + " -> false, though the queue is open";
    return who + " still sleeps " + patience() + " after " + after;
  }
  /// The same for several parties that are to end.
  std::string expect_all(const std::string& who, const std::string& after) {
    const bool all = parties_.wait_for_all(options_.patience);
    if (std::string threw = parties_.threw(); all || !threw.empty()) return threw;
    std::size_t asleep = 0;
    for (std::size_t i = 0; i < parties_.count(); ++i) asleep += parties_.has_ended(i) ? 0 : 1;
    return std::to_string(asleep) + " of " + std::to_string(parties_.count()) + " " + who +
           " still sleep " + patience() + " after " + after;
  }
  [[nodiscard]] std::uint64_t last_popped() const { return bed_->last_popped; }
  [[nodiscard]] std::uint64_t last_pushed() const { return bed_->next - 1; }

 private:
  /// What lives as long as the last thread.
  struct Bed {
    explicit Bed(std::size_t capacity) : queue(capacity) {}
    testkit::QueueUnderTest<A> queue;
    std::atomic<std::uint64_t> next{0};
    std::atomic<std::uint64_t> last_popped{0};
  };

  [[nodiscard]] std::string patience() const {
    return std::to_string(options_.patience.count()) + " ms";
  }

  std::shared_ptr<Bed> bed_;
  testkit::CheckOptions options_;
  Dice dice_;
  Parties parties_;
};

/// At most so many as may call at once.
inline std::size_t sleepers(std::size_t allowed) { return std::min<std::size_t>(allowed, 4); }

template <class A>
std::string wake_all_poppers(const testkit::CheckOptions& options, std::size_t round) {
  const std::size_t count = sleepers(A::kTraits.consumers);
  Bedroom<A> room(8, options);
  for (std::size_t i = 0; i < count; ++i) room.start_popper(1);
  for (std::size_t i = 0; i < count; ++i) room.let_sleep(i, round);
  if constexpr (testkit::BatchAdapter<A>) {
    if (round % 2 == 1) {
      constexpr std::array<std::uint64_t, 4> kItems = {0, 1, 2, 3};
      const std::size_t got = room.queue()->try_push_n(std::span(kItems).first(count));
      for (std::size_t i = got; i < count; ++i) room.push_one(0);
      return room.expect_all("pop()", "a try_push_n() of " + std::to_string(count));
    }
  }
  for (std::size_t i = 0; i < count; ++i) room.push_one(round);
  return room.expect_all("pop()", std::to_string(count) + " pushes");
}

template <class A>
std::string wake_all_pushers(const testkit::CheckOptions& options, std::size_t round) {
  const std::size_t count = sleepers(A::kTraits.producers);
  Bedroom<A> room(4, options);
  if (room.queue().capacity() < count) return "";
  if (!room.fill()) return "an empty queue takes fewer items than its capacity";
  for (std::size_t i = 0; i < count; ++i) room.start_pusher(1);
  for (std::size_t i = 0; i < count; ++i) room.let_sleep(i, round);
  if constexpr (testkit::BatchAdapter<A>) {
    if (round % 2 == 1) {
      std::array<std::uint64_t, 4> items = {};
      const std::size_t got = room.queue()->try_pop_n(std::span(items).first(count));
      for (std::size_t i = got; i < count; ++i) room.pop_one(0);
      return room.expect_all("push()", "a try_pop_n() of " + std::to_string(count));
    }
  }
  for (std::size_t i = 0; i < count; ++i) room.pop_one(round);
  return room.expect_all("push()", std::to_string(count) + " pops");
}

/// Refuses at once what is pushed, and gives what it has.
template <class A>
std::string follow_a_close(std::size_t items) {
  testkit::QueueFollower<A> queue(4);
  for (std::size_t i = 0; i < items; ++i) queue.push(i);
  queue.close();
  queue.push(100);
  queue.push_without_wait(101);
  queue.pop_without_wait();
  queue.push(102);
  for (std::size_t i = 0; i < items + 1; ++i) queue.pop();
  queue.pop_without_wait();
  queue.push_without_wait(103);
  queue.look_at_size();
  return queue.wrong();
}

template <class A>
std::string close_on_poppers(const testkit::CheckOptions& options, std::size_t round) {
  const std::size_t count = sleepers(A::kTraits.consumers);
  Bedroom<A> room(4, options);
  for (std::size_t i = 0; i < count; ++i) room.start_popper(1);
  for (std::size_t i = 0; i < count; ++i) room.let_sleep(i, round);
  room.queue()->close();
  std::string wrong = room.expect_all("pop()", "close()");
  for (std::size_t i = 0; i < count && wrong.empty(); ++i) {
    if (room.parties().steps(i) != 0) wrong = "pop() -> true of an empty queue, after close()";
  }
  return wrong;
}

template <class A>
std::string close_on_pushers(const testkit::CheckOptions& options, std::size_t round) {
  const std::size_t count = sleepers(A::kTraits.producers);
  Bedroom<A> room(4, options);
  if (!room.fill()) return "an empty queue takes fewer items than its capacity";
  for (std::size_t i = 0; i < count; ++i) room.start_pusher(1);
  for (std::size_t i = 0; i < count; ++i) room.let_sleep(i, round);
  room.queue()->close();
  std::string wrong = room.expect_all("push()", "close()");
  if (!wrong.empty()) return wrong;
  for (std::size_t i = 0; i < count; ++i) {
    if (room.parties().steps(i) != 0) return "push() -> true of a full queue, after close()";
  }
  std::size_t left = 0;
  while (left <= room.queue().capacity() && room.pop_one(0)) ++left;
  if (left == room.queue().capacity()) return "";
  return "closed while full of " + std::to_string(room.queue().capacity()) + " items, it gives " +
         std::to_string(left);
}

}  // namespace sluice::internal

namespace sluice::testkit {

/// A pop() that sleeps is woken by a push, of whatever form, whether it sleeps or is about to.
template <class Kit>
std::string check_sleeping_pop(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  if constexpr (BlockingAdapter<A>) {
    const std::size_t rounds = options.times(2000);
    internal::Bedroom<A> room(8, options);
    room.start_popper(rounds);
    for (std::size_t round = 0; round < rounds; ++round) {
      room.let_sleep(0, round);
      if (room.parties().steps(0) != round) return "pop() came back before anything was pushed";
      if (!room.push_one(round)) return "a push into an empty queue is refused";
      const std::string wrong = room.expect_step(round + 1, "pop()", "a push");
      if (!wrong.empty()) return wrong + " (" + std::to_string(round + 1) + ". push)";
      if (room.last_popped() != room.last_pushed()) return "pop() gave another item than the only";
    }
  }
  return "";
}

/// A push() that sleeps is woken by a pop, of whatever form, whether it sleeps or is about to.
template <class Kit>
std::string check_sleeping_push(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  if constexpr (BlockingAdapter<A> && QueueTraits(A::kTraits).bounded) {
    const std::size_t rounds = options.times(2000);
    internal::Bedroom<A> room(2, options);
    if (!room.fill()) return "an empty queue takes fewer items than its capacity";
    room.start_pusher(rounds);
    for (std::size_t round = 0; round < rounds; ++round) {
      room.let_sleep(0, round);
      if (room.parties().steps(0) != round) return "push() came back while the queue was full";
      if (!room.pop_one(round)) return "a pop of a full queue is refused";
      const std::string wrong = room.expect_step(round + 1, "push()", "a pop");
      if (!wrong.empty()) return wrong + " (" + std::to_string(round + 1) + ". pop)";
    }
  }
  return "";
}

/// As many who sleep are woken as there are items, or places.
template <class Kit>
std::string check_many_sleepers(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  if constexpr (BlockingAdapter<A>) {
    constexpr QueueTraits kTraits = A::kTraits;
    for (std::size_t round = 0; round < options.times(12); ++round) {
      std::string wrong;
      if (kTraits.consumers > 1) wrong = internal::wake_all_poppers<A>(options, round);
      if (wrong.empty() && kTraits.bounded && kTraits.producers > 1) {
        wrong = internal::wake_all_pushers<A>(options, round);
      }
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

/// After close() pushes are refused and pops give what is there; who sleeps is woken.
template <class Kit>
std::string check_close(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  std::string wrong;
  if constexpr (ClosableAdapter<A>) {
    for (const std::size_t items : {0, 1, 3}) {
      if (wrong.empty()) wrong = internal::follow_a_close<A>(items);
    }
    if constexpr (BlockingAdapter<A>) {
      for (std::size_t round = 0; round < options.times(8) && wrong.empty(); ++round) {
        wrong = internal::close_on_poppers<A>(options, round);
        if (!wrong.empty() || !QueueTraits(A::kTraits).bounded) continue;
        wrong = internal::close_on_pushers<A>(options, round);
      }
    }
  }
  return wrong;
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_CHECKS_WAITING_H_
