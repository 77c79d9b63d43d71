// SPDX-License-Identifier: Apache-2.0
//
// The behaviour that users of Python's Queue and SimpleQueue rely on, held against ours (rows QU,
// TQ and SQ), by threads, forked children, and processes that meet by name.
//
//   here                 QU3, QU4, QU7, QU8, QU10 to QU15, TQ5, TQ7 to TQ12, SQ1 to SQ4, SQ6 to
//   SQ9;
//                        deaths of who pushes and who pops
//   joinable queues      QU5, TQ1, TQ13
//   nothing to test      QU6 (no import lock), QU9 (nothing is encoded in the background), TQ6 (the
//                        capacity is fixed), SQ10 (one implementation)
//
// QU11, SQ4: empty() of a closed queue is still told, as size() is; of a detached handle it throws.
// QU14, SQ6: a deadline that has passed, negative or not, means: once.

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"
#include "sluice/tests/support/moody.h"
#include "sluice/tests/support/queue_ways.h"
#include "sluice/tests/support/way_names.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// How much later than its deadline a call may return on a machine that does other things as well.
/// The lower bound has no such slack.
constexpr auto kLate = 1s;

/// For sleepers whom nothing but a wake-up helps.
constexpr WaitPolicy kNoSlices = {.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h};

void await(const std::atomic<long>& number, long at_least) {
  while (number < at_least) sched_yield();
}

void await_either(const Notes& notes) {
  while (notes[0] + notes[1] == 0) sched_yield();
}

template <class Way>
class QueueBehaviour : public testing::Test {
 protected:
  using Ints = QueueStage<Way, Queue<int>>;
  using Longs = QueueStage<Way, Queue<std::uint64_t>>;
  using Moods = QueueStage<Way, Queue<Moody>>;
};
TYPED_TEST_SUITE(QueueBehaviour, Ways, WayNames);

/// Crash variants: parties that can be killed.
template <class Way>
class QueueDeaths : public QueueBehaviour<Way> {};
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(QueueDeaths, Processes, WayNames);

void expect_next(Queue<int>& queue, int first, int last) {
  for (int i = first; i <= last; ++i) {
    int got = -1;
    ASSERT_EQ(queue.try_pop(got), Status::ok) << i;
    ASSERT_EQ(got, i);
  }
}

void expect_empty(Queue<int>& queue) {
  int got = 0;
  EXPECT_EQ(queue.try_pop(got), Status::empty);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.size(), 0U);
  EXPECT_EQ(queue.bytes(), 0U);
}

// -------------------------------------------------------------------------------------------------
// Order and counting

TYPED_TEST(QueueBehaviour, QU3_WhatAnotherPushesComesAfterAndNothingComesTwice) {
  typename TestFixture::Ints stage(Capacity(100));
  for (int i = 0; i < 10; ++i) EXPECT_EQ(stage->push(i), Status::ok);
  stage.elsewhere([](Queue<int>& queue, Notes&) {
    for (int i = 10; i < 20; ++i) EXPECT_EQ(queue.push(i), Status::ok);
  });
  expect_next(*stage, 0, 19);
  expect_empty(*stage);
}

TYPED_TEST(QueueBehaviour, QU4_SizeIsExactAtRest) {
  typename TestFixture::Ints stage(Capacity(2));
  stage.elsewhere([](Queue<int>& queue, Notes&) {
    std::vector<std::size_t> sizes = {queue.size()};
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(queue.push(i), Status::ok);
      EXPECT_FALSE(queue.empty());
      sizes.push_back(queue.size());
    }
    EXPECT_TRUE(queue.full());
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(queue.pop(), i);
      EXPECT_FALSE(queue.full());
      sizes.push_back(queue.size());
    }
    EXPECT_EQ(sizes, (std::vector<std::size_t>{0, 1, 2, 1, 0}));
  });
}

