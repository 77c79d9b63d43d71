// SPDX-License-Identifier: Apache-2.0
//
// Queue<T>: made, found, sent and refused; its limits, policies and forms; what ends with its
// producers; growth and its refusal; waiting beside others. What it does for its users in general:
// queue_behaviour_test.cc.

#include "sluice/ipc/queue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/wait_any.h"
#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

struct Order {
  static constexpr std::string_view kTypeName = "test.Order/1";
  char side;
  double price;
  std::uint8_t venue;
  bool operator==(const Order&) const = default;
};

struct OtherOrder {
  static constexpr std::string_view kTypeName = "test.Order/2";
  char side;
  double price;
  std::uint8_t venue;
};

struct Person {
  std::string name;
  std::vector<std::string> nicknames;
  bool operator==(const Person&) const = default;
  auto sluice_members() { return std::tie(name, nicknames); }
};

template <class Call>
std::error_code code_of(Call call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  return {};
}

template <class T>
std::vector<T> drained(Queue<T>& queue) {
  std::vector<T> items;
  static_cast<void>(queue.try_pop_each(items, 1 << 26));
  return items;
}

// -------------------------------------------------------------------------------------------------
// What travels

template <class T>
void expect_travels(const std::vector<T>& items) {
  Queue<T> queue(Capacity(items.size(), 1 << 16));
  for (int round = 0; round < 3; ++round) {
    Process pusher("pusher", [&] {
      for (const T& item : items) EXPECT_EQ(queue.push(item), Status::ok);
    });
    for (const T& item : items) {
      const std::optional<T> got = queue.pop();
      ASSERT_TRUE(got);
      EXPECT_EQ(*got, item);
    }
    pusher.join();
  }
}

TEST(Queue, CarriesWhatTravels) {
  expect_travels<char>({'a', 'b'});
  expect_travels<Order>({{'b', 1.5, 3}, {'s', -2.5, 4}});
  expect_travels<std::string>({"", "one", std::string(3000, 'x')});
  expect_travels<std::vector<int>>({{}, {1, 2, 3}, std::vector<int>(999, 7)});
  expect_travels<std::map<std::string, double>>({{{"a", 1}, {"b", 2}}, {}});
  expect_travels<Person>({{"Ada", {"Countess", ""}}, {"", {}}});
  expect_travels<std::optional<std::array<short, 3>>>({std::nullopt, {{1, 2, 3}}});
}

TEST(Queue, PaddingStaysInTheProcess) {
  Queue<Order> queue(Capacity(1));
  Order order = {};
  std::fill_n(reinterpret_cast<unsigned char*>(&order), sizeof order, 0xab);
  order.side = 'b';
  order.venue = 1;
  EXPECT_EQ(queue.push(order), Status::ok);
  const UniqueFd fd = queue.fd();
  std::vector<unsigned char> all(1 << 14);
  const ssize_t size = pread(fd.get(), all.data(), all.size(), 0);
  ASSERT_GT(size, 0);
  // In rows of four and more, as the two paddings would be: numbers in the stamp may hold one.
  std::size_t found = 0;
  std::size_t row = 0;
  for (const unsigned char byte : std::span(all).first(static_cast<std::size_t>(size))) {
    row = byte == 0xab ? row + 1 : 0;
    if (row >= 4) found += row == 4 ? 4 : 1;
  }
  EXPECT_EQ(found, sizeof order.price) << "bytes of padding among them";
}

TEST(Queue, ItemsMayBeMadeInPlace) {
  Queue<std::string> queue(Capacity(2));
  EXPECT_EQ(queue.emplace(3, 'x'), Status::ok);
  EXPECT_EQ(queue.pop(), "xxx");
}

// -------------------------------------------------------------------------------------------------
// Limits

