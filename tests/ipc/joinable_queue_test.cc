// SPDX-License-Identifier: Apache-2.0
//
// JoinableQueue: what users of Python's JoinableQueue rely on (rows JQ1 to JQ3, TQ1, TQ13, QU5), by
// threads, forked children, and processes that meet by name; leases, failures, dead letters, and
// consumers that are killed.
//
//   differs   JQ2: done() is about what this process has taken; it throws std::logic_error

#include "sluice/ipc/joinable_queue.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/joinable_options.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/lock_ways.h"
#include "sluice/tests/support/queue_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Ints = JoinableQueue<int>;
using Texts = JoinableQueue<std::string>;

/// For sleepers whom nothing but a wake-up helps.
constexpr WaitPolicy kNoSlices = {.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h};

void await(const std::atomic<long>& number, long at_least) {
  while (number < at_least) sched_yield();
}

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};

template <class Way>
class JoinableQueueTest : public testing::Test {};
TYPED_TEST_SUITE(JoinableQueueTest, Ways, WayNames);

/// Crash variants: parties that can be killed.
template <class Way>
class JoinableQueueDeaths : public testing::Test {};
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(JoinableQueueDeaths, Processes, WayNames);

/// What `queue` gives now: the item, and which attempt it is; done with it.
std::pair<int, std::uint32_t> work_off(Ints& queue) {
  std::optional<Ints::Task> task;
  if (queue.try_pop(task) != Status::ok) return {-1, 0};
  const std::pair<int, std::uint32_t> seen = {**task, task->attempt()};
  task->done();
  return seen;
}
using Seen = std::pair<int, std::uint32_t>;
const Seen kNothing = {-1, 0};

// -------------------------------------------------------------------------------------------------
// join and done

