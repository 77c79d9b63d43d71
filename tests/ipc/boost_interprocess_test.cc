// SPDX-License-Identifier: Apache-2.0
//
// Boost's containers in a segment of ours: between processes that met by name, after deaths, out of
// memory. Row SC2 of BEHAVIOUR.

#include "sluice/ipc/boost_interprocess.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/unordered_map.hpp>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/segment.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using tests::ChildParty;
using tests::error_of;
using tests::Gate;

using Access = BoostSegment::Access;
using Text = boost::interprocess::basic_string<char, std::char_traits<char>, BoostAllocator<char>>;
using Texts = boost::interprocess::vector<Text, BoostAllocator<Text>>;
using Numbers = boost::interprocess::vector<int, BoostAllocator<int>>;
using Ages = boost::interprocess::map<Text, int, std::less<Text>,
                                      BoostAllocator<std::pair<const Text, int>>>;
using Squares = boost::unordered_map<int, int, boost::hash<int>, std::equal_to<int>,
                                     BoostAllocator<std::pair<const int, int>>>;

Numbers& numbers_of(Access& access) {
  return access.find_or_construct<Numbers>("numbers", access.allocator<int>());
}

std::vector<int> copy_of(Access& access) {
  const Numbers& numbers = numbers_of(access);
  return {numbers.begin(), numbers.end()};
}

/// An int that kills its process when it is copied.
struct Deadly {
  int value = 0;
  Deadly(int v) : value(v) {}  // NOLINT(google-explicit-constructor): as a container wants it
  Deadly(const Deadly& other) : value(other.value) {
    if (value == 13) raise(SIGKILL);
  }
  Deadly& operator=(const Deadly&) = default;
};
using Deadlies = boost::interprocess::vector<Deadly, BoostAllocator<Deadly>>;

/// A process opens the segment by name, and is killed in the middle of a push_back.
void kill_a_writer(const std::string& name) {
  Process writer([&] {
    auto segment = BoostSegment::open(name);
    segment.with_lock([](Access& access) {
      auto& all = access.find_or_construct<Deadlies>("deadlies", access.allocator<Deadly>());
      all.push_back(1);
      all.push_back(13);
    });
  });
  writer.join();
  EXPECT_EQ(writer.exit_code(), -SIGKILL);
}

// -------------------------------------------------------------------------------------------------
// What it is for

TEST(BoostSegment, CarriesContainersBetweenProcessesThatMetByName) {
  const std::string name = "containers";
  Gate created;
  ChildParty writer([&] {  // forked first: it inherits nothing of the segment
    created.wait();
    auto segment = BoostSegment::open(name);
    EXPECT_FALSE(segment.created());
    segment.with_lock([](Access& access) {
      auto& texts = access.find_or_construct<Texts>("texts", access.allocator<Text>());
      for (const char* text : {"short", "a text that is too long to lie in the string itself"}) {
        texts.emplace_back(text, access.allocator<char>());
      }
      auto& ages =
          access.find_or_construct<Ages>("ages", std::less<Text>(), access.allocator<char>());
      ages.emplace(Text("ada", access.allocator<char>()), 36);
      auto& squares = access.find_or_construct<Squares>(
          "squares", 8U, boost::hash<int>(), std::equal_to<int>(), access.allocator<char>());
      for (int i = 0; i < 100; ++i) squares.emplace(i, i * i);
    });
  });
  // The mappings of a child and its parent would lie at the same address: something is in between.
  const Shared<std::array<char, 1 << 20>> other;
  auto segment = BoostSegment::create(name, 1 << 16);
  EXPECT_TRUE(segment.created());
  created.open();
  writer.finish();
  segment.with_lock([](Access& access) {
    Texts* const texts = access.find<Texts>("texts");
    ASSERT_NE(texts, nullptr);
    ASSERT_EQ(texts->size(), 2U);
    EXPECT_EQ((*texts)[1], "a text that is too long to lie in the string itself");
    Ages* const ages = access.find<Ages>("ages");
    ASSERT_NE(ages, nullptr);
    EXPECT_EQ(ages->at(Text("ada", access.allocator<char>())), 36);
    EXPECT_EQ(access.find<Squares>("squares")->at(9), 81);
    EXPECT_EQ(access.find<Numbers>("nobody's"), nullptr);
  });
}

