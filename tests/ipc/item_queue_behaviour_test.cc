// SPDX-License-Identifier: Apache-2.0
//
// The behaviour that users of Python's queue.LifoQueue and queue.PriorityQueue rely on (rows LP1
// and LP2: all TQ rows), held against ours, and against Deque and JoinableQueue, by threads, forked
// children, and processes that meet by name.
//
//   here                 TQ5, TQ7 to TQ12; deaths of who pushes and who pops; SQ9
//   joinable_queue_test  TQ1, TQ13
//   nothing to test      TQ6 (the capacity is fixed)

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <compare>
#include <csignal>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "sluice/ipc/deque.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/lifo_queue.h"
#include "sluice/ipc/priority_queue.h"
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

// What the four have in common, under one name.

template <class Q>
concept TwoEnds = requires(Q q) { q.pop_front(); };
template <class Q>
concept Leases = requires(Q q) { q.done(); };

template <class Q>
Status put(Q& queue, const typename Q::value_type& item, Deadline deadline = Deadline::never()) {
  if constexpr (TwoEnds<Q>) {
    return queue.push_back(item, deadline);
  } else {
    return queue.push(item, deadline);
  }
}
template <class Q>
Status try_put(Q& queue, const typename Q::value_type& item) {
  if constexpr (TwoEnds<Q>) {
    return queue.try_push_back(item);
  } else {
    return queue.try_push(item);
  }
}
template <class Q>
Status get(Q& queue, typename Q::value_type& item, Deadline deadline = Deadline::never()) {
  if constexpr (TwoEnds<Q>) {
    return queue.pop_front(item, deadline);
  } else {
    const Status status = queue.pop(item, deadline);
    if constexpr (Leases<Q>) {
      if (status == Status::ok) queue.done();
    }
    return status;
  }
}
template <class Q>
Status try_get(Q& queue, typename Q::value_type& item) {
  if constexpr (TwoEnds<Q>) {
    return queue.try_pop_front(item);
  } else {
    const Status status = queue.try_pop(item);
    if constexpr (Leases<Q>) {
      if (status == Status::ok) queue.done();
    }
    return status;
  }
}
template <class Q>
bool get_or_end(Q& queue) {
  if constexpr (TwoEnds<Q>) {
    return queue.pop_front().has_value();
  } else if constexpr (Leases<Q>) {
    auto task = queue.pop();
    if (task) task->done();
    return task.has_value();
  } else {
    return queue.pop().has_value();
  }
}

struct Lifo {
  static constexpr const char* kName = "Lifo";
  static constexpr bool kLastFirst = true;
  template <class T>
  using Of = LifoQueue<T>;
};
struct Priority {
  static constexpr const char* kName = "Priority";
  static constexpr bool kLastFirst = false;
  template <class T>
  using Of = PriorityQueue<T>;
};
struct TwoEnded {
  static constexpr const char* kName = "Deque";
  static constexpr bool kLastFirst = false;
  template <class T>
  using Of = Deque<T>;
};
struct Joinable {
  static constexpr const char* kName = "Joinable";
  static constexpr bool kLastFirst = false;
  template <class T>
  using Of = JoinableQueue<T>;
};

template <class W, class K>
struct Case {
  using Way = W;
  using Kind = K;
};
struct CaseNames {
  template <class C>
  static std::string GetName(int) {
    return std::string(C::Kind::kName) + C::Way::kName;
  }
};
using Cases =
    testing::Types<Case<ByThreads, Lifo>, Case<ByFork, Lifo>, Case<ByName, Lifo>,
                   Case<ByThreads, Priority>, Case<ByFork, Priority>, Case<ByName, Priority>,
                   Case<ByThreads, TwoEnded>, Case<ByFork, TwoEnded>, Case<ByName, TwoEnded>,
                   Case<ByThreads, Joinable>, Case<ByFork, Joinable>, Case<ByName, Joinable>>;

template <class C>
class ItemQueueBehaviour : public testing::Test {
 protected:
  template <class T>
  using Q = typename C::Kind::template Of<T>;
  template <class T>
  using StageOf = QueueStage<typename C::Way, Q<T>>;

  /// Takes those from `first` to `last`, which were put in this order.
  template <class T>
  static void expect_all(T& queue, int first, int last) {
    for (int i = first; i <= last; ++i) {
      int got = -1;
      ASSERT_EQ(try_get(queue, got), Status::ok) << i;
      ASSERT_EQ(got, C::Kind::kLastFirst ? first + last - i : i);
    }
  }
};
TYPED_TEST_SUITE(ItemQueueBehaviour, Cases, CaseNames);