TYPED_TEST(JoinableQueueTest, JQ1_JoinReturnsWhenAllAreDone) {
  QueueStage<TypeParam, Ints> stage(Capacity(20));
  for (int i = 0; i < 4; ++i) {
    stage.start([](Ints& queue, Notes& notes) {
      for (;;) {
        std::optional<Ints::Task> task = queue.pop();
        if (!task) break;
        std::this_thread::sleep_for(20ms);  // so that the joiner comes before the last is done
        ++notes[0];
        task->done();
      }
    });
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(stage->push(i), Status::ok);
  stage->join();
  EXPECT_EQ(stage.notes()[0], 10);
  EXPECT_EQ(stage->unfinished(), 0U);
  stage->close();
  stage.finish();
}

TYPED_TEST(JoinableQueueTest, JQ2_TQ1_DoneTooOftenIsAnErrorAndChangesNothing) {
  QueueStage<TypeParam, Ints> stage(Capacity(4));
  EXPECT_THROW(stage->done(), std::logic_error);
  for (int round = 0; round < 2; ++round) {
    stage.elsewhere([](Ints& queue, Notes&) {
      EXPECT_THROW(queue.done(), std::logic_error);
      EXPECT_EQ(queue.push(1), Status::ok);
      EXPECT_THROW(queue.done(), std::logic_error);
      EXPECT_EQ(queue.unfinished(), 1U);
      int item = 0;
      EXPECT_EQ(queue.pop(item), Status::ok);
      queue.done();
      EXPECT_THROW(queue.done(), std::logic_error);
      EXPECT_EQ(queue.join(0s), Status::ok);
      EXPECT_EQ(queue.push(2), Status::ok);
      std::optional<Ints::Task> task = queue.pop();
      EXPECT_THROW(queue.done(), std::logic_error) << "a Task is its owner's to end";
      task->done();
      EXPECT_THROW(task->done(), std::logic_error);
      EXPECT_THROW(task->fail(), std::logic_error);
    });
    EXPECT_EQ(stage->unfinished(), 0U);
  }
}

TYPED_TEST(JoinableQueueTest, JQ2_OfManyCallsAtOnceExactlyTheSurplusFails) {
  QueueStage<TypeParam, Ints> stage(Capacity(100));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(stage->push(i), Status::ok);
  for (int party = 0; party < 4; ++party) {
    stage.start([](Ints& queue, Notes& notes) {
      int item = 0;
      for (int i = 0; i < 25; ++i) EXPECT_EQ(queue.pop(item), Status::ok);
      ++notes[0];
      await(notes[0], 4);
      for (int i = 0; i < 30; ++i) {
        try {
          queue.done();
          ++notes[1];
        } catch (const std::logic_error&) {
          ++notes[2];
        }
      }
    });
  }
  stage.finish();
  EXPECT_EQ(stage.notes()[1], 100);
  EXPECT_EQ(stage.notes()[2], 20);
  EXPECT_EQ(stage->join(0s), Status::ok);
}

TYPED_TEST(JoinableQueueTest, JQ3_AllWhoJoinAreWokenByTheLast) {
  QueueStage<TypeParam, Ints> stage(Capacity(4));
  stage->join();
  stage->join();
  EXPECT_EQ(stage->push(1), Status::ok);
  EXPECT_EQ(stage->join(10ms), Status::timeout);
  for (int i = 0; i < 3; ++i) {
    stage.wait_until_asleep(stage.start([](Ints& queue, Notes&) {
      const ScopedWaitPolicy mine(kNoSlices);
      queue.join();
    }));
  }
  EXPECT_EQ(work_off(*stage), Seen(1, 1));
  stage.finish();
}

TYPED_TEST(JoinableQueueTest, JQ3_WhatIsPushedAfterTheLastIsNotWaitedFor) {
  QueueStage<TypeParam, Ints> stage(Capacity(4));
  EXPECT_EQ(stage->push(1), Status::ok);
  for (int i = 0; i < 3; ++i) {
    stage.wait_until_asleep(stage.start([](Ints& queue, Notes&) {
      const ScopedWaitPolicy mine(kNoSlices);
      queue.join();
    }));
  }
  std::optional<Ints::Task> task = stage->pop();
  task->done();
  EXPECT_EQ(stage->push(2), Status::ok);  // before those who are woken have looked
  stage.finish();
  EXPECT_EQ(stage->unfinished(), 1U);
  EXPECT_EQ(stage->join(10ms), Status::timeout);
}

TYPED_TEST(JoinableQueueTest, QU5_WhatIsNotDoneIsWaitedFor) {
  QueueStage<TypeParam, Ints> stage(Capacity(4));
  EXPECT_EQ(stage->push(1), Status::ok);
  std::optional<Ints::Task> task = stage->pop();
  EXPECT_TRUE(stage->empty());
  EXPECT_EQ(stage->leased(), 1U);
  stage.elsewhere([](Ints& queue, Notes&) { EXPECT_EQ(queue.join(10ms), Status::timeout); });
  task->done();
  stage.elsewhere([](Ints& queue, Notes&) { EXPECT_EQ(queue.join(10ms), Status::ok); });
}

TYPED_TEST(JoinableQueueTest, TQ13_ClosingLeavesTheRestToBeDoneUnlessItIsDropped) {
  for (const Remaining remaining : {Remaining::delivered, Remaining::dropped}) {
    QueueStage<TypeParam, Ints> stage(Capacity(4));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(stage->push(i), Status::ok);
    std::optional<Ints::Task> task = stage->pop();
    const int joiner = stage.start([](Ints& queue, Notes&) {
      const ScopedWaitPolicy mine(kNoSlices);
      queue.join();
    });
    stage.wait_until_asleep(joiner);
    stage->close(remaining);
    EXPECT_EQ(stage->unfinished(), remaining == Remaining::dropped ? 1U : 3U);
    EXPECT_EQ(work_off(*stage), remaining == Remaining::dropped ? kNothing : Seen(1, 1));
    EXPECT_EQ(work_off(*stage), remaining == Remaining::dropped ? kNothing : Seen(2, 1));
    task->done();
    stage.finish();
    EXPECT_EQ(stage->bytes(), 0U);
  }
}

// -------------------------------------------------------------------------------------------------
// Failures

TYPED_TEST(JoinableQueueTest, ATaskThatIsNotDoneComesBackInItsPlace) {
  QueueStage<TypeParam, Ints> stage(Capacity(4));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(stage->push(i), Status::ok);
  stage.elsewhere([](Ints& queue, Notes&) {
    std::optional<Ints::Task> zero = queue.pop();
    try {
      const std::optional<Ints::Task> one = queue.pop();
      EXPECT_EQ(**one, 1);
      throw std::runtime_error("no luck");
    } catch (const std::runtime_error&) {
      EXPECT_EQ(work_off(queue), Seen(1, 2));
    }
    zero->fail();
  });
  EXPECT_EQ(work_off(*stage), Seen(0, 2));
  EXPECT_EQ(work_off(*stage), Seen(2, 1));
  EXPECT_EQ(stage->join(0s), Status::ok);
}

TYPED_TEST(JoinableQueueTest, WhatFailsTooOftenIsPutAside) {
  QueueStage<TypeParam, Ints> stage(Capacity(4), {.max_attempts = 3});
  EXPECT_EQ(stage->push(7), Status::ok);
  EXPECT_EQ(stage->push(8), Status::ok);
  for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
    const std::optional<Ints::Task> task = stage->pop();
    EXPECT_EQ(**task, 7);
    EXPECT_EQ(task->attempt(), attempt);
  }
  EXPECT_EQ(work_off(*stage), Seen(8, 1));
  EXPECT_EQ(stage->join(0s), Status::ok);
  stage.elsewhere([](Ints& queue, Notes&) {
    for (int twice = 0; twice < 2; ++twice) {
      const std::vector<Ints::DeadLetter> letters = queue.dead_letters();
      ASSERT_EQ(letters.size(), 1U);
      EXPECT_EQ(letters[0].item, 7);
      EXPECT_EQ(letters[0].attempts, 3U);
    }
    Ints::DeadLetter letter;
    EXPECT_EQ(queue.try_pop_dead_letter(letter), Status::ok);
    EXPECT_EQ(letter.item, 7);
    EXPECT_EQ(queue.try_pop_dead_letter(letter), Status::empty);
  });
  EXPECT_TRUE(stage->dead_letters().empty());
  EXPECT_EQ(stage->bytes(), 0U);
}