TYPED_TEST(QueueBehaviour, QU4_SizeNeverLeavesItsBoundsWhileOthersWork) {
  typename TestFixture::Ints stage(Capacity(5));
  stage.start([](Queue<int>& queue, Notes& notes) {
    for (int i = 0; i < 3000; ++i) EXPECT_EQ(queue.push(i), Status::ok);
    notes[0] = 1;
  });
  stage.start([](Queue<int>& queue, Notes&) {
    for (int i = 0; i < 3000; ++i) EXPECT_EQ(queue.pop(), i);
  });
  while (stage.notes()[0] == 0) {
    EXPECT_LE(stage->size(), 5U);
    EXPECT_LE(stage->bytes(), stage->capacity_bytes());
    sched_yield();
  }
  stage.finish();
  expect_empty(*stage);
}

TYPED_TEST(QueueBehaviour, TQ5_ExactlyAsManyAsWereAskedFor) {
  for (const std::size_t n : {1, 2, 3, 7, 100}) {
    typename TestFixture::Ints stage{Capacity(n)};
    EXPECT_EQ(stage->capacity(), n);
    // Thrice, so that each round begins elsewhere in the ring.
    for (int round = 0; round < 3; ++round) {
      stage.elsewhere([n](Queue<int>& queue, Notes&) {
        for (std::size_t i = 0; i < n; ++i) {
          ASSERT_EQ(queue.try_push(static_cast<int>(i)), Status::ok);
        }
        EXPECT_TRUE(queue.full());
        EXPECT_EQ(queue.try_push(9), Status::full);
      });
      EXPECT_EQ(stage->size(), n);
      expect_next(*stage, 0, static_cast<int>(n) - 1);
      expect_empty(*stage);
    }
  }
}

TYPED_TEST(QueueBehaviour, SQ1_EmptyIsToldAsItIs) {
  QueueStage<TypeParam, Queue<bool>> stage(Capacity(10));
  EXPECT_TRUE(stage->empty());
  stage.elsewhere([](Queue<bool>& queue, Notes&) {
    EXPECT_EQ(queue.push(queue.empty()), Status::ok);
    EXPECT_EQ(queue.push(queue.empty()), Status::ok);
  });
  EXPECT_FALSE(stage->empty());
  EXPECT_EQ(stage->pop(), true);
  EXPECT_EQ(stage->pop(), false);
  EXPECT_TRUE(stage->empty());
}

TYPED_TEST(QueueBehaviour, SQ7_OneProducerOneConsumerInOrder) {
  typename TestFixture::Ints stage(Capacity(3));
  stage.start([](Queue<int>& queue, Notes&) {
    for (int i = 0; i < 100; ++i) EXPECT_EQ(queue.push(i), Status::ok);
  });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(stage->pop(), i);
  stage.finish();
}

/// Takes until the end, by try_pop() and short deadlines in turn, and notes each once.
void take_all(Queue<std::uint64_t>& queue, std::vector<std::uint64_t>& taken) {
  for (std::uint64_t item = 0, turn = 0;; ++turn) {
    const Status status = turn % 3 == 0   ? queue.try_pop(item)
                          : turn % 3 == 1 ? queue.pop(item, 10us)
                                          : queue.pop(item);
    if (status == Status::closed) return;
    if (status == Status::ok) {
      taken.push_back(item);
    } else {
      // busy: the machine is overloaded, and whoever has the lock is not running.
      ASSERT_TRUE(status == Status::empty || status == Status::timeout || status == Status::busy)
          << to_string(status);
    }
  }
}