TEST(Queue, HasALimitInBytesToo) {
  Queue<std::string> queue(Capacity(100, 240));  // each of 20 takes 4 + 20, and 8: 32
  EXPECT_EQ(queue.capacity_bytes(), 240U);
  const std::string twenty(20, 'x');
  for (int i = 0; i < 7; ++i) EXPECT_EQ(queue.try_push(twenty), Status::ok);
  EXPECT_EQ(queue.try_push(twenty), Status::full);
  EXPECT_EQ(queue.size(), 7U);
  EXPECT_EQ(queue.bytes(), 7U * 32);
  EXPECT_EQ(queue.try_push(""), Status::ok);
  EXPECT_EQ(queue.bytes(), 240U);
  EXPECT_THAT(queue.refusal(twenty),
              AllOf(HasSubstr("24 bytes takes 32"), HasSubstr("240 of 240 bytes"),
                    HasSubstr("8 of 100 items")));
  EXPECT_EQ(queue.pop(), twenty);
  EXPECT_EQ(queue.try_push(twenty), Status::ok);
}

TEST(Queue, WhatCanNeverFitIsTooLargeAtOnce) {
  Queue<std::string> queue(Capacity(100, 240));
  EXPECT_EQ(queue.push(std::string(229, 'x')), Status::too_large);
  EXPECT_EQ(queue.try_push(std::string(1000, 'x')), Status::too_large);
  EXPECT_EQ(queue.push(std::string(228, 'x')), Status::ok);
  EXPECT_EQ(queue.push(std::string(229, 'x'), 10ms), Status::too_large) << "full, too";
  EXPECT_EQ(queue.pop()->size(), 228U);
  Queue<std::string> growing(Capacity::unlimited(1 << 20));
  EXPECT_EQ(growing.push(std::string(1 << 20, 'x')), Status::too_large);
  EXPECT_EQ(growing.push(std::string((1 << 20) - 12, 'x')), Status::ok);
}

TEST(Queue, RefusesLimitsThatItCannotKeep) {
  EXPECT_EQ(code_of([] { Queue<int> q(Capacity(std::size_t{1} << 26)); }),
            std::errc::invalid_argument);
  EXPECT_EQ(code_of([] { Queue<int> q(Capacity(1, (std::size_t{1} << 34) + 1)); }),
            std::errc::invalid_argument);
}

TEST(Queue, FailsWhereItShallFail) {
  Queue<int> queue(2, {.overflow = Overflow::fail});
  EXPECT_EQ(queue.push(1), Status::ok);
  EXPECT_EQ(queue.push(2), Status::ok);
  EXPECT_EQ(queue.push(3), Status::full);
  EXPECT_EQ(queue.push(3, 1h), Status::full);
  EXPECT_THAT(drained(queue), ElementsAre(1, 2));
  EXPECT_EQ(queue.dropped(), 0U);
}

TEST(Queue, DropsTheOldestWhereItShall) {
  Queue<int> queue(3, {.overflow = Overflow::drop_oldest});
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(i % 2 == 0 ? queue.push(i) : queue.try_push(i), Status::ok);
  EXPECT_EQ(queue.dropped(), 7U);
  EXPECT_THAT(drained(queue), ElementsAre(7, 8, 9));
  // As many as are needed.
  Queue<std::string> bytes({100, 240}, {.overflow = Overflow::drop_oldest});
  for (const char* text : {"a", "b", "c"}) EXPECT_EQ(bytes.push(text), Status::ok);
  EXPECT_EQ(bytes.push(std::string(200, 'x')), Status::ok);
  EXPECT_THAT(drained(bytes), ElementsAre("c", std::string(200, 'x')));
  EXPECT_EQ(bytes.push(std::string(300, 'x')), Status::too_large);
}

TEST(Queue, DropsTheNewestWhereItShall) {
  Queue<int> queue(3, {.overflow = Overflow::drop_newest});
  const std::vector<int> five = {0, 1, 2, 3, 4};
  const QueueBatch batch = queue.push_each(five);
  EXPECT_EQ(batch.status, Status::ok);
  EXPECT_EQ(batch.count, 3U);
  EXPECT_EQ(queue.push(5), Status::ok);
  EXPECT_EQ(queue.dropped(), 3U);
  EXPECT_THAT(drained(queue), ElementsAre(0, 1, 2));
}

// -------------------------------------------------------------------------------------------------
// Batches, ranges