TYPED_TEST(JoinableQueueTest, OneFailureIsEnoughIfThatWasChosen) {
  QueueStage<TypeParam, Texts> stage(Capacity(4), {.failed = Failed::put_aside});
  EXPECT_EQ(stage->push(std::string(100, 'x')), Status::ok);
  const int joiner = stage.start([](Texts& queue, Notes&) {
    const ScopedWaitPolicy mine(kNoSlices);
    queue.join();
  });
  stage.wait_until_asleep(joiner);
  stage->pop();
  stage.finish();
  ASSERT_EQ(stage->dead_letters().size(), 1U);
  EXPECT_EQ(stage->dead_letters()[0].item, std::string(100, 'x'));
  EXPECT_EQ(stage->dead_letters()[0].attempts, 1U);
}

TYPED_TEST(JoinableQueueTest, NoLimitOfAttemptsIfNoneWasWished) {
  QueueStage<TypeParam, Ints> stage(Capacity(4), {.max_attempts = 0});
  EXPECT_EQ(stage->push(7), Status::ok);
  for (std::uint32_t attempt = 1; attempt < 100; ++attempt) {
    EXPECT_EQ(stage->pop()->attempt(), attempt);
  }
  EXPECT_EQ(work_off(*stage), Seen(7, 100));
}

TYPED_TEST(JoinableQueueTest, ATaskMoves) {
  QueueStage<TypeParam, Ints> stage(Capacity(4));
  EXPECT_EQ(stage->push(1), Status::ok);
  EXPECT_EQ(stage->push(2), Status::ok);
  Ints::Task one = std::move(*stage->pop());
  Ints::Task two = std::move(*stage->pop());
  one = std::move(two);  // 1 has failed
  EXPECT_EQ(work_off(*stage), Seen(1, 2));
  EXPECT_THROW(two.done(), std::logic_error);
  EXPECT_EQ(*one, 2);
  one.done();
  EXPECT_EQ(stage->join(0s), Status::ok);
}