/// Crash variants: parties that can be killed.
template <class C>
class ItemQueueDeaths : public ItemQueueBehaviour<C> {};
using Killable =
    testing::Types<Case<ByFork, Lifo>, Case<ByName, Lifo>, Case<ByFork, Priority>,
                   Case<ByName, Priority>, Case<ByFork, TwoEnded>, Case<ByName, TwoEnded>,
                   Case<ByFork, Joinable>, Case<ByName, Joinable>>;
TYPED_TEST_SUITE(ItemQueueDeaths, Killable, CaseNames);

template <class Q>
void expect_empty(Q& queue) {
  typename Q::value_type got{};
  EXPECT_EQ(try_get(queue, got), Status::empty);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.size(), 0U);
  EXPECT_EQ(queue.bytes(), 0U);
}

// -------------------------------------------------------------------------------------------------
// Order and counting

TYPED_TEST(ItemQueueBehaviour, TQ5_ExactlyAsManyAsWereAskedFor) {
  using Q = typename TestFixture::template Q<int>;
  for (const int n : {1, 2, 3, 7, 100}) {
    typename TestFixture::template StageOf<int> stage{Capacity(static_cast<std::size_t>(n))};
    EXPECT_EQ(stage->capacity(), static_cast<std::size_t>(n));
    for (int round = 0; round < 3; ++round) {
      stage.elsewhere([n](Q& queue, Notes&) {
        for (int i = 0; i < n; ++i) ASSERT_EQ(try_put(queue, i), Status::ok);
        EXPECT_TRUE(queue.full());
        EXPECT_EQ(try_put(queue, 9), Status::full);
      });
      EXPECT_EQ(stage->size(), static_cast<std::size_t>(n));
      this->expect_all(*stage, 0, n - 1);
      expect_empty(*stage);
    }
  }
}

TYPED_TEST(ItemQueueBehaviour, SQ9_WhatHasLeftTakesNoRoom) {
  using Q = typename TestFixture::template Q<std::string>;
  typename TestFixture::template StageOf<std::string> stage(Capacity(4, 1280));
  stage.elsewhere([](Q& queue, Notes&) {
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(try_put(queue, std::string(900, 'x')), Status::ok);
      ASSERT_EQ(try_put(queue, std::string(900, 'x')), Status::full);
      std::string got;
      ASSERT_EQ(get(queue, got), Status::ok);
      ASSERT_EQ(got.size(), 900U);
      ASSERT_EQ(queue.bytes(), 0U);
    }
    EXPECT_EQ(try_put(queue, std::string(1300, 'x')), Status::too_large);
  });
}

// -------------------------------------------------------------------------------------------------
// Waiting

TYPED_TEST(ItemQueueBehaviour, ATimeoutIsNeverShortAndSeldomLong) {
  using Q = typename TestFixture::template Q<int>;
  typename TestFixture::template StageOf<int> stage(Capacity(1));
  stage.elsewhere([](Q& queue, Notes&) {
    int item = 0;
    const auto popping = time_of([&] { EXPECT_EQ(get(queue, item, 100ms), Status::timeout); });
    EXPECT_GE(popping, 100ms);
    EXPECT_LT(popping, 100ms + kLate);
    EXPECT_EQ(get(queue, item, -1s), Status::timeout);
    EXPECT_EQ(put(queue, 1, -1s), Status::ok);
    const auto pushing = time_of([&] { EXPECT_EQ(put(queue, 2, 100ms), Status::timeout); });
    EXPECT_GE(pushing, 100ms);
    EXPECT_LT(pushing, 100ms + kLate);
    EXPECT_EQ(put(queue, 2, 0s), Status::timeout);
    EXPECT_EQ(queue.size(), 1U);
  });
}

TYPED_TEST(ItemQueueBehaviour, WhoSleepsIsWokenByAnItemAndByRoom) {
  using Q = typename TestFixture::template Q<int>;
  typename TestFixture::template StageOf<int> stage(Capacity(1));
  const int popper = stage.start([](Q& queue, Notes&) {
    const ScopedWaitPolicy mine(kNoSlices);
    int got = 0;
    EXPECT_EQ(get(queue, got), Status::ok);
    EXPECT_EQ(got, 1);
  });
  stage.wait_until_asleep(popper);
  EXPECT_EQ(put(*stage, 1), Status::ok);
  stage.finish(popper);
  EXPECT_EQ(put(*stage, 2), Status::ok);
  const int pusher = stage.start([](Q& queue, Notes&) {
    const ScopedWaitPolicy mine(kNoSlices);
    EXPECT_EQ(put(queue, 3), Status::ok);
  });
  stage.wait_until_asleep(pusher);
  this->expect_all(*stage, 2, 2);
  stage.finish(pusher);
  this->expect_all(*stage, 3, 3);
}

