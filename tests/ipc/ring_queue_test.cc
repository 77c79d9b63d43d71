// SPDX-License-Identifier: Apache-2.0
//
// Queue<T> where it is a ring (ipc/ring_parts.h): which are, who is in whose way, threads that
// share a handle, and bytes that no correct process writes. What all queues do:
// queue_behaviour_test.cc.

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/ring_layout.h"
#include "sluice/ipc/ring_parts.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Ring = MpmcRing<int>;

/// For sleepers whom nothing but a wake-up helps.
constexpr WaitPolicy kNoSlices = {.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h};

template <class T>
SegmentKind kind_of() {
  return {.name = "queue", .version = Queue<T>::kVersion, .fingerprint = codec_fingerprint<T>()};
}

template <class T>
bool is_ring(const Queue<T>& queue) {
  const Segment segment = Segment::from_fd(queue.fd(), kind_of<T>());
  return internal::engine_of(segment) == internal::QueueEngine::ring;
}

/// The ring itself, for who plays another process that is in the midst of something.
class Inside {
 public:
  explicit Inside(const Queue<int>& queue)
      : segment_(Segment::from_fd(queue.fd(), kind_of<int>())) {}
  [[nodiscard]] std::span<std::byte> ring() const {
    return segment_.object().subspan(internal::kQueueHeaderBytes + internal::kRingOffset);
  }

 private:
  Segment segment_;
};

struct Tick {
  static constexpr std::string_view kTypeName = "test.RingTick";
  double price;
  std::int32_t size;  // and padding
};

TEST(RingQueue, IsOneWhereItsMakersWishesAllowIt) {
  EXPECT_TRUE(is_ring(Queue<int>(3)));
  EXPECT_TRUE(is_ring(Queue<Tick>(3)));
  EXPECT_TRUE(is_ring(Queue<int>(3, {.overflow = Overflow::fail})));
  EXPECT_TRUE(is_ring(Queue<int>(3, {.ends_with_producers = true})));
  EXPECT_FALSE(is_ring(Queue<int>(3, {.overflow = Overflow::drop_oldest})));
  EXPECT_FALSE(is_ring(Queue<int>(3, {.overflow = Overflow::drop_newest})));
  EXPECT_FALSE(is_ring(Queue<int>(Capacity(3, 1000))));
  EXPECT_FALSE(is_ring(Queue<int>()));
  EXPECT_FALSE(is_ring(Queue<std::string>(3)));
  EXPECT_FALSE(is_ring(Queue<bool>(3)));
}

// -------------------------------------------------------------------------------------------------
// Somebody in the midst of a push or a pop

TEST(RingQueue, WhatIsBehindAnothersPushIsNotSaidToBeNowhere) {
  Queue<int> queue(4);
  const Inside inside(queue);
  Ring::Producer other(inside.ring());
  int* const slot = other.try_claim();
  ASSERT_NE(slot, nullptr);
  EXPECT_EQ(queue.push(2), Status::ok);
  int item = 0;
  EXPECT_EQ(queue.try_pop(item), Status::busy) << "there is an item, but the other is in the way";
  EXPECT_EQ(queue.pop(item, 30ms), Status::timeout);
  EXPECT_FALSE(queue.empty());
  *slot = 1;
  other.commit();
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.try_pop(item), Status::empty);
}

TEST(RingQueue, RoomBehindAnothersPopIsNotSaidToBeNowhere) {
  Queue<int> queue(2);
  const Inside inside(queue);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(queue.push(i), Status::ok);
  Ring::Consumer other(inside.ring());
  ASSERT_NE(other.try_peek(), nullptr);
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.try_push(2), Status::busy);
  EXPECT_EQ(queue.push(2, 30ms), Status::timeout);
  other.release();
  EXPECT_EQ(queue.try_push(2), Status::ok);
  EXPECT_EQ(queue.pop(), 2);
}