TYPED_TEST(JoinableQueueTest, ATaskOutlivesItsHandle) {
  QueueStage<TypeParam, Ints> stage(Capacity(4));
  EXPECT_EQ(stage->push(1), Status::ok);
  std::optional<Ints> handle = Ints::from_fd(stage->fd());
  std::optional<Ints::Task> task = handle->pop();
  handle.reset();
  task->done();
  EXPECT_EQ(stage->join(0s), Status::ok);
}

// -------------------------------------------------------------------------------------------------
// Room

TYPED_TEST(JoinableQueueTest, ALeaseHeldForAnHourStopsNobody) {
  QueueStage<TypeParam, Ints> stage(Capacity(8));
  EXPECT_EQ(stage->push(-1), Status::ok);
  std::optional<Ints::Task> kept = stage->pop();
  stage.start([](Ints& queue, Notes&) {
    for (int i = 0; i < 10000; ++i) EXPECT_EQ(queue.push(i), Status::ok);
  });
  stage.start([](Ints& queue, Notes&) {
    for (int i = 0; i < 10000; ++i) {
      std::optional<Ints::Task> task = queue.pop();
      EXPECT_EQ(**task, i);
      task->done();
    }
  });
  stage.finish();
  EXPECT_EQ(stage->join(0s), Status::timeout);
  EXPECT_EQ(**kept, -1);
  kept->done();
  EXPECT_EQ(stage->join(0s), Status::ok);
}

TYPED_TEST(JoinableQueueTest, WhatIsLeasedLeavesRoomForAsManyAsTheCapacity) {
  QueueStage<TypeParam, Ints> stage(Capacity(2));
  stage.elsewhere([](Ints& queue, Notes&) {
    std::vector<Ints::Task> tasks;
    for (int i = 0; i < 1024; ++i) {
      ASSERT_EQ(queue.try_push(i), Status::ok) << queue.refusal(i);
      tasks.push_back(std::move(*queue.pop()));
    }
    EXPECT_EQ(queue.try_push(1), Status::ok);
    EXPECT_EQ(queue.try_push(2), Status::ok);
    EXPECT_EQ(queue.try_push(3), Status::full);
    tasks.clear();
    EXPECT_EQ(queue.size(), 2U);  // never more than the capacity
    EXPECT_EQ(queue.unfinished(), 1026U);
    for (int i = 0; i < 1024; ++i) ASSERT_EQ(work_off(queue), Seen(i, 2));
  });
  EXPECT_EQ(stage->size(), 2U);
}

TYPED_TEST(JoinableQueueTest, WhoWaitsForRoomInBytesIsWokenByDone) {
  QueueStage<TypeParam, Texts> stage(Capacity(10, 640));
  EXPECT_EQ(stage->push(std::string(400, 'a')), Status::ok);
  std::optional<Texts::Task> task = stage->pop();
  stage.wait_until_asleep(stage.start([](Texts& queue, Notes&) {
    const ScopedWaitPolicy mine(kNoSlices);
    EXPECT_EQ(queue.push(std::string(400, 'b')), Status::ok);
  }));
  task->done();
  stage.finish();
  EXPECT_EQ(stage->size(), 1U);
}

TYPED_TEST(JoinableQueueTest, WhatIsLeasedIsNotDroppedForWantOfRoom) {
  QueueStage<TypeParam, Texts> stage(Capacity(10, 640), {.overflow = Overflow::drop_oldest});
  EXPECT_EQ(stage->push(std::string(400, 'a')), Status::ok);
  std::optional<Texts::Task> task = stage->pop();
  stage.elsewhere([](Texts& queue, Notes&) {
    EXPECT_EQ(queue.push("b"), Status::ok);
    EXPECT_EQ(queue.push(std::string(400, 'c')), Status::full);
    EXPECT_EQ(queue.dropped(), 1U);
  });
  EXPECT_EQ(**task, std::string(400, 'a'));
  task->done();
  EXPECT_EQ(stage->push(std::string(400, 'c')), Status::ok);
}