TEST(BoostSegment, IsTheSameAtAnotherAddress) {
  auto one = BoostSegment::create("twice", 1 << 16);
  auto two = BoostSegment::open("twice");
  ASSERT_NE(one.segment().object().data(), two.segment().object().data());
  one.with_lock([](Access& access) { numbers_of(access).assign(1000, 7); });
  EXPECT_EQ(two.with_lock(copy_of), std::vector<int>(1000, 7));
  two.with_lock([](Access& access) { numbers_of(access).push_back(8); });
  EXPECT_EQ(one.with_lock(copy_of).back(), 8);
}

/// Over threads, forked children, and processes that met by name; each party opens the segment
/// itself, but for the forked, who inherit it.
template <class Way>
class BoostBehaviour : public testing::Test {
 protected:
  struct Room {
    std::atomic<int> ready;
  };

  BoostSegment& segment() { return segment_; }

  /// Starts a party with `body`, and returns its number.
  int start(std::function<void(BoostSegment&, Room&)> body) {
    return stage_.start([this, body = std::move(body)](Room& room) {
      if constexpr (std::is_same_v<Way, tests::ByFork>) {
        body(segment_, room);
      } else {
        auto mine = BoostSegment::open("ways");
        body(mine, room);
      }
    });
  }

  BoostSegment segment_ = BoostSegment::create("ways", 1 << 16);
  tests::Stage<Way, Room> stage_;
};
TYPED_TEST_SUITE(BoostBehaviour, tests::Ways, tests::WayNames);

/// What a child doubles: numbers of three kinds, a struct, ten doubles and a text.
struct Foo {
  int x;
  double y;
  long long z;
};
using Doubles = boost::interprocess::vector<double, BoostAllocator<double>>;

void make_values(Access& access) {
  access.find_or_construct<int>("int", 7);
  access.find_or_construct<double>("double", 1.0 / 3);
  access.find_or_construct<long long>("long", 1LL << 33);
  access.find_or_construct<Foo>("foo", Foo{3, 2, 1LL << 33});
  Doubles& doubles = access.find_or_construct<Doubles>("doubles", access.allocator<double>());
  for (int i = 0; i < 10; ++i) doubles.push_back(i);
  access.find_or_construct<Text>("text", "hello", access.allocator<char>());
}

void double_values(Access& access) {
  *access.find<int>("int") *= 2;
  *access.find<double>("double") *= 2;
  *access.find<long long>("long") *= 2;
  Foo& foo = *access.find<Foo>("foo");
  foo = {foo.x * 2, foo.y * 2, foo.z * 2};
  for (double& d : *access.find<Doubles>("doubles")) d *= 2;
  Text& text = *access.find<Text>("text");
  text += text;
}

TYPED_TEST(BoostBehaviour, SC2_ValuesAreDoubledUnderTheLock) {
  this->segment().with_lock(make_values);
  const int other =
      this->start([](BoostSegment& segment, auto&) { segment.with_lock(double_values); });
  this->stage_.finish(other);
  this->segment().with_lock([](Access& access) {
    EXPECT_EQ(*access.find<int>("int"), 14);
    EXPECT_DOUBLE_EQ(*access.find<double>("double"), 2.0 / 3);
    EXPECT_EQ(*access.find<long long>("long"), 1LL << 34);
    const Foo foo = *access.find<Foo>("foo");
    EXPECT_EQ(std::tuple(foo.x, foo.y, foo.z), std::tuple(6, 4.0, 1LL << 34));
    EXPECT_THAT(*access.find<Doubles>("doubles"), ElementsAre(0, 2, 4, 6, 8, 10, 12, 14, 16, 18));
    EXPECT_EQ(*access.find<Text>("text"), "hellohello");
  });
}