TYPED_TEST(ItemQueueBehaviour, ALargeItemThatLeavesWakesAllForWhomThereIsRoom) {
  using Q = typename TestFixture::template Q<std::string>;
  typename TestFixture::template StageOf<std::string> stage(Capacity(100, 1280));
  EXPECT_EQ(put(*stage, std::string(900, 'x')), Status::ok);
  for (int i = 0; i < 3; ++i) {
    stage.wait_until_asleep(stage.start([](Q& queue, Notes&) {
      const ScopedWaitPolicy mine(kNoSlices);
      EXPECT_EQ(put(queue, std::string(100, 'y')), Status::ok);
    }));
  }
  std::string got;
  EXPECT_EQ(get(*stage, got), Status::ok);
  EXPECT_EQ(got.size(), 900U);
  stage.finish();
  EXPECT_EQ(stage->size(), 3U);
}

// -------------------------------------------------------------------------------------------------
// Encoding and decoding that throw

TYPED_TEST(ItemQueueBehaviour, TQ7_AThrowingEncoderTakesNoRoom) {
  using Q = typename TestFixture::template Q<Moody>;
  typename TestFixture::template StageOf<Moody> stage(Capacity(2, 4096));
  stage.elsewhere([](Q& queue, Notes&) {
    for (int twice = 0; twice < 2; ++twice) {
      Moody::encode_refusals = 2;
      EXPECT_THROW(static_cast<void>(try_put(queue, Moody{1, "x"})), std::domain_error);
      EXPECT_THROW(static_cast<void>(put(queue, Moody{1, "x"}, 10ms)), std::domain_error);
      EXPECT_TRUE(queue.empty());
      EXPECT_EQ(queue.bytes(), 0U);
      EXPECT_EQ(try_put(queue, Moody{2, "y"}), Status::ok);
      EXPECT_EQ(try_put(queue, Moody{3, "z"}), Status::ok);
      EXPECT_EQ(try_put(queue, Moody{4, ""}), Status::full);
      Moody got;
      EXPECT_EQ(get(queue, got), Status::ok);
      EXPECT_EQ(get(queue, got), Status::ok);
      expect_empty(queue);
    }
  });
}

TYPED_TEST(ItemQueueBehaviour, TQ7_AThrowingDecoderTakesNoItem) {
  using Q = typename TestFixture::template Q<Moody>;
  typename TestFixture::template StageOf<Moody> stage(Capacity(2, 4096));
  EXPECT_EQ(put(*stage, Moody{1, std::string(100, 'o')}), Status::ok);
  stage.elsewhere([](Q& queue, Notes&) {
    Moody got;
    for (int twice = 0; twice < 2; ++twice) {
      Moody::decode_refusals = 2;
      EXPECT_THROW(static_cast<void>(try_get(queue, got)), std::domain_error);
      EXPECT_THROW(static_cast<void>(get(queue, got, 10ms)), std::domain_error);
      EXPECT_EQ(queue.size(), 1U);
    }
    EXPECT_EQ(try_get(queue, got), Status::ok);
    EXPECT_EQ(got.text, std::string(100, 'o'));
    expect_empty(queue);
  });
}

TYPED_TEST(ItemQueueBehaviour, TQ7_WhoThrowsAfterItWaitedWakesTheNext) {
  using Q = typename TestFixture::template Q<Moody>;
  typename TestFixture::template StageOf<Moody> stage(Capacity(1, 4096));
  const auto popping = [](bool moody) {
    return [moody](Q& queue, Notes& notes) {
      const ScopedWaitPolicy mine(kNoSlices);
      if (moody) ++Moody::decode_refusals;  // of threads: whoever comes first
      try {
        Moody got;
        EXPECT_EQ(get(queue, got), Status::ok);
        ++notes[0];
      } catch (const std::domain_error&) {
        ++notes[1];
      }
    };
  };
  // The one that fell asleep first is woken first.
  stage.wait_until_asleep(stage.start(popping(true)));
  stage.wait_until_asleep(stage.start(popping(false)));
  EXPECT_EQ(put(*stage, Moody{7, "seven"}), Status::ok);
  stage.finish();
  EXPECT_EQ(stage.notes()[0], 1);
  EXPECT_EQ(stage.notes()[1], 1);
}