TYPED_TEST(JoinableQueueTest, GrowsWithoutACapacityAndGivesBack) {
  Texts queue;
  const std::string text(200, 't');
  for (int i = 0; i < 20000; ++i) ASSERT_EQ(queue.push(text), Status::ok);
  EXPECT_GT(queue.bytes(), 5000000U);
  for (int i = 0; i < 20000; ++i) {
    auto task = queue.pop();
    ASSERT_EQ(**task, text);
    task->done();
  }
  EXPECT_EQ(queue.bytes(), 0U);
  EXPECT_EQ(queue.push(text), Status::ok);
}

// -------------------------------------------------------------------------------------------------
// Deaths

TYPED_TEST(JoinableQueueDeaths, LeasesOfTheDeadComeBackInTheirPlaces) {
  QueueStage<TypeParam, Ints> stage(Capacity(8));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(stage->push(i), Status::ok);
  const int victim = stage.start([](Ints& queue, Notes& notes) {
    std::optional<Ints::Task> zero = queue.pop();
    int one = 0;
    EXPECT_EQ(queue.pop(one), Status::ok);
    std::optional<Ints::Task> two = queue.pop();
    two->done();
    notes[0] = 1;
    for (;;) pause();
  });
  await(stage.notes()[0], 1);
  EXPECT_EQ(work_off(*stage), Seen(3, 1));
  stage.kill(victim);
  EXPECT_EQ(work_off(*stage), Seen(4, 1));
  EXPECT_EQ(work_off(*stage), Seen(0, 2));
  EXPECT_EQ(work_off(*stage), Seen(1, 2));
  EXPECT_EQ(work_off(*stage), kNothing);
  EXPECT_EQ(stage->join(0s), Status::ok);
}

TYPED_TEST(JoinableQueueDeaths, WhoSleepsInPopGetsTheTaskOfTheDead) {
  QueueStage<TypeParam, Ints> stage(Capacity(8));
  EXPECT_EQ(stage->push(1), Status::ok);
  const int victim = stage.start([](Ints& queue, Notes& notes) {
    const std::optional<Ints::Task> task = queue.pop();
    notes[0] = 1;
    for (;;) pause();
  });
  await(stage.notes()[0], 1);
  const int heir = stage.start([](Ints& queue, Notes&) {
    std::optional<Ints::Task> task = queue.pop();
    EXPECT_EQ(task->attempt(), 2U);
    task->done();
  });
  stage.wait_until_asleep(heir);
  stage.kill(victim);
  stage.finish(heir);
  EXPECT_EQ(stage->join(5s), Status::ok);
}

TYPED_TEST(JoinableQueueDeaths, JoinDoesNotHangOnWhatKillsEverybody) {
  QueueStage<TypeParam, Ints> stage(Capacity(8), {.max_attempts = 3});
  EXPECT_EQ(stage->push(666), Status::ok);
  EXPECT_EQ(stage->push(1), Status::ok);
  for (int i = 0; i < 3; ++i) {
    Process consumer("consumer", [&] {
      while (auto task = stage->pop()) {
        if (**task == 666) raise(SIGKILL);
        task->done();
        if (stage->unfinished() == 0) return;
      }
    });
    consumer.join();
  }
  EXPECT_EQ(stage->join(5s), Status::ok);
  const auto letters = stage->dead_letters();
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(letters[0].item, 666);
  EXPECT_EQ(letters[0].attempts, 3U);
}

TYPED_TEST(JoinableQueueDeaths, AJoinThatSleepsLooksAfterTheLeasesOfTheDead) {
  QueueStage<TypeParam, Ints> stage(Capacity(8), {.max_attempts = 1});
  EXPECT_EQ(stage->push(1), Status::ok);
  const int victim = stage.start([](Ints& queue, Notes& notes) {
    const std::optional<Ints::Task> task = queue.pop();
    notes[0] = 1;
    for (;;) pause();
  });
  await(stage.notes()[0], 1);
  const int joiner = stage.start([](Ints& queue, Notes&) { queue.join(); });
  stage.wait_until_asleep(joiner);
  stage.kill(victim);
  stage.finish(joiner);
  EXPECT_EQ(stage->dead_letters().size(), 1U);
}