TYPED_TEST(QueueBehaviour, SQ8_ManyPassManyAndNoneIsLostNorComesTwice) {
  constexpr std::uint64_t kFeeders = 8;
  constexpr std::uint64_t kEach = 2000;
  typename TestFixture::Longs stage(Capacity(16));
  Queue<std::uint64_t> back(kFeeders * kEach);  // threads and children inherit it
  for (std::uint64_t f = 0; f < kFeeders; ++f) {
    stage.start([f](Queue<std::uint64_t>& queue, Notes&) {
      for (std::uint64_t i = 0; i < kEach; ++i) EXPECT_EQ(queue.push(f << 32 | i), Status::ok);
    });
  }
  for (int consumer = 0; consumer < 8; ++consumer) {
    stage.start([&back](Queue<std::uint64_t>& queue, Notes& notes) {
      std::vector<std::uint64_t> taken;
      take_all(queue, taken);
      // Those of one producer come in their order, to each consumer.
      std::array<std::uint64_t, kFeeders> next = {};
      for (const std::uint64_t item : taken) {
        EXPECT_GE(item & UINT32_MAX, next[item >> 32]);
        next[item >> 32] = (item & UINT32_MAX) + 1;
      }
      EXPECT_EQ(back.push_each(taken).count, taken.size());
      ++notes[0];
    });
  }
  for (int f = 0; f < static_cast<int>(kFeeders); ++f) stage.finish(f);
  stage->close();
  stage.finish();
  std::vector<std::uint64_t> all;
  EXPECT_EQ(back.try_pop_each(all, kFeeders * kEach + 1).count, kFeeders * kEach);
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), kFeeders * kEach);
  for (std::uint64_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], (i / kEach) << 32 | i % kEach);
  EXPECT_TRUE(stage->empty());
}

TYPED_TEST(QueueBehaviour, SQ9_WhatHasLeftTakesNoRoom) {
  QueueStage<TypeParam, Queue<std::string>> stage(Capacity(4, 1000));
  stage.elsewhere([](Queue<std::string>& queue, Notes&) {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(queue.try_push(std::string(900, 'x')), Status::ok);
      ASSERT_EQ(queue.pop()->size(), 900U);
      ASSERT_EQ(queue.bytes(), 0U);
    }
  });
}

// -------------------------------------------------------------------------------------------------
// Waiting

TYPED_TEST(QueueBehaviour, QU7_ATimeoutIsNeverShortAndSeldomLong) {
  typename TestFixture::Ints stage(Capacity(1));
  stage.elsewhere([](Queue<int>& queue, Notes&) {
    int item = 0;
    const auto popping = time_of([&] { EXPECT_EQ(queue.pop(item, 200ms), Status::timeout); });
    EXPECT_GE(popping, 200ms);
    EXPECT_LT(popping, 200ms + kLate);
    EXPECT_EQ(queue.push(1), Status::ok);
    const auto pushing = time_of([&] { EXPECT_EQ(queue.push(2, 200ms), Status::timeout); });
    EXPECT_GE(pushing, 200ms);
    EXPECT_LT(pushing, 200ms + kLate);
    EXPECT_EQ(queue.size(), 1U);
  });
}

TYPED_TEST(QueueBehaviour, QU14_SQ6_ANegativeDeadlineMeansOnce) {
  typename TestFixture::Ints stage(Capacity(1));
  stage.elsewhere([](Queue<int>& queue, Notes&) {
    int item = 0;
    EXPECT_LT(time_of([&] { EXPECT_EQ(queue.pop(item, -1s), Status::timeout); }), kLate);
    EXPECT_EQ(queue.push(1, -1s), Status::ok);
    EXPECT_LT(time_of([&] { EXPECT_EQ(queue.push(2, 0s), Status::timeout); }), kLate);
    EXPECT_EQ(queue.pop(item, -1s), Status::ok);
  });
}