TYPED_TEST(BoostBehaviour, OneAtATime) {
  const auto count = [](BoostSegment& segment) {
    for (int i = 0; i < 2000; ++i) {
      segment.with_lock([](Access& access) {
        ++access.find_or_construct<int>("count", 0);
        numbers_of(access).push_back(1);
      });
    }
  };
  for (int i = 0; i < 3; ++i) {
    this->start([count](BoostSegment& segment, auto&) { count(segment); });
  }
  count(this->segment());
  this->stage_.finish();
  this->segment().with_lock([](Access& access) {
    EXPECT_EQ(*access.find<int>("count"), 8000);
    EXPECT_EQ(numbers_of(access).size(), 8000U);
    EXPECT_TRUE(access.memory().check_sanity());
  });
}

TEST(BoostSegment, WhatIsFreeIsNotedForTheInspector) {
  BoostSegment segment(1 << 14);
  const auto noted = [&] {
    std::uint64_t free = 0;
    std::memcpy(&free, segment.segment().object().data() + 16, sizeof free);
    return free;
  };
  const auto free_in = [](Access& access) { return access.free_bytes(); };
  const std::size_t before = noted();
  EXPECT_EQ(before, segment.with_lock(free_in));
  segment.with_lock([](Access& access) { numbers_of(access).assign(1000, 7); });
  EXPECT_LE(noted(), before - 4000);
  EXPECT_EQ(noted(), segment.with_lock(free_in));
}

TEST(BoostSegment, GoesThroughADescriptor) {
  BoostSegment segment(1 << 14);
  segment.with_lock([](Access& access) { numbers_of(access).push_back(5); });
  auto other = BoostSegment::from_fd(segment.fd());
  EXPECT_EQ(other.with_lock(copy_of), std::vector{5});
}

TEST(BoostSegment, NamesAreAsEverywhere) {
  EXPECT_EQ(error_of([] { return BoostSegment::open("one"); }).code(),
            std::errc::no_such_file_or_directory);
  auto made = BoostSegment::open_or_create("one", 1 << 14);
  EXPECT_TRUE(made.created());
  EXPECT_EQ(made.name(), "one");
  EXPECT_GE(made.size(), std::size_t{1} << 14);
  EXPECT_FALSE(BoostSegment::open_or_create("one", 1 << 14).created());
  EXPECT_EQ(error_of([] { return BoostSegment::create("one", 1 << 14); }).code(),
            std::errc::file_exists);
  EXPECT_TRUE(BoostSegment::remove("one"));
  EXPECT_EQ(made.with_lock(copy_of), std::vector<int>()) << "who has it keeps it";
}

TYPED_TEST(BoostBehaviour, TheHoldersOwnTimeIsTheOthersTimeout) {
  const int holder = this->start([](BoostSegment& segment, auto& room) {
    const Access access = segment.lock();
    room.ready = 1;
    while (room.ready == 1) sched_yield();
  });
  while (this->stage_->ready == 0) sched_yield();
  EXPECT_EQ(this->segment().try_lock(), std::nullopt);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(this->segment().try_lock(20ms), std::nullopt);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 20ms);
  this->stage_->ready = 2;
  this->stage_.finish(holder);
  EXPECT_NE(this->segment().try_lock(), std::nullopt);
}

/// Where there are processes to kill.
template <class Way>
class BoostDeath : public BoostBehaviour<Way> {};
using Processes = testing::Types<tests::ByFork, tests::ByName>;
TYPED_TEST_SUITE(BoostDeath, Processes, tests::WayNames);