TEST(Queue, BatchesStopWhereTheRoomEnds) {
  Queue<int> queue(3);
  const std::vector<int> five = {1, 2, 3, 4, 5};
  QueueBatch batch = queue.try_push_each(five);
  EXPECT_EQ(batch.status, Status::full);
  EXPECT_EQ(batch.count, 3U);
  batch = queue.push_each(five, 10ms);
  EXPECT_EQ(batch.status, Status::timeout);
  EXPECT_EQ(batch.count, 0U);
  EXPECT_EQ(queue.push_each({}).status, Status::ok);
  std::vector<int> got = {0};
  EXPECT_EQ(queue.try_pop_each(got, 2).count, 2U);
  EXPECT_EQ(queue.pop_each(got, 100).count, 1U);
  EXPECT_THAT(got, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(queue.try_pop_each(got, 1).status, Status::empty);
  EXPECT_EQ(queue.pop_each(got, 1, 1ms).status, Status::timeout);
  EXPECT_EQ(queue.try_pop_each(got, 0).status, Status::ok);
  EXPECT_EQ(got.size(), 4U);
}

TEST(Queue, ABatchWaitsForRoomAsOftenAsItNeeds) {
  Queue<int> queue(3);
  std::vector<int> many(1000);
  for (int i = 0; i < 1000; ++i) many[static_cast<std::size_t>(i)] = i;
  Process pusher("pusher", [&] {
    const QueueBatch batch = queue.push_each(many);
    EXPECT_EQ(batch.status, Status::ok);
    EXPECT_EQ(batch.count, 1000U);
    queue.close();
  });
  std::vector<int> got;
  while (queue.pop_each(got, 7).status == Status::ok) {
  }
  EXPECT_EQ(got, many);
  pusher.join();
}

TEST(Queue, ABatchSaysHowFarItCameWhenOneIsTooLarge) {
  Queue<std::string> queue({10, 240});
  const std::vector<std::string> three = {"a", std::string(500, 'x'), "c"};
  const QueueBatch batch = queue.push_each(three);
  EXPECT_EQ(batch.status, Status::too_large);
  EXPECT_EQ(batch.count, 1U);
  EXPECT_THAT(drained(queue), ElementsAre("a"));
}

TEST(Queue, NothingComesBetweenTheItemsOfABatch) {
  Queue<std::pair<int, int>> queue(1000);
  std::array<std::optional<Process>, 3> pushers;
  for (int p = 0; p < 3; ++p) {
    pushers.at(static_cast<std::size_t>(p)).emplace("pusher", [&queue, p] {
      const std::vector<std::pair<int, int>> four = {{p, 0}, {p, 1}, {p, 2}, {p, 3}};
      for (int i = 0; i < 50; ++i) EXPECT_EQ(queue.push_each(four).count, 4U);
    });
  }
  for (auto& pusher : pushers) pusher->join();
  const auto all = drained(queue);
  ASSERT_EQ(all.size(), 600U);
  for (std::size_t i = 0; i < all.size(); i += 4) {
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(all[i + j], std::pair(all[i].first, static_cast<int>(j)));
    }
  }
}

TEST(Queue, IsARangeToTheEndOfTheStream) {
  Queue<std::string> queue(10);
  Process pusher("pusher", [&] {
    for (int i = 0; i < 100; ++i) EXPECT_EQ(queue.push(std::to_string(i)), Status::ok);
    queue.close();
  });
  int expected = 0;
  for (std::string& text : queue.items()) EXPECT_EQ(text, std::to_string(expected++));
  EXPECT_EQ(expected, 100);
  EXPECT_EQ(queue.status(), Status::closed);
  pusher.join();
}

// -------------------------------------------------------------------------------------------------
// Names, descriptors, types