TYPED_TEST(JoinableQueueDeaths, ALeaseOfTheDeadDoesNotWaitForTheQueueToRunEmpty) {
  QueueStage<TypeParam, Ints> stage(Capacity(8));
  EXPECT_EQ(stage->push(-1), Status::ok);
  Process victim("victim", [&] {
    const std::optional<Ints::Task> task = stage->pop();
    raise(SIGKILL);
  });
  victim.join();
  bool came_back = false;
  EXPECT_EQ(stage->push(0), Status::ok);
  for (int i = 1; i < 1000 && !came_back; ++i) {
    EXPECT_EQ(stage->push(i), Status::ok);
    came_back = work_off(*stage) == Seen(-1, 2);
  }
  EXPECT_TRUE(came_back);
}

TYPED_TEST(JoinableQueueDeaths, AChildHasNoPartInItsParentsTasks) {
  QueueStage<TypeParam, Ints> stage(Capacity(8));
  EXPECT_EQ(stage->push(1), Status::ok);
  EXPECT_EQ(stage->push(2), Status::ok);
  std::optional<Ints::Task> task = stage->pop();
  int two = 0;
  EXPECT_EQ(stage->pop(two), Status::ok);
  stage.elsewhere([&](Ints& queue, Notes&) {
    EXPECT_THROW(queue.done(), std::logic_error);
    EXPECT_THROW(task->done(), std::logic_error);
    task.reset();
  });
  EXPECT_EQ(stage->leased(), 2U);
  task->done();
  stage->done();
}

TEST(JoinableQueuePrint, TellsWhatItHolds) {
  Ints queue(5, {.max_attempts = 1});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.push(i), Status::ok);
  queue.pop()->fail();
  const std::optional<Ints::Task> task = queue.pop();
  std::ostringstream out;
  out << queue;
  EXPECT_EQ(out.str(),
            "JoinableQueue: 1 of 5 items, 192 of 65856 bytes, open, 1 leased, 1 dead letters");
  queue.detach();
  EXPECT_THROW(static_cast<void>(queue.join(0s)), std::logic_error);
}

TEST(JoinableQueueOpen, AnotherKindOrItemIsRefused) {
  const auto queue = Ints::create("joinable-kind", 4);
  EXPECT_THROW(Texts::open("joinable-kind"), Error);
  EXPECT_THROW(Queue<int>::open("joinable-kind"), Error);
  EXPECT_EQ(Ints::open_or_create("joinable-kind", 9).capacity(), 4U);
}

// done() of one thread must not end what another is about to read.
TEST(JoinableQueueThreads, PopAndDoneOfSeveralThreadsTakeEachItemOnce) {
  constexpr int kItems = 500'000;
  constexpr int kEach = 2;
  JoinableQueue<int> queue(Capacity(2));
  std::vector<std::atomic<int>> taken(kItems);
  std::vector<std::thread> threads;
  for (int p = 0; p < kEach; ++p) {
    threads.emplace_back([&, p] {
      for (int i = p; i < kItems; i += kEach) ASSERT_EQ(queue.push(i), Status::ok);
    });
  }
  for (int c = 0; c < kEach; ++c) {
    threads.emplace_back([&] {
      for (int item = -1; queue.pop(item) == Status::ok; queue.done()) {
        ++taken.at(static_cast<std::size_t>(item));
      }
    });
  }
  threads[0].join();
  threads[1].join();
  queue.close();
  threads[2].join();
  threads[3].join();
  EXPECT_TRUE(std::ranges::all_of(taken, [](const auto& times) { return times == 1; }));
  EXPECT_EQ(queue.unfinished(), 0U);
}

}  // namespace
}  // namespace sluice::tests
