// SPDX-License-Identifier: Apache-2.0
//
// The record queue that ships, under the scheduler: each record once, whole and in order, none lost
// by closing, by growing while it is wrapped, by beginning anew, or by a death; no lost wake-up.
// Beside them mutants, made by an environment that does one thing wrong.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/record_queue.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using internal::QueueState;
using internal::Word;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

// -------------------------------------------------------------------------------------------------
// Environments with one fault. The orders in them are what is tested.

/// Stores of T with release are stores with nothing.
template <class Stored>
struct WeakerStoreEnv : ScheduledEnv {
  template <class T>
  static void store(Word<T>& word, T value, Order order) noexcept {
    if (std::is_same_v<T, Stored>) order = Order::relaxed;  // the fault
    ScheduledEnv::store(word, value, order);
  }
};

struct WeakerLoadEnv : ScheduledEnv {
  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    if (std::is_same_v<T, std::uint64_t>) order = Order::relaxed;  // the fault
    return ScheduledEnv::load(word, order);
  }
};

struct SilentEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& /*word*/, int /*count*/) noexcept {
    return 0;
  }
};

// -------------------------------------------------------------------------------------------------
// What is explored

constexpr std::size_t kStorage = 256;
constexpr std::size_t kBytes = internal::kRecordStorageOffset + kStorage;
constexpr SegmentKind kKind = {.name = "test", .version = 1, .fingerprint = 1};

/// A queue of numbers that begins with 64 bytes, which hold four.
template <class Env>
class World {
 public:
  using Queue = internal::BasicRecordQueue<Env>;

  World()
      : segment_(Segment::create_anonymous(kKind, kBytes, SegmentOptions{},
                                           [](std::span<std::byte> bytes) { format(bytes); })),
        growth_(segment_, internal::kRecordStorageOffset, "a queue"),
        queue_(segment_.object(), &growth_) {}

  /// As it is after so many pushes and pops.
  void renew(int pushes, int pops) {
    std::ranges::fill(segment_.object(), std::byte{0});
    format(segment_.object());
    pushed_ = 0;
    got_ = {};
    for (int i = 0; i < pushes; ++i) static_cast<void>(push(++pushed_));
    std::uint64_t number = 0;
    for (int i = 0; i < pops; ++i) static_cast<void>(pop(number));
  }

  Status push(std::uint64_t number) {
    std::size_t done = 0;
    return queue_.push(
        1, [](std::size_t) { return 8; },
        [&](std::size_t, std::span<std::byte> room) {
          // Relaxed: the queue's own orders must be enough.
          Env::store(word_in(room), number, Order::relaxed);
        },
        done, Deadline::never());
  }

  Status pop(std::uint64_t& number) {
    std::size_t done = 0;
    return queue_.pop(
        1,
        [&](std::span<const std::byte> bytes) {
          require(bytes.size() == 8, "a record of another length");
          // Relaxed: as above.
          number = Env::load(word_in({const_cast<std::byte*>(bytes.data()), 8}), Order::relaxed);
          return Status::ok;
        },
        done, Deadline::never());
  }

  /// Waits for the next; false if there will be none.
  bool take(std::uint64_t& number) {
    for (;;) {
      const Status status = pop(number);
      if (status == Status::ok) return true;
      if (status == Status::closed) return false;
      require(status == Status::empty, "neither taken nor empty");
      const Status woken = queue_.pushed().await(
          Deadline::never(),
          [&] { return queue_.size() != 0 || queue_.state() != QueueState::open; },
          [] { return Status::ok; });
      require(woken == Status::ok, "waited for ever, and returned");
    }
  }

  /// Takes so many, by the thread of that number, and notes them.
  void take_some(std::size_t who, int count) {
    for (int i = 0; i < count; ++i) {
      std::uint64_t number = 0;
      require(take(number), "the end");
      got_.at(who).at(static_cast<std::size_t>(i)) = number;
    }
  }

  Queue& queue() { return queue_; }
  std::array<std::uint64_t, 8>& got(std::size_t who) { return got_.at(who); }

 private:
  static void format(std::span<std::byte> bytes) {
    internal::format_records<Env>(bytes,
                                  {.max_items = 100, .max_bytes = kStorage, .first_window = 64});
  }
  static Word<std::uint64_t>& word_in(std::span<std::byte> room) {
    return *internal::attach_object<Word<std::uint64_t>>(room);
  }