TEST(Queue, IsFoundUnderItsName) {
  auto queue = Queue<Order>::create("orders", 3, {.overflow = Overflow::fail});
  EXPECT_TRUE(queue.created());
  EXPECT_EQ(queue.name(), "orders");
  EXPECT_EQ(code_of([] { Queue<Order>::create("orders", 3); }), std::errc::file_exists);
  Process other("other", [] {
    auto mine = Queue<Order>::open("orders");
    EXPECT_FALSE(mine.created());
    EXPECT_EQ(mine.capacity(), 3U);
    EXPECT_EQ(mine.push({'b', 1, 2}), Status::ok);
  });
  EXPECT_EQ(queue.pop(), (Order{'b', 1, 2}));
  other.join();
  EXPECT_EQ(other.exit_code(), 0);
  auto same = Queue<Order>::open_or_create("orders", 99);
  EXPECT_FALSE(same.created());
  EXPECT_EQ(same.capacity(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(same.push({}), Status::ok);
  EXPECT_EQ(same.push({}), Status::full) << "the policy is its maker's";
  EXPECT_TRUE(Queue<Order>::remove("orders"));
  EXPECT_FALSE(Queue<Order>::remove("orders"));
  EXPECT_EQ(queue.size(), 3U) << "its users go on";
}

TEST(Queue, RefusesWhatIsNoneOrOfAnotherType) {
  EXPECT_EQ(code_of([] { Queue<int>::open("nothing"); }), std::errc::no_such_file_or_directory);
  auto queue = Queue<Order>::create("typed", 3);
  EXPECT_EQ(code_of([] { Queue<OtherOrder>::open("typed"); }), make_error_code(Status::mismatch));
  EXPECT_EQ(code_of([] { Queue<std::string>::open("typed"); }), make_error_code(Status::mismatch));
  EXPECT_EQ(code_of([&] { Queue<int>::from_fd(queue.fd()); }), make_error_code(Status::mismatch));
}

TEST(Queue, AnotherVersionIsRefusedWithBothNumbers) {
  constexpr SegmentKind kNext = {.name = "queue",
                                 .version = Queue<int>::kVersion + 1,
                                 .fingerprint = codec_fingerprint<int>()};
  const auto segment = Segment::create("next", kNext, 1 << 14, Lifetime::while_used, [](auto) {});
  try {
    Queue<int>::open("next");
    ADD_FAILURE() << "it was opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), make_error_code(Status::mismatch));
    EXPECT_THAT(e.text().expected, HasSubstr("version 2"));
    EXPECT_THAT(e.text().found, HasSubstr("version 3"));
  }
}

TEST(Queue, RefusesASegmentThatIsTooSmallOrNotAQueueInside) {
  constexpr SegmentKind kKind = {
      .name = "queue", .version = Queue<int>::kVersion, .fingerprint = codec_fingerprint<int>()};
  for (const std::size_t size : {64, 1152, 1 << 14}) {
    const auto segment = Segment::create("bad", kKind, size, Lifetime::while_used, [](auto) {});
    EXPECT_EQ(code_of([] { Queue<int>::open("bad"); }), make_error_code(Status::corrupt)) << size;
  }
}

TEST(Queue, CanBeSentAsADescriptor) {
  Queue<int> queue(3);
  auto theirs = Queue<int>::from_fd(queue.fd());
  EXPECT_EQ(theirs.push(7), Status::ok);
  EXPECT_EQ(queue.pop(), 7);
}

TEST(Queue, MayBeMoved) {
  Queue<int> first(3);
  EXPECT_EQ(first.push(1), Status::ok);
  Queue<int> second = std::move(first);
  EXPECT_EQ(second.pop(), 1);
  EXPECT_TRUE(first.is_detached());
  EXPECT_THROW(static_cast<void>(first.size()), std::logic_error);
  first = std::move(second);
  EXPECT_EQ(first.push(2), Status::ok);
  static_assert(!std::is_copy_constructible_v<Queue<int>>);
}

TEST(Queue, OutlivesItsUsersIfThatIsItsLifetime) {
  const QueueOptions kept = {.segment = {.lifetime = Lifetime::until_removed}};
  EXPECT_EQ(Queue<int>::create("kept", 3, kept).push(8), Status::ok);
  EXPECT_EQ(Queue<int>::open("kept").pop(), 8);
  EXPECT_TRUE(Queue<int>::remove("kept"));
}

TEST(Queue, PrintsItself) {
  std::ostringstream out;
  auto named = Queue<int>::create("shown", 3, {.overflow = Overflow::drop_newest});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(named.push(i), Status::ok);
  out << named << '\n';
  Queue<std::string> growing;
  growing.close();
  out << growing << '\n';
  growing.detach();
  out << growing;
  EXPECT_EQ(out.str(),
            "Queue \"shown\": 3 of 3 items, 48 of 48 bytes, open, 1 dropped\n"
            "Queue: 0 items, 0 of 1073741824 bytes, closed\n"
            "Queue: detached");
}

// -------------------------------------------------------------------------------------------------
// Streams that end with their producers

constexpr QueueOptions kEnds = {.ends_with_producers = true};

TEST(QueueProducers, TheStreamEndsWithTheLast) {
  Queue<int> queue(10, kEnds);
  int item = 0;
  EXPECT_EQ(queue.try_pop(item), Status::empty) << "nobody has come yet";
  EXPECT_EQ(queue.pop(item, 20ms), Status::timeout);
  Gate leave;
  Process first("first", [&] {
    EXPECT_EQ(queue.push(1), Status::ok);
    leave.wait();
    queue.detach();
  });
  EXPECT_EQ(queue.pop(), 1);
  Process second("second", [&] {  // now that the first one has come
    EXPECT_EQ(queue.push(2), Status::ok);
    queue.detach();
  });
  EXPECT_EQ(queue.pop(), 2);
  second.join();
  EXPECT_EQ(queue.pop(item, 20ms), Status::timeout) << "one is left";
  leave.open();
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_EQ(queue.status(), Status::closed);
  EXPECT_FALSE(queue.is_closed());
  first.join();
}

TEST(QueueProducers, ADeadOneIsTold) {
  auto queue = Queue<int>::create("mourned", 10, kEnds);
  Process victim("victim", [] {
    auto mine = Queue<int>::open("mourned");  // not forked with it: it found it
    EXPECT_EQ(mine.push(1), Status::ok);
    pause();
  });
  EXPECT_EQ(queue.pop(), 1);
  victim.kill();
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_EQ(queue.status(), Status::peer_died);
  int item = 0;
  victim.join();
  EXPECT_EQ(queue.try_pop(item), Status::peer_died);
  EXPECT_EQ(queue.pop(item, 0s), Status::peer_died);
  EXPECT_EQ(queue.pop(item, 1s), Status::peer_died);
}

TEST(QueueProducers, WhatTheyHadPushedComesFirst) {
  Queue<int> queue(10, kEnds);
  Process pusher("pusher", [&] {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.push(i), Status::ok);
  });
  pusher.join();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.pop(), i);
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_EQ(queue.status(), Status::peer_died) << "it had not detached";
}