TYPED_TEST(ItemQueueBehaviour, TQ7_WhoThrowsInsteadOfPushingWakesTheNext) {
  using Q = typename TestFixture::template Q<Moody>;
  typename TestFixture::template StageOf<Moody> stage(Capacity(1, 4096));
  EXPECT_EQ(put(*stage, Moody{1, ""}), Status::ok);
  const auto pushing = [](bool moody) {
    return [moody](Q& queue, Notes& notes) {
      const ScopedWaitPolicy mine(kNoSlices);
      if (moody) ++Moody::encode_refusals;
      try {
        EXPECT_EQ(put(queue, Moody{2, ""}), Status::ok);
        ++notes[0];
      } catch (const std::domain_error&) {
        ++notes[1];
      }
    };
  };
  stage.wait_until_asleep(stage.start(pushing(true)));
  stage.wait_until_asleep(stage.start(pushing(false)));
  Moody got;
  EXPECT_EQ(get(*stage, got), Status::ok);
  // Both are woken. If the moody one is late, there is no room for it until this one has gone.
  await(stage.notes()[0], 1);
  EXPECT_EQ(get(*stage, got), Status::ok);
  stage.finish();
  EXPECT_EQ(stage.notes()[0], 1);
  EXPECT_EQ(stage.notes()[1], 1);
  expect_empty(*stage);
}

// -------------------------------------------------------------------------------------------------
// The end

template <class Q>
void expect_ended(Q& queue) {
  int item = 0;
  EXPECT_EQ(put(queue, 9), Status::closed);
  EXPECT_EQ(put(queue, 9, 10ms), Status::closed);
  EXPECT_EQ(try_put(queue, 9), Status::closed);
  EXPECT_EQ(try_get(queue, item), Status::closed);
  EXPECT_EQ(get(queue, item, 10ms), Status::closed);
  EXPECT_EQ(get(queue, item), Status::closed);
  EXPECT_FALSE(get_or_end(queue));
  EXPECT_EQ(queue.status(), Status::closed);
}

TYPED_TEST(ItemQueueBehaviour, TQ8_TQ9_WhatIsThereCanBeTakenUnlessItIsDropped) {
  using Q = typename TestFixture::template Q<int>;
  typename TestFixture::template StageOf<int> stage(Capacity(5));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(put(*stage, i), Status::ok);
  stage.elsewhere([](Q& queue, Notes&) {
    EXPECT_FALSE(queue.is_closed());
    queue.close();
    queue.close();
    EXPECT_TRUE(queue.is_closed());
  });
  EXPECT_EQ(put(*stage, 9), Status::closed);
  EXPECT_EQ(stage->size(), 3U);
  EXPECT_TRUE(get_or_end(*stage));
  stage.elsewhere([](Q& queue, Notes&) { queue.close(Remaining::dropped); });
  EXPECT_EQ(stage->size(), 0U);
  EXPECT_EQ(stage->bytes(), 0U);
  expect_ended(*stage);
  stage->close();  // not back to what it was
  expect_ended(*stage);
  stage.elsewhere([](Q& queue, Notes&) { expect_ended(queue); });
}