TYPED_TEST(BoostDeath, WhoWaitsForAKilledWriterIsRefused) {
  this->segment().with_lock([](Access& access) { numbers_of(access).assign(3, 1); });
  const int writer = this->start([](BoostSegment& segment, auto& room) {
    const auto body = [&](Access& access) {
      numbers_of(access).push_back(2);
      room.ready = 1;
      for (;;) pause();
    };
    segment.with_lock(body);
  });
  while (this->stage_->ready == 0) sched_yield();
  const int waiter = this->start([](BoostSegment& segment, auto& room) {
    room.ready = 2;
    EXPECT_THROW(segment.with_lock(copy_of), OwnerDied);
  });
  while (this->stage_->ready == 1) sched_yield();
  this->stage_.wait_until_asleep(waiter);
  this->stage_.kill(writer);
  this->stage_.finish(waiter);
  EXPECT_THROW(this->segment().with_lock(copy_of), OwnerDied);
  this->segment().with_lock([](Access&) {}, [](Access& access) { access.clear(); });
  EXPECT_EQ(this->segment().with_lock(copy_of), std::vector<int>());
}

// -------------------------------------------------------------------------------------------------
// The lock

TEST(BoostSegment, IsLockedToTheEndOfTheScope) {
  BoostSegment segment(1 << 14);
  {
    const Access access = segment.lock();
    EXPECT_THROW(static_cast<void>(segment.lock()), std::logic_error);
    std::jthread([&] {
      EXPECT_EQ(segment.try_lock(), std::nullopt);
      EXPECT_EQ(segment.try_lock(10ms), std::nullopt);
    });
    ChildParty child([&] { EXPECT_EQ(segment.try_lock(), std::nullopt); });
    child.finish();
  }
  std::jthread([&] { EXPECT_NE(segment.try_lock(), std::nullopt); });
}

TEST(BoostSegment, AFunctionThatThrowsGivesTheLockBack) {
  BoostSegment segment(1 << 14);
  EXPECT_THROW(segment.with_lock([](Access&) { throw std::out_of_range("mine"); }),
               std::out_of_range);
  std::jthread([&] { EXPECT_NE(segment.try_lock(), std::nullopt); });
}

TEST(BoostSegment, TheHandleMovesUnderALock) {
  auto first = BoostSegment::create("moving", 1 << 14);
  Access access = first.lock();
  BoostSegment second = std::move(first);
  numbers_of(access).push_back(4);
  {
    const Access gone = std::move(access);
  }
  EXPECT_EQ(second.with_lock(copy_of), std::vector{4});
}

// -------------------------------------------------------------------------------------------------
// Deaths

TEST(BoostSegment, AfterAKilledWriterAllAreRefused) {
  auto segment = BoostSegment::create("killed", 1 << 14);
  kill_a_writer("killed");
  for (int i = 0; i < 2; ++i) {
    EXPECT_THROW(segment.with_lock(copy_of), OwnerDied);
    EXPECT_THROW(static_cast<void>(segment.lock()), OwnerDied);
    EXPECT_THROW(static_cast<void>(segment.try_lock()), OwnerDied);
  }
  ChildParty other([] {
    auto mine = BoostSegment::open("killed");
    const Error error = error_of([&] { return mine.with_lock(copy_of); });
    EXPECT_EQ(error.code(), Status::owner_died);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("lock boost segment \"killed\""),
                                    HasSubstr("died holding it"), HasSubstr("repair")));
  });
  other.finish();
}

TEST(BoostSegment, ARepairMakesItUsableAgain) {
  auto segment = BoostSegment::create("repaired", 1 << 14);
  kill_a_writer("repaired");
  EXPECT_THROW(segment.with_lock(copy_of, [](Access&) { throw std::runtime_error("can't"); }),
               std::runtime_error);
  EXPECT_THROW(segment.with_lock(copy_of), OwnerDied) << "a repair that throws is none";
  int repairs = 0;
  const auto repair = [&](Access& access) {
    ++repairs;
    access.clear();
    numbers_of(access).push_back(-1);
  };
  const std::size_t free = segment.with_lock([](Access& a) { return a.free_bytes(); }, repair);
  EXPECT_GT(free, std::size_t{1} << 13);
  EXPECT_EQ(segment.with_lock(copy_of, repair), std::vector{-1});
  EXPECT_EQ(BoostSegment::open("repaired").with_lock(copy_of), std::vector{-1});
  EXPECT_EQ(repairs, 1);
  segment.with_lock([](Access& a) { EXPECT_EQ(a.find<Deadlies>("deadlies"), nullptr); });
}