TEST(QueueProducers, OneWhoSaysThatItWillPushIsWaitedFor) {
  Queue<int> queue(10, kEnds);
  Gate announced;
  const pid_t consumer = gettid();
  Process other("other", [&] {
    EXPECT_EQ(queue.announce_producer(), Status::ok);
    announced.open();
    EXPECT_TRUE(wait_until_asleep(consumer));
    EXPECT_EQ(queue.push(1), Status::ok);
    queue.detach();
  });
  announced.wait();
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), std::nullopt);
  other.join();
}

TEST(QueueProducers, WhoHandsOverLeavesNoGap) {
  // Each takes its seat before the one that was there leaves: never is nobody there.
  Queue<int> queue(10, kEnds);
  EXPECT_EQ(queue.announce_producer(), Status::ok);
  std::atomic<bool> done = false;
  const UniqueFd fd = queue.fd();
  std::jthread hand_over([&] {
    std::optional<Queue<int>> sits;
    std::optional<Queue<int>> comes;
    for (int i = 0; i < 3000; ++i) {
      comes.emplace(Queue<int>::from_fd(UniqueFd(dup(fd.get()))));
      EXPECT_EQ(comes->announce_producer(), Status::ok);
      sits.reset();
      std::swap(sits, comes);
      if (i == 0) queue.detach();
    }
    done = true;
  });
  Queue<int> reader = Queue<int>::from_fd(UniqueFd(dup(fd.get())));
  int item = 0;
  while (!done) {
    const Status status = reader.try_pop(item);
    if (!done) {
      ASSERT_EQ(status, Status::empty);
    }
  }
}