TEST(RingQueue, TheEndComesAfterWhatOthersAreJustPushing) {
  Queue<int> queue(4);
  const Inside inside(queue);
  Ring::Producer other(inside.ring());
  int* const slot = other.try_claim();
  ASSERT_NE(slot, nullptr);
  queue.close();
  int item = 0;
  EXPECT_EQ(queue.pop(item, 30ms), Status::timeout);
  *slot = 1;
  other.commit();
  EXPECT_EQ(queue.pop(item), Status::ok);
  EXPECT_EQ(queue.pop(item), Status::closed);
}

TEST(RingQueue, TheEndComesAfterWhatOthersAreJustPopping) {
  Queue<int> queue(4);
  const Inside inside(queue);
  EXPECT_EQ(queue.push(1), Status::ok);
  Ring::Consumer other(inside.ring());
  ASSERT_NE(other.try_peek(), nullptr);
  queue.close();
  int item = 0;
  EXPECT_EQ(queue.pop(item, 30ms), Status::timeout);
  other.put_back();
  EXPECT_EQ(queue.pop(item), Status::ok);
  EXPECT_EQ(queue.pop(item), Status::closed);
}

TEST(RingQueue, WhoDiesInTheMidstIsInNobodysWay) {
  Queue<int> queue(2);
  const Inside inside(queue);
  int item = 0;
  Process pusher("pusher", [&] {
    Ring::Producer mine(inside.ring());
    EXPECT_NE(mine.try_claim(), nullptr);
    raise(SIGKILL);
  });
  pusher.join();
  EXPECT_EQ(queue.try_push(1), Status::ok);
  EXPECT_EQ(queue.try_pop(item), Status::ok);
  EXPECT_EQ(item, 1);
  EXPECT_EQ(queue.push(2), Status::ok);
  EXPECT_EQ(queue.push(3), Status::ok);
  Process popper("popper", [&] {
    Ring::Consumer mine(inside.ring());
    EXPECT_NE(mine.try_peek(), nullptr);
    raise(SIGKILL);
  });
  popper.join();
  EXPECT_EQ(queue.try_push(4), Status::full);
  queue.close();
  std::vector<int> all;
  for (const int each : queue.items()) all.push_back(each);
  EXPECT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0] + all[1], 5) << "what it had comes again, perhaps late";
}

TEST(RingQueue, WhoSleepsBehindOneWhoDiesFindsOut) {
  Queue<int> queue(4);
  const Inside inside(queue);
  Process victim("victim", [&] {
    Ring::Producer mine(inside.ring());
    EXPECT_NE(mine.try_claim(), nullptr);
    EXPECT_EQ(queue.push(2), Status::ok);
    pause();
  });
  while (queue.size() < 2) std::this_thread::yield();
  const pid_t waiter = gettid();
  std::jthread killer([&] {
    EXPECT_TRUE(wait_until_asleep(waiter));
    victim.kill();
  });
  EXPECT_EQ(queue.pop(), 2);
}

TEST(RingQueue, AllWhoSleptBehindAPushAreWoken) {
  Queue<int> queue(8);
  const Inside inside(queue);
  Ring::Producer other(inside.ring());
  int* const slot = other.try_claim();
  ASSERT_NE(slot, nullptr);
  std::atomic<int> sum = 0;
  std::array<std::atomic<pid_t>, 3> ids = {};
  std::vector<std::jthread> poppers;
  for (auto& id : ids) {
    poppers.emplace_back([&] {
      const ScopedWaitPolicy mine(kNoSlices);
      id = gettid();
      sum += queue.pop().value();
    });
    while (id == 0) std::this_thread::yield();
    EXPECT_TRUE(wait_until_asleep(id));
  }
  EXPECT_EQ(queue.push(20), Status::ok);  // one wakes, in vain
  EXPECT_TRUE(wait_until_asleep(ids[0]));
  *slot = 1;
  other.commit();
  EXPECT_EQ(queue.push(300), Status::ok);  // one wakes, for three items
  poppers.clear();
  EXPECT_EQ(sum, 321);
}