  Segment segment_;
  internal::GrowingMemory growth_;
  Queue queue_;
  std::uint64_t pushed_ = 0;
  std::array<std::array<std::uint64_t, 8>, 3> got_ = {};
};

/// One pushes what follows, the other takes all that is there and comes, and looks once more.
/// `there` of `before` are left at the beginning.
template <class Env>
Scenario passing(World<Env>& world, int before, int there, int pushes) {
  Scenario scenario{.name = std::to_string(there) + " of " + std::to_string(before) +
                            " are there, " + std::to_string(pushes) + " come"};
  scenario.setup = [&world, before, there] { world.renew(before, before - there); };
  scenario.threads.push_back({[&world, before, pushes] {
    for (int i = 1; i <= pushes; ++i) {
      const auto number = static_cast<std::uint64_t>(before + i);
      require(world.push(number) == Status::ok, "not pushed");
    }
  }});
  scenario.threads.push_back({[&world, before, there, pushes] {
    for (int i = 1; i <= there + pushes; ++i) {
      std::uint64_t number = 0;
      require(world.take(number), "the end");
      require(number == static_cast<std::uint64_t>(before - there + i), "not the next");
    }
    std::uint64_t number = 0;
    require(world.pop(number) == Status::empty, "more than were pushed");
  }});
  scenario.check = [&world](const ScheduleEnd&) -> std::string {
    return world.queue().size() == 0 && world.queue().bytes() == 0 ? "" : "not empty";
  };
  return scenario;
}

using QueueScheduled = Scheduled;
using QueueMutant = Scheduled;

TEST_F(QueueScheduled, PassesEachOnceAndInOrder) {
  World<ScheduledEnv> world;
  expect_holds_within_bounds(passing(world, 0, 0, 1), {.preemptions = 2, .old_values = 1});
  expect_holds_within_bounds(passing(world, 1, 1, 2), {.preemptions = 1});
  expect_holds_by_chance(passing(world, 0, 0, 3), {});
}

TEST_F(QueueScheduled, GrowsWhileItIsWrapped) {
  // Five of 16 bytes in 64: the fifth lies at the beginning; one more is moved behind the fourth.
  World<ScheduledEnv> world;
  expect_holds_within_bounds(passing(world, 5, 4, 1), {.preemptions = 1});
  expect_holds_by_chance(passing(world, 5, 4, 1), {});
}

TEST_F(QueueScheduled, BeginsAnewWhenItIsEmpty) {
  // Five at once had made it grow; the last is taken while others come.
  World<ScheduledEnv> world;
  expect_holds_within_bounds(passing(world, 5, 1, 1), {.preemptions = 1});
  expect_holds_by_chance(passing(world, 5, 1, 1), {});
}

template <class Env>
Scenario many(World<Env>& world) {
  Scenario scenario{.name = "two push two each, two take two each"};
  scenario.setup = [&world] { world.renew(0, 0); };
  for (const std::uint64_t who : {0, 1}) {
    scenario.threads.push_back({[&world, who] {
      for (std::uint64_t i = 1; i <= 2; ++i) {
        require(world.push(10 * (who + 1) + i) == Status::ok, "not pushed");
      }
    }});
  }
  for (const std::size_t who : {0, 1}) {
    scenario.threads.push_back({[&world, who] { world.take_some(who, 2); }});
  }
  scenario.check = [&world](const ScheduleEnd&) -> std::string {
    std::array<std::uint64_t, 4> all = {world.got(0)[0], world.got(0)[1], world.got(1)[0],
                                        world.got(1)[1]};
    for (const std::size_t who : {0, 1}) {
      const auto& got = world.got(who);
      if (got[0] / 10 == got[1] / 10 && got[0] > got[1]) return "out of order";
    }
    std::ranges::sort(all);
    return all == std::array<std::uint64_t, 4>{11, 12, 21, 22} ? "" : "not each once";
  };
  return scenario;
}

TEST_F(QueueScheduled, ManyPassEachOnce) {
  World<ScheduledEnv> world;
  expect_holds_by_chance(many(world), {});
}