TEST(QueueProducers, ManyThreadsOfOneHandleHaveOneSeat) {
  for (int round = 0; round < 50; ++round) {
    Queue<int> queue(100, kEnds);
    Queue<int> reader = Queue<int>::from_fd(queue.fd());
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] { ASSERT_EQ(queue.push(1), Status::ok); });
    }
    queue.detach();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(reader.pop(), 1);
    int item = 0;
    ASSERT_EQ(reader.pop(item, 1s), Status::closed);
  }
}

TEST(QueueProducers, ThereAreSeatsForTwoHundredAndFiftyFour) {
  auto queue = Queue<int>::create("crowded", 1000, kEnds);
  Process victim("victim", [] {
    std::vector<Queue<int>> handles;
    for (int i = 0; i < 100; ++i) {
      handles.push_back(Queue<int>::open("crowded"));
      EXPECT_EQ(handles.back().push(i), Status::ok);
    }
    pause();
  });
  while (queue.size() < 100) std::this_thread::yield();
  std::vector<Queue<int>> handles;
  for (int i = 0; i < 154; ++i) {
    handles.push_back(Queue<int>::open("crowded"));
    EXPECT_EQ(handles.back().push(i), Status::ok);
  }
  EXPECT_EQ(queue.push(1), Status::busy);
  EXPECT_EQ(queue.announce_producer(), Status::busy);
  handles.pop_back();
  EXPECT_EQ(queue.push(1), Status::ok) << "the seat of one that left";
  auto late = Queue<int>::open("crowded");
  EXPECT_EQ(late.push(1), Status::busy);
  victim.kill();
  victim.join();
  for (int i = 0; i < 100; ++i) {
    handles.push_back(Queue<int>::open("crowded"));
    EXPECT_EQ(handles.back().push(i), Status::ok) << "a seat of the dead";
  }
  EXPECT_EQ(late.push(1), Status::busy);
  handles.clear();
  queue.detach();
  EXPECT_EQ(drained(late).size(), 100U + 154 + 1 + 100);
  EXPECT_EQ(late.pop(), std::nullopt);
  EXPECT_EQ(late.status(), Status::peer_died);
}

// -------------------------------------------------------------------------------------------------
// Growth

std::int64_t memory_of(const UniqueFd& fd) {
  struct stat status = {};
  EXPECT_EQ(fstat(fd.get(), &status), 0);
  return std::int64_t{status.st_blocks} * 512;
}

TEST(QueueGrowth, AMillionItemsWithoutAConsumerAndTheMemoryIsGivenBack) {
  constexpr int kItems = 1000000;
  Queue<std::string> queue;
  const UniqueFd fd = queue.fd();
  const std::int64_t before = memory_of(fd);
  EXPECT_LT(before, 1 << 18);
  for (int i = 0; i < kItems; ++i) ASSERT_EQ(queue.push(std::to_string(i)), Status::ok);
  EXPECT_EQ(queue.size(), static_cast<std::size_t>(kItems));
  EXPECT_GE(memory_of(fd), static_cast<std::int64_t>(queue.bytes()));
  EXPECT_LT(memory_of(fd), static_cast<std::int64_t>(queue.bytes()) + (4 << 20));
  for (int i = 0; i < kItems; ++i) ASSERT_EQ(queue.pop(), std::to_string(i));
  std::string none;
  EXPECT_EQ(queue.try_pop(none), Status::empty);
  EXPECT_LE(memory_of(fd), before);
  EXPECT_EQ(queue.push("again"), Status::ok);
  EXPECT_EQ(queue.pop(), "again");
}