TEST(BoostSegment, ARepairerThatIsKilledLeavesTheMark) {
  auto segment = BoostSegment::create("again", 1 << 14);
  kill_a_writer("again");
  Process repairer([&] { segment.with_lock(copy_of, [](Access&) { raise(SIGKILL); }); });
  repairer.join();
  EXPECT_THROW(segment.with_lock(copy_of), OwnerDied);
  segment.with_lock(copy_of, [](Access& access) { access.clear(); });
  EXPECT_EQ(segment.with_lock(copy_of), std::vector<int>());
}

TEST(BoostSegment, ADeathOutsideTheLockIsNone) {
  auto segment = BoostSegment::create("outside", 1 << 14);
  Process writer([&] {
    segment.with_lock([](Access& access) { numbers_of(access).push_back(3); });
    raise(SIGKILL);
  });
  writer.join();
  EXPECT_EQ(segment.with_lock(copy_of), std::vector{3});
}

// -------------------------------------------------------------------------------------------------
// What is refused

TEST(BoostSegment, WithoutRoomIsAnErrorAndChangesNothing) {
  auto segment = BoostSegment::create("small", 1 << 13);
  segment.with_lock([](Access& access) { numbers_of(access).assign(100, 1); });
  // As many as there were room for, if there were nothing else in it.
  const std::size_t all = segment.size() / sizeof(int) - 8;
  const Error error = error_of([&] {
    segment.with_lock([=](Access& access) { numbers_of(access).resize(all); });
    return 0;
  });
  EXPECT_EQ(error.code(), std::errc::not_enough_memory);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("boost segment \"small\""), HasSubstr("bytes free")));
  EXPECT_EQ(segment.with_lock(copy_of), std::vector<int>(100, 1));
  segment.with_lock([=](Access& access) {
    struct Large {
      char bytes[1 << 14];
    };
    EXPECT_EQ(error_of([&] { return access.find_or_construct<Large>("large"); }).code(),
              std::errc::not_enough_memory);
    EXPECT_THROW(numbers_of(access).resize(all), boost::interprocess::bad_alloc);
  });
  EXPECT_EQ(error_of([] { return BoostSegment(10); }).code(), std::errc::invalid_argument);
}

TEST(BoostSegment, IsNothingElse) {
  const auto number = Shared<int>::create("number", 1);
  EXPECT_EQ(error_of([] { return BoostSegment::open("number"); }).code(), Status::mismatch);
  const auto segment = BoostSegment::create("mine", 1 << 14);
  EXPECT_EQ(error_of([] { return Shared<int>::open("mine"); }).code(), Status::mismatch);
}

TEST(BoostSegment, BytesOfAnotherSizeAreRefused) {
  auto segment = BoostSegment::create("overwritten", 1 << 14);
  const std::span<std::byte> object = segment.segment().object();
  std::fill(object.begin() + 64, object.end(), std::byte{0x5a});
  const Error error = error_of([] { return BoostSegment::open("overwritten"); });
  EXPECT_EQ(error.code(), Status::corrupt);
  EXPECT_THAT(error.what(), HasSubstr("\"overwritten\""));
}

TEST(BoostSegment, PrintsItself) {
  std::ostringstream out;
  BoostSegment segment = BoostSegment::create("shown", 1 << 14);
  out << segment;
  EXPECT_THAT(out.str(), AllOf(HasSubstr("boost segment \"shown\", "), HasSubstr("Mutex: ")));
}

}  // namespace
}  // namespace sluice