/// One pushes until it is closed, one closes, one takes to the end.
template <class Env>
Scenario closing(World<Env>& world, bool by_the_pusher) {
  Scenario scenario{.name = by_the_pusher ? "who has pushed closes" : "another closes"};
  scenario.setup = [&world] { world.renew(0, 0); };
  scenario.threads.push_back({[&world, by_the_pusher] {
    for (std::uint64_t i = 1; i <= 2; ++i) {
      const Status status = world.push(i);
      if (status == Status::ok) world.got(2)[0] = i;
      require(status == Status::ok || (status == Status::closed && !by_the_pusher), "not pushed");
    }
    if (by_the_pusher) require(world.queue().close(false) == Status::ok, "not closed");
  }});
  scenario.threads.push_back({[&world] {
    for (std::uint64_t number = 0; world.take(number);) {
      require(number == world.got(0)[0] + 1, "not the next");
      world.got(0)[0] = number;
    }
  }});
  if (!by_the_pusher) {
    scenario.threads.push_back(
        {[&world] { require(world.queue().close(false) == Status::ok, "not closed"); }});
  }
  scenario.check = [&world](const ScheduleEnd&) -> std::string {
    return world.got(0)[0] == world.got(2)[0] ? "" : "pushed, and not taken before the end";
  };
  return scenario;
}

TEST_F(QueueScheduled, ClosingLosesNothing) {
  World<ScheduledEnv> world;
  expect_holds_within_bounds(closing(world, true), {.preemptions = 1});
  expect_holds_by_chance(closing(world, true), {});
  expect_holds_by_chance(closing(world, false), {});
}

// -------------------------------------------------------------------------------------------------
// Deaths

/// One takes two and pushes two (and, of five, moves what is wrapped), and is mortal. The other
/// pushes three and takes what is there. What none of them has taken, the dead one took.
TEST_F(QueueScheduled, ADeathTakesNothingAlong) {
  World<ScheduledEnv> world;
  for (const int before : {1, 5}) {
    Scenario scenario{.name = "one of two is mortal, " + std::to_string(before) + " were pushed"};
    scenario.setup = [&world, before] { world.renew(before, 0); };
    scenario.threads.push_back({[&world] {
                                  for (const std::size_t i : {0, 1}) {
                                    static_cast<void>(world.pop(world.got(0).at(i)));
                                  }
                                  static_cast<void>(world.push(100));
                                  static_cast<void>(world.push(101));
                                },
                                true});
    scenario.threads.push_back({[&world] {
      for (std::uint64_t i = 200; i < 203; ++i) {
        require(world.push(i) == Status::ok, "not pushed");
      }
      std::array<std::uint64_t, 3> last = {};
      for (std::uint64_t number = 0; world.pop(number) == Status::ok;) {
        require(number > last.at(number / 100), "out of order, or twice");
        last.at(number / 100) = number;
        if (number >= 200) ++world.got(1)[0];
        if (number < 100) ++world.got(1)[1];
      }
    }});
    scenario.check = [&world, before](const ScheduleEnd& end) -> std::string {
      std::uint64_t left = world.got(1)[0] + world.got(1)[1];
      std::uint64_t number = 0;
      while (world.pop(number) == Status::ok) left += number / 100 == 1 ? 0 : 1;
      for (const std::size_t i : {0, 1}) {
        left += world.got(0)[i] != 0 && world.got(0)[i] / 100 != 1 ? 1 : 0;
      }
      const auto all = static_cast<std::uint64_t>(before) + 3;
      // `got` is written before the pop's commit: the last of a dead one may be there as well.
      return left == all || (end.died[0] && left == all + 1) ? "" : "lost, or twice";
    };
    // A waiter for the dead one's lock finds out at the end of its slice.
    for (const auto help : {testkit::KernelHelp::full, testkit::KernelHelp::none}) {
      expect_holds_by_chance(scenario, {.deaths = 1, .timeouts = 4, .kernel = help});
    }
  }
}

// -------------------------------------------------------------------------------------------------
// Mutants

TEST_F(QueueMutant, WhoseCommitIsNotReleasedIsFound) {
  World<WeakerStoreEnv<std::uint64_t>> world;
  expect_found(passing(world, 0, 0, 2), {.strategy = Strategy::random}, "");
}

TEST_F(QueueMutant, ThatLooksWithoutAcquireIsFound) {
  World<WeakerLoadEnv> world;
  expect_found(passing(world, 0, 0, 2), {.strategy = Strategy::random}, "");
}

TEST_F(QueueMutant, WhoseEndIsNotReleasedIsFound) {
  World<WeakerStoreEnv<std::uint32_t>> world;
  expect_found(closing(world, true), {.strategy = Strategy::random}, "");
}

TEST_F(QueueMutant, ThatWakesNobodyIsFound) {
  World<SilentEnv> world;
  expect_found(passing(world, 0, 0, 1), {.strategy = Strategy::exhaustive}, "lost wake-up");
}

}  // namespace
}  // namespace sluice::tests