TEST(QueueGrowth, GrowsWhileItIsWrappedInAnotherProcessToo) {
  auto queue = Queue<std::string>::create("wrapped", Capacity::unlimited(1 << 24),
                                          {.overflow = Overflow::block});
  const auto text = [](int i) {
    return std::string(static_cast<std::size_t>(i) * 7919 % 5000, static_cast<char>('a' + i % 26)) +
           std::to_string(i);
  };
  constexpr int kItems = 20000;
  Process pusher("pusher", [&] {
    auto mine = Queue<std::string>::open("wrapped");
    for (int i = 0; i < kItems; ++i) EXPECT_EQ(mine.push(text(i)), Status::ok);
  });
  std::mt19937 random(1);
  for (int i = 0; i < kItems; ++i) {
    const auto some = static_cast<std::size_t>(std::min(300, kItems - i));
    const bool lets_it_grow = random() % 2000 == 0;
    while (lets_it_grow && queue.size() < some) std::this_thread::yield();
    ASSERT_EQ(queue.pop(), text(i));
  }
  pusher.join();
}

TEST(QueueGrowth, SaysFullAtItsLimitWithTheFigures) {
  Queue<std::string> queue(Capacity::unlimited(1 << 20));
  const std::string text(1000, 'x');
  std::size_t pushed = 0;
  while (queue.push(text) == Status::ok) ++pushed;
  EXPECT_EQ(pushed, (std::size_t{1} << 20) / 1016);
  EXPECT_EQ(queue.push(text, 1h), Status::full) << "one that grows does not wait";
  EXPECT_THAT(queue.refusal(text), HasSubstr("of 1048576 bytes in use"));
  EXPECT_EQ(queue.pop(), text);
  EXPECT_EQ(queue.push(text), Status::ok);
}

TEST(QueueGrowth, ItemsAloneMayBeLimited) {
  Queue<std::string> queue(Capacity(3));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.push(std::string(100000, 'x')), Status::ok);
  EXPECT_EQ(queue.push("y", 10ms), Status::timeout) << "one with a limit in items waits";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.pop()->size(), 100000U);
}

// -------------------------------------------------------------------------------------------------
// Beside others

TEST(QueueWaiting, WaitAnyTellsWhich) {
  Queue<int> first(3);
  Queue<int> second(3);
  EXPECT_THAT(wait_any({first.wait_handle(), second.wait_handle()}, 1ms), ElementsAre());
  const pid_t waiter = gettid();
  Process pusher("pusher", [&] {
    EXPECT_TRUE(wait_until_asleep(waiter));
    EXPECT_EQ(second.push(1), Status::ok);
  });
  EXPECT_THAT(wait_any({first, second}, 10s), ElementsAre(1));
  pusher.join();
  first.close();
  EXPECT_THAT(wait_any({first, second}, 10s), ElementsAre(0, 1));
}

TEST(QueueWaiting, WaitAnyEndsWithTheProducers) {
  Queue<int> queue(3, kEnds);
  Process victim("victim", [&] {
    EXPECT_EQ(queue.push(1), Status::ok);
    pause();
  });
  EXPECT_EQ(queue.pop(), 1);
  const pid_t waiter = gettid();
  std::jthread killer([&] {
    EXPECT_TRUE(wait_until_asleep(waiter));
    victim.kill();
  });
  EXPECT_THAT(wait_any({queue}, 10s), ElementsAre(0));
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(QueueWaiting, PollAndEpollSeeItsDescriptor) {
  Queue<int> queue(3);
  const int fd = queue.descriptor();
  EXPECT_EQ(fd, queue.descriptor());
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = 7}};
  ASSERT_EQ(epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event), 0);
  int item = 0;
  EXPECT_EQ(queue.try_pop(item), Status::empty);
  pollfd polled = {.fd = fd, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&polled, 1, 0), 0);
  EXPECT_EQ(epoll_wait(epoll.get(), &event, 1, 0), 0);
  Process pusher("pusher", [&] { EXPECT_EQ(queue.push(1), Status::ok); });
  EXPECT_EQ(poll(&polled, 1, 10000), 1);
  EXPECT_EQ(epoll_wait(epoll.get(), &event, 1, 10000), 1);
  EXPECT_EQ(event.data.u64, 7U);
  pusher.join();
  EXPECT_EQ(queue.try_pop(item), Status::ok);
  EXPECT_EQ(queue.try_pop(item), Status::empty);
  EXPECT_EQ(poll(&polled, 1, 0), 0);
  queue.close();
  EXPECT_EQ(poll(&polled, 1, 10000), 1);
}

}  // namespace
}  // namespace sluice::tests