TYPED_TEST(QueueBehaviour, WhoSleepsIsWokenByAnItemAndByRoom) {
  ScopedWaitPolicy asleep(kNoSlices);
  typename TestFixture::Ints stage(Capacity(1));
  const int popper = stage.start([](Queue<int>& queue, Notes&) {
    const ScopedWaitPolicy mine(kNoSlices);
    EXPECT_EQ(queue.pop(), 1);
  });
  stage.wait_until_asleep(popper);
  EXPECT_EQ(stage->push(1), Status::ok);
  stage.finish(popper);
  EXPECT_EQ(stage->push(2), Status::ok);
  const int pusher = stage.start([](Queue<int>& queue, Notes&) {
    const ScopedWaitPolicy mine(kNoSlices);
    EXPECT_EQ(queue.push(3), Status::ok);
  });
  stage.wait_until_asleep(pusher);
  EXPECT_EQ(stage->pop(), 2);
  stage.finish(pusher);
  EXPECT_EQ(stage->pop(), 3);
}

TYPED_TEST(QueueBehaviour, ALargeItemThatLeavesWakesAllForWhomThereIsRoom) {
  QueueStage<TypeParam, Queue<std::string>> stage(Capacity(100, 1008));
  EXPECT_EQ(stage->push(std::string(990, 'x')), Status::ok);
  std::vector<int> pushers;
  for (int i = 0; i < 3; ++i) {
    pushers.push_back(stage.start([](Queue<std::string>& queue, Notes&) {
      const ScopedWaitPolicy mine(kNoSlices);
      EXPECT_EQ(queue.push("small"), Status::ok);
    }));
    stage.wait_until_asleep(pushers.back());
  }
  EXPECT_EQ(stage->pop()->size(), 990U);
  stage.finish();
  EXPECT_EQ(stage->size(), 3U);
}

TYPED_TEST(QueueBehaviour, QU13_WhoHasPushedMayEndBeforeAnybodyReads) {
  QueueStage<TypeParam, Queue<std::string>> stage(Capacity(4, 1 << 21));
  stage.elsewhere([](Queue<std::string>& queue, Notes&) {
    EXPECT_EQ(queue.push(std::string(1 << 20, 'm')), Status::ok);
  });
  EXPECT_EQ(stage->pop(), std::string(1 << 20, 'm'));
}

TYPED_TEST(QueueBehaviour, QU15_AChildsQueueServesItsOwnChild) {
  typename TestFixture::Ints stage(Capacity(1));
  stage.elsewhere([](Queue<int>&, Notes&) {
    Queue<int> inner(3);
    Process child("inner", [&] { EXPECT_EQ(inner.push(42), Status::ok); });
    EXPECT_EQ(inner.pop(), 42);
    child.join();
    EXPECT_EQ(child.exit_code(), 0);
  });
}

// -------------------------------------------------------------------------------------------------
// Encoding and decoding that throw

TYPED_TEST(QueueBehaviour, QU8_TQ7_AThrowingEncoderTakesNoRoom) {
  typename TestFixture::Moods stage(Capacity(2, 4096));
  stage.elsewhere([](Queue<Moody>& queue, Notes&) {
    for (int twice = 0; twice < 2; ++twice) {
      Moody::encode_refusals = 3;
      EXPECT_THROW(static_cast<void>(queue.try_push({1, "x"})), std::domain_error);
      EXPECT_THROW(static_cast<void>(queue.push({1, "x"}, 10ms)), std::domain_error);
      EXPECT_THROW(static_cast<void>(queue.push({1, "x"})), std::domain_error);
      EXPECT_TRUE(queue.empty());
      EXPECT_EQ(queue.bytes(), 0U);
      EXPECT_EQ(queue.try_push({2, "y"}), Status::ok);
      EXPECT_EQ(queue.try_push({3, "z"}), Status::ok);
      EXPECT_EQ(queue.try_push({4, ""}), Status::full);
      EXPECT_EQ(queue.pop()->number, 2);
      EXPECT_EQ(queue.pop()->text, "z");
    }
  });
}