// -------------------------------------------------------------------------------------------------
// One handle

TEST(RingQueue, MoreThreadsThanItHasSidesForShareAHandle) {
  constexpr int kThreads = 8;
  constexpr int kEach = 5000;
  Queue<int> queue(16);
  std::vector<std::atomic<int>> seen(kThreads * kEach);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) ASSERT_EQ(queue.push(t * kEach + i), Status::ok);
      });
      threads.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) ++seen.at(static_cast<std::size_t>(queue.pop().value()));
      });
    }
  }
  for (const auto& times : seen) ASSERT_EQ(times, 1);
  EXPECT_TRUE(queue.empty());
}

TEST(RingQueue, WhoeverForksTheChildUsesTheHandle) {
  Queue<int> queue(4);
  EXPECT_EQ(queue.push(1), Status::ok);
  EXPECT_EQ(queue.pop(), 1);
  const auto in_child = [&] {
    Process child("child", [&] {
      EXPECT_EQ(queue.push(2), Status::ok);
      EXPECT_EQ(queue.pop(), 2);
      EXPECT_EQ(queue.push(3), Status::ok);
    });
    child.join();
    EXPECT_EQ(child.exit_code(), 0);
    EXPECT_EQ(queue.pop(), 3);
  };
  in_child();
  std::jthread(in_child).join();
  in_child();
}

// -------------------------------------------------------------------------------------------------
// Bytes

template <class Change>
void expect_refused(Change change) {
  Queue<int> queue(4);
  {
    Segment segment = Segment::from_fd(queue.fd(), kind_of<int>());
    change(segment.object());
  }
  try {
    Queue<int>::from_fd(queue.fd());
    ADD_FAILURE() << "it was opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::corrupt);
  }
}

template <class T>
void put(std::span<std::byte> object, std::size_t at, T value) {
  std::memcpy(&object[at], &value, sizeof value);
}

TEST(RingQueue, IsNotOpenedWithAnotherEnginePolicyOrSize) {
  constexpr std::size_t kRingAt = internal::kQueueHeaderBytes + internal::kRingOffset;
  expect_refused([](std::span<std::byte> object) { put(object, 8, 2U); });
  expect_refused([](std::span<std::byte> object) { put(object, 8, 0U); });
  expect_refused([](std::span<std::byte> object) { put(object, 0, 2U); });
  expect_refused([](std::span<std::byte> object) { put(object, kRingAt, std::uint64_t{1} << 20); });
  expect_refused([](std::span<std::byte> object) { put(object, kRingAt + 8, std::uint64_t{8}); });
}

TEST(RingQueue, WhateverItsBytesItsCallsReturn) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    Queue<int> queue(4, {.ends_with_producers = round % 2 == 0});
    Segment segment = Segment::from_fd(queue.fd(), kind_of<int>());
    const auto shared = segment.object().subspan(internal::kQueueHeaderBytes);
    for (int step = 0; step < 20; ++step) {
      // A word of the state, the hints or the cells; small numbers mean more there.
      const std::size_t at = random() % (shared.size() / 8) * 8;
      std::uint64_t value = random();
      if (random() % 2 == 0) value = value % 4 << (random() % 4 * 16);
      // Not who sleeps: then the sleeper's fault would be ours.
      if (at >= 640 + 64) continue;
      std::memcpy(&shared[at], &value, sizeof value);
      int item = 0;
      std::vector<int> items = {1, 2, 3};
      static_cast<void>(queue.try_push(1));
      static_cast<void>(queue.push_each(items, 1ms));
      static_cast<void>(queue.try_pop(item));
      static_cast<void>(queue.pop(item, 1ms));
      static_cast<void>(queue.try_pop_each(items, 2));
      EXPECT_LE(queue.size(), queue.capacity());
      static_cast<void>(queue.full());
    }
  }
}

}  // namespace
}  // namespace sluice::tests