TYPED_TEST(ItemQueueBehaviour, TQ10_WhatWasAcceptedIsTakenOrDropped) {
  using Q = typename TestFixture::template Q<int>;
  for (const Remaining remaining : {Remaining::delivered, Remaining::dropped}) {
    typename TestFixture::template StageOf<int> stage(Capacity(4));
    for (int i = 0; i < 3; ++i) {
      stage.start([](Q& queue, Notes& notes) {
        while (put(queue, 1) == Status::ok) ++notes[0];
        EXPECT_EQ(put(queue, 1), Status::closed);
      });
      stage.start([](Q& queue, Notes& notes) {
        while (get_or_end(queue)) ++notes[1];
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

TYPED_TEST(ItemQueueBehaviour, TQ11_WhoWaitsForAnItemIsWokenByTheEnd) {
  using Q = typename TestFixture::template Q<int>;
  typename TestFixture::template StageOf<int> stage(Capacity(4));
  for (int i = 0; i < 3; ++i) {
    stage.wait_until_asleep(stage.start([](Q& queue, Notes& notes) {
      const ScopedWaitPolicy mine(kNoSlices);
      ++notes[get_or_end(queue) ? 0 : 1];
    }));
  }
  EXPECT_EQ(put(*stage, 1), Status::ok);
  EXPECT_EQ(put(*stage, 2), Status::ok);
  await(stage.notes()[0], 2);
  stage->close();
  stage.finish();
  EXPECT_EQ(stage.notes()[0], 2);
  EXPECT_EQ(stage.notes()[1], 1);
}

TYPED_TEST(ItemQueueBehaviour, TQ12_WhoWaitsForRoomIsWokenByTheEnd) {
  using Q = typename TestFixture::template Q<int>;
  typename TestFixture::template StageOf<int> stage(Capacity(1));
  EXPECT_EQ(put(*stage, 0), Status::ok);
  for (int i = 0; i < 3; ++i) {
    stage.wait_until_asleep(stage.start([](Q& queue, Notes&) {
      const ScopedWaitPolicy mine(kNoSlices);
      EXPECT_EQ(put(queue, 1), Status::closed);
    }));
  }
  stage->close();
  stage.finish();
  this->expect_all(*stage, 0, 0);
  expect_ended(*stage);
}

// -------------------------------------------------------------------------------------------------
// Deaths

TYPED_TEST(ItemQueueDeaths, TQ11_AKilledPopperTakesNothingAlong) {
  using Q = typename TestFixture::template Q<int>;
  typename TestFixture::template StageOf<int> stage(Capacity(4));
  std::vector<int> poppers;
  for (int i = 0; i < 3; ++i) {
    poppers.push_back(
        stage.start([](Q& queue, Notes& notes) { ++notes[get_or_end(queue) ? 0 : 1]; }));
    stage.wait_until_asleep(poppers.back());
  }
  stage.kill(poppers[0]);
  EXPECT_EQ(put(*stage, 1), Status::ok);
  EXPECT_EQ(put(*stage, 2), Status::ok);
  stage.finish();
  EXPECT_EQ(stage.notes()[0], 2);
  expect_empty(*stage);
}

TYPED_TEST(ItemQueueDeaths, TQ12_AKilledPusherTakesNoRoomAlong) {
  using Q = typename TestFixture::template Q<int>;
  typename TestFixture::template StageOf<int> stage(Capacity(1));
  EXPECT_EQ(put(*stage, 0), Status::ok);
  std::vector<int> pushers;
  for (int i = 0; i < 2; ++i) {
    pushers.push_back(stage.start([](Q& queue, Notes&) { EXPECT_EQ(put(queue, 1), Status::ok); }));
    stage.wait_until_asleep(pushers.back());
  }
  stage.kill(pushers[0]);
  this->expect_all(*stage, 0, 0);
  stage.finish();
  this->expect_all(*stage, 1, 1);
  EXPECT_EQ(try_put(*stage, 5), Status::ok);
}

/// Dies while it is written or read.
struct Mortal {
  int number = 0;
  static inline bool dies = false;
  auto sluice_members() {
    if (dies) raise(SIGKILL);
    return std::tie(number);
  }
  auto operator<=>(const Mortal& other) const { return number <=> other.number; }
};

TYPED_TEST(ItemQueueDeaths, APushKilledHalfWayHasNotHappenedAndAPopNeither) {
  using Q = typename TestFixture::template Q<Mortal>;
  typename TestFixture::template StageOf<Mortal> stage(Capacity(2, 4096));
  EXPECT_EQ(put(*stage, Mortal{1}), Status::ok);
  for (const bool pushes : {true, false, true, false}) {
    Process victim("victim", [&] {
      Mortal::dies = true;
      Q queue = Q::from_fd(stage->fd());
      Mortal item = {2};
      static_cast<void>(pushes ? put(queue, item) : get(queue, item));
    });
    victim.join();
    EXPECT_EQ(victim.exit_code(), -SIGKILL);
    stage.elsewhere([pushes](Q& queue, Notes&) {
      // A lease of the dead is noticed by who finds nothing else.
      EXPECT_EQ(queue.size(), Leases<Q> && !pushes ? 0U : 1U);
      Mortal first;
      Mortal second;
      EXPECT_EQ(get(queue, first), Status::ok);
      EXPECT_EQ(first.number, 1);
      EXPECT_EQ(try_put(queue, Mortal{3}), Status::ok);
      EXPECT_EQ(try_put(queue, Mortal{4}), Status::ok);
      EXPECT_EQ(try_put(queue, Mortal{5}), Status::full);
      EXPECT_EQ(get(queue, first), Status::ok);
      EXPECT_EQ(get(queue, second), Status::ok);
      EXPECT_EQ(first.number + second.number, 7);
      expect_empty(queue);
      EXPECT_EQ(put(queue, Mortal{1}), Status::ok);
    });
  }
}

}  // namespace
}  // namespace sluice::tests