TYPED_TEST(QueueBehaviour, QU8_TQ7_AThrowingDecoderTakesNoItem) {
  typename TestFixture::Moods stage(Capacity(2, 4096));
  EXPECT_EQ(stage->push({1, "one"}), Status::ok);
  stage.elsewhere([](Queue<Moody>& queue, Notes&) {
    Moody got;
    for (int twice = 0; twice < 2; ++twice) {
      Moody::decode_refusals = 3;
      EXPECT_THROW(static_cast<void>(queue.try_pop(got)), std::domain_error);
      EXPECT_THROW(static_cast<void>(queue.pop(got, 10ms)), std::domain_error);
      EXPECT_THROW(static_cast<void>(queue.pop()), std::domain_error);
      EXPECT_EQ(queue.size(), 1U);
    }
    EXPECT_EQ(queue.try_pop(got), Status::ok);
    EXPECT_EQ(got.text, "one");
  });
}

TYPED_TEST(QueueBehaviour, TQ7_WhoThrowsAfterItWaitedWakesTheNext) {
  typename TestFixture::Moods stage(Capacity(1, 4096));
  const auto popping = [](bool moody) {
    return [moody](Queue<Moody>& queue, Notes& notes) {
      const ScopedWaitPolicy mine(kNoSlices);
      if (moody) ++Moody::decode_refusals;  // of threads: whoever comes first
      try {
        EXPECT_EQ(queue.pop()->number, 7);
        ++notes[0];
      } catch (const std::domain_error&) {
        ++notes[1];
      }
    };
  };
  const int first = stage.start(popping(true));
  stage.wait_until_asleep(first);
  const int second = stage.start(popping(false));
  stage.wait_until_asleep(second);
  EXPECT_EQ(stage->push({7, "seven"}), Status::ok);
  await_either(stage.notes());
  // If the other one was woken first, the item is gone, and there is nothing to be seen.
  if (stage.notes()[1] == 0) {
    EXPECT_EQ(stage->push({7, "seven"}), Status::ok);
  }
  stage.finish();
  EXPECT_EQ(stage.notes()[0], 1);
  EXPECT_EQ(stage.notes()[1], 1);
}

TYPED_TEST(QueueBehaviour, TQ7_WhoThrowsInsteadOfPushingWakesTheNext) {
  typename TestFixture::Moods stage(Capacity(1, 4096));
  EXPECT_EQ(stage->push({1, ""}), Status::ok);
  const auto pushing = [](bool moody) {
    return [moody](Queue<Moody>& queue, Notes& notes) {
      const ScopedWaitPolicy mine(kNoSlices);
      if (moody) ++Moody::encode_refusals;
      try {
        EXPECT_EQ(queue.push({2, ""}), Status::ok);
        ++notes[0];
      } catch (const std::domain_error&) {
        ++notes[1];
      }
    };
  };
  const int first = stage.start(pushing(true));
  stage.wait_until_asleep(first);
  const int second = stage.start(pushing(false));
  stage.wait_until_asleep(second);
  EXPECT_EQ(stage->pop()->number, 1);
  await_either(stage.notes());
  if (stage.notes()[1] == 0) {
    EXPECT_EQ(stage->pop()->number, 2);  // as above
  }
  stage.finish();
  EXPECT_EQ(stage.notes()[0], 1);
  EXPECT_EQ(stage.notes()[1], 1);
}

// -------------------------------------------------------------------------------------------------
// The end

void expect_ended(Queue<int>& queue) {
  int item = 0;
  EXPECT_EQ(queue.try_pop(item), Status::closed);
  EXPECT_EQ(queue.pop(item, 10ms), Status::closed);
  EXPECT_EQ(queue.pop(item), Status::closed);
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_EQ(queue.status(), Status::closed);
}

void expect_refused(Queue<int>& queue) {
  EXPECT_EQ(queue.push(9), Status::closed);
  EXPECT_EQ(queue.push(9, 10ms), Status::closed);
  EXPECT_EQ(queue.try_push(9), Status::closed);
}

TYPED_TEST(QueueBehaviour, TQ8_SQ2_SQ3_ClosingEndsItForEverybody) {
  typename TestFixture::Ints stage(Capacity(5));
  stage.elsewhere([](Queue<int>& queue, Notes&) {
    EXPECT_FALSE(queue.is_closed());
    queue.close();
    queue.close();
    EXPECT_TRUE(queue.is_closed());
  });
  EXPECT_TRUE(stage->is_closed());
  expect_refused(*stage);
  expect_ended(*stage);
  stage.elsewhere([](Queue<int>& queue, Notes&) { expect_refused(queue), expect_ended(queue); });
}

TYPED_TEST(QueueBehaviour, TQ8_TQ9_WhatIsThereCanBeTakenUnlessItIsDropped) {
  typename TestFixture::Ints stage(Capacity(5));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(stage->push(i), Status::ok);
  stage.elsewhere([](Queue<int>& queue, Notes&) { queue.close(); });
  expect_refused(*stage);
  EXPECT_EQ(stage->size(), 3U);
  EXPECT_EQ(stage->pop(), 0);
  stage.elsewhere([](Queue<int>& queue, Notes&) { queue.close(Remaining::dropped); });
  EXPECT_EQ(stage->size(), 0U);
  expect_ended(*stage);
  stage->close();  // not back to what it was
  expect_ended(*stage);
}

TYPED_TEST(QueueBehaviour, TQ10_WhatWasAcceptedIsTakenOrDropped) {
  for (const Remaining remaining : {Remaining::delivered, Remaining::dropped}) {
    typename TestFixture::Ints stage(Capacity(4));
    for (int i = 0; i < 3; ++i) {
      stage.start([](Queue<int>& queue, Notes& notes) {
        while (queue.push(1) == Status::ok) ++notes[0];
        EXPECT_EQ(queue.push(1), Status::closed);
      });
      stage.start([](Queue<int>& queue, Notes& notes) {
        for (const int item : queue.items()) notes[1] += item;
        expect_ended(queue);
      });
    }
    await(stage.notes()[1], 1000);
    stage->close(remaining);
    stage.finish();
    const long left = stage.notes()[0] - stage.notes()[1];
    EXPECT_GE(left, 0);
    EXPECT_LE(left, remaining == Remaining::dropped ? 4 : 0);
  }
}

TYPED_TEST(QueueBehaviour, TQ11_WhoWaitsForAnItemIsWokenByTheEnd) {
  typename TestFixture::Ints stage(Capacity(4));
  for (int i = 0; i < 3; ++i) {
    stage.wait_until_asleep(stage.start([](Queue<int>& queue, Notes& notes) {
      const ScopedWaitPolicy mine(kNoSlices);
      ++notes[queue.pop() ? 0 : 1];
    }));
  }
  const std::vector<int> two = {1, 2};
  EXPECT_EQ(stage->push_each(two).count, 2U);
  await(stage.notes()[0], 2);
  stage->close();
  stage.finish();
  EXPECT_EQ(stage.notes()[0], 2);
  EXPECT_EQ(stage.notes()[1], 1);
}

TYPED_TEST(QueueBehaviour, TQ12_WhoWaitsForRoomIsWokenByTheEnd) {
  typename TestFixture::Ints stage(Capacity(1));
  EXPECT_EQ(stage->push(0), Status::ok);
  for (int i = 0; i < 3; ++i) {
    stage.wait_until_asleep(stage.start([](Queue<int>& queue, Notes&) {
      const ScopedWaitPolicy mine(kNoSlices);
      EXPECT_EQ(queue.push(1), Status::closed);
    }));
  }
  stage->close();
  stage.finish();
  EXPECT_EQ(stage->pop(), 0);
  expect_ended(*stage);
}

TYPED_TEST(QueueBehaviour, QU10_QU11_DetachingEndsThisHandleAlone) {
  QueueStage<TypeParam, Queue<int>> stage(Capacity(3));
  Queue<int> mine = Queue<int>::from_fd(stage->fd());
  EXPECT_EQ(mine.push(1), Status::ok);
  mine.detach();
  mine.detach();
  EXPECT_TRUE(mine.is_detached());
  int item = 0;
  EXPECT_THROW(static_cast<void>(mine.push(1)), std::logic_error);
  EXPECT_THROW(static_cast<void>(mine.try_push(1)), std::logic_error);
  EXPECT_THROW(static_cast<void>(mine.pop()), std::logic_error);
  EXPECT_THROW(static_cast<void>(mine.try_pop(item)), std::logic_error);
  EXPECT_THROW(static_cast<void>(mine.empty()), std::logic_error);
  EXPECT_THROW(mine.close(), std::logic_error);
  stage.elsewhere([](Queue<int>& queue, Notes&) {
    EXPECT_FALSE(queue.is_closed());
    EXPECT_EQ(queue.pop(), 1);
    EXPECT_EQ(queue.push(2), Status::ok);
  });
  EXPECT_EQ(stage->pop(), 2);
}

// -------------------------------------------------------------------------------------------------
// Deaths

TYPED_TEST(QueueDeaths, TQ11_AKilledPopperTakesNothingAlong) {
  typename TestFixture::Ints stage(Capacity(4));
  std::vector<int> poppers;
  for (int i = 0; i < 3; ++i) {
    poppers.push_back(
        stage.start([](Queue<int>& queue, Notes& notes) { ++notes[queue.pop() ? 0 : 1]; }));
    stage.wait_until_asleep(poppers.back());
  }
  stage.kill(poppers[0]);
  EXPECT_EQ(stage->push(1), Status::ok);
  EXPECT_EQ(stage->push(2), Status::ok);
  stage.finish();
  EXPECT_EQ(stage.notes()[0], 2);
  EXPECT_TRUE(stage->empty());
}

TYPED_TEST(QueueDeaths, TQ12_AKilledPusherTakesNoRoomAlong) {
  typename TestFixture::Ints stage(Capacity(1));
  EXPECT_EQ(stage->push(0), Status::ok);
  std::vector<int> pushers;
  for (int i = 0; i < 2; ++i) {
    pushers.push_back(
        stage.start([](Queue<int>& queue, Notes&) { EXPECT_EQ(queue.push(1), Status::ok); }));
    stage.wait_until_asleep(pushers.back());
  }
  stage.kill(pushers[0]);
  EXPECT_EQ(stage->pop(), 0);
  stage.finish();
  EXPECT_EQ(stage->pop(), 1);
  EXPECT_EQ(stage->try_push(5), Status::ok);
}

/// Dies while it is written or read.
struct Mortal {
  int number = 0;
  static inline bool dies = false;
  auto sluice_members() {
    if (dies) raise(SIGKILL);
    return std::tie(number);
  }
};

TYPED_TEST(QueueDeaths, APushKilledHalfWayHasNotHappenedAndAPopNeither) {
  QueueStage<TypeParam, Queue<Mortal>> stage(Capacity(2, 4096));
  EXPECT_EQ(stage->push({1}), Status::ok);
  for (const bool pushes : {true, false, true, false}) {
    Process victim("victim", [&] {
      Mortal::dies = true;
      Queue<Mortal> queue = Queue<Mortal>::from_fd(stage->fd());
      Mortal item = {2};
      static_cast<void>(pushes ? queue.push(item) : queue.pop(item));
    });
    victim.join();
    EXPECT_EQ(victim.exit_code(), -SIGKILL);
    stage.elsewhere([](Queue<Mortal>& queue, Notes&) {
      EXPECT_EQ(queue.size(), 1U);
      EXPECT_EQ(queue.try_push({3}), Status::ok);
      EXPECT_EQ(queue.try_push({4}), Status::full);
      EXPECT_EQ(queue.pop()->number, 1);
      EXPECT_EQ(queue.pop()->number, 3);
      EXPECT_EQ(queue.push({1}), Status::ok);
    });
  }
  EXPECT_EQ(stage->pop()->number, 1);
}

}  // namespace
}  // namespace sluice::tests
