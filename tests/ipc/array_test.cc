// SPDX-License-Identifier: Apache-2.0
//
// Rows of BEHAVIOUR: AR1, AR2, AR4, AR5 (arrays), SC1, SC2 (an array and a text, without and with a
// lock).

#include "sluice/ipc/array.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <ranges>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using tests::ChildParty;
using tests::error_of;
using tests::Gate;

static_assert(std::ranges::contiguous_range<Array<int>>);
static_assert(std::ranges::contiguous_range<const Array<int>>);
static_assert(std::ranges::sized_range<RawArray<double>>);
static_assert(std::ranges::contiguous_range<LockedArray<int>>);
static_assert(!std::is_copy_constructible_v<Array<int>>);
static_assert(std::is_nothrow_move_constructible_v<Array<int>>);
template <class A>
concept Lockable = requires(A& array) { array.lock(); };
static_assert(Lockable<Array<int>> && !Lockable<RawArray<int>>);
template <class T>
concept Atomic = requires(Array<T>& array) { array.atomic(0); };

struct Point {
  static constexpr std::string_view kTypeName = "test.Point";
  double x, y;
};
struct alignas(512) Wide {
  static constexpr std::string_view kTypeName = "test.Wide";
  int first;
};
static_assert(Atomic<int> && Atomic<double> && Atomic<std::int64_t> && !Atomic<Point>);

template <class Exception, class Call>
std::string text_of(Call call) {
  try {
    static_cast<void>(call());
  } catch (const Exception& e) {
    return e.what();
  }
  ADD_FAILURE() << "nothing of that type was thrown";
  return "";
}

/// Lets a child come to the end of `body` and kills it there, with all that it holds.
template <class Body>
void run_and_kill(Body body) {
  Gate done;
  Process child([&] {
    [[maybe_unused]] const auto kept = body();
    done.open();
    for (;;) pause();
  });
  done.wait();
  child.kill();
  child.join();
  ASSERT_EQ(child.exit_code(), -SIGKILL);
}

// -------------------------------------------------------------------------------------------------
// In three ways: another party works on the array, and this one sees it

struct ByThreads {
  static constexpr const char* kName = "Threads";

  template <class A>
  static void run(A made, std::function<void(const A&)> theirs,
                  std::function<void(const A&)> ours) {
    {
      const std::jthread other([&] { tests::run_reporting([&] { theirs(made); }); });
    }
    ours(made);
  }
};

struct ByFork {
  static constexpr const char* kName = "Fork";

  template <class A>
  static void run(A made, std::function<void(const A&)> theirs,
                  std::function<void(const A&)> ours) {
    ChildParty other([&] { theirs(made); });
    other.finish();
    ours(made);
  }
};

struct ByName {
  static constexpr const char* kName = "Name";

  template <class A>
  static void run(A values, std::function<void(const A&)> theirs,
                  std::function<void(const A&)> ours) {
    const auto made = A::create("three-ways", values.span());
    ChildParty other([&] {
      const auto opened = A::open("three-ways");
      EXPECT_NE(opened.data(), made.data());
      theirs(opened);
    });
    other.finish();
    ours(made);
  }
};

struct Names {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};

template <class Way>
class ArrayBody : public testing::Test {};
using Ways = testing::Types<ByThreads, ByFork, ByName>;
TYPED_TEST_SUITE(ArrayBody, Ways, Names);

TYPED_TEST(ArrayBody, AR1_ARangeThatAnotherChangesInPlace) {
  Array<int> array = Array<int>({680, 626, 934, 821, 150, 233, 548, 982, 714, 831});
  ASSERT_EQ(array.size(), 10U);
  EXPECT_EQ(array[4], 150);
  EXPECT_THAT(array.slice(2, 7), ElementsAre(934, 821, 150, 233, 548));
  array.assign(2, 7, {1, 2, 3, 4, 5});
  TypeParam::template run<Array<int>>(
      std::move(array),
      [](const Array<int>& it) { std::partial_sum(it.begin(), it.end(), it.begin()); },
      [](const Array<int>& it) {
        EXPECT_THAT(it, ElementsAre(680, 1306, 1307, 1309, 1312, 1316, 1321, 2303, 3017, 3848));
      });
}

TYPED_TEST(ArrayBody, SC1_NumbersAndTextAreDoubledByTheOther) {
  RawArray<double> numbers(10);
  std::iota(numbers.begin(), numbers.end(), 0.0);
  TypeParam::template run<RawArray<double>>(
      std::move(numbers),
      [](const RawArray<double>& it) {
        for (double& one : it) one *= 2;
      },
      [](const RawArray<double>& it) {
        EXPECT_THAT(it, ElementsAre(0, 2, 4, 6, 8, 10, 12, 14, 16, 18));
      });
  RawArray<char> text(20);
  text.assign_text("hello");
  TypeParam::template run<RawArray<char>>(
      std::move(text), [](const RawArray<char>& it) { it.assign_text(it.text() + it.text()); },
      [](const RawArray<char>& it) { EXPECT_EQ(it.text(), "hellohello"); });
}

TYPED_TEST(ArrayBody, SC2_UnderTheLockNothingIsLost) {
  const auto work = [](const Array<long>& array) {
    for (int i = 0; i < 2'000; ++i) {
      const auto held = array.lock();
      for (long& one : held) one = one + 1;
      if (held[0] != held[7]) throw std::logic_error("another came in between");
    }
  };
  TypeParam::template run<Array<long>>(
      Array<long>(8),
      [&](const Array<long>& it) {
        std::thread second([&] { work(it); });
        work(it);
        second.join();
      },
      [](const Array<long>& it) { EXPECT_THAT(it, Each(4'000)); });
}

TYPED_TEST(ArrayBody, AtomicAccessNeedsNoLock) {
  const auto work = [](const RawArray<std::uint32_t>& it) {
    for (int i = 0; i < 20'000; ++i) it.atomic(1).fetch_add(1);
  };
  TypeParam::template run<RawArray<std::uint32_t>>(
      RawArray<std::uint32_t>(3),
      [&](const RawArray<std::uint32_t>& it) {
        std::thread second([&] { work(it); });
        work(it);
        second.join();
      },
      [](const RawArray<std::uint32_t>& it) {
        EXPECT_THAT(it, ElementsAre(0, 40'000, 0));
        std::uint32_t expected = 40'000;
        EXPECT_TRUE(it.atomic(1).compare_exchange(expected, 6));
        EXPECT_FALSE(it.atomic(1).compare_exchange(expected, 7));
        EXPECT_EQ(expected, 6U);
        EXPECT_EQ(it.atomic(1).fetch_or(1), 6U);
        EXPECT_EQ(it.atomic(1).fetch_and(3), 7U);
        EXPECT_EQ(it.atomic(1).fetch_xor(1), 3U);
        EXPECT_EQ(it.atomic(1).exchange(9), 2U);
        it.atomic(1).store(8);
        EXPECT_EQ(it.atomic(1).load(), 8U);
      });
}

// -------------------------------------------------------------------------------------------------
// Killed

TEST(ArrayDeath, KilledBetweenTwoElementsUnderTheLock) {
  const Array<int> array({1, 1, 1, 1});
  run_and_kill([&] {
    array.mutex().lock();
    array[0] = 2;
    array[1] = 2;
    return 0;
  });
  EXPECT_THROW(static_cast<void>(array.lock()), OwnerDied) << "the elements are half changed";
  EXPECT_THROW(static_cast<void>(array.with_lock([](std::span<int>) {})), OwnerDied)
      << "until somebody repairs";
  {
    const auto held = array.lock([](std::span<int> all) {
      EXPECT_THAT(all, ElementsAre(2, 2, 1, 1));
      std::ranges::fill(all, 1);
    });
    EXPECT_THAT(held, Each(1));
  }
  EXPECT_EQ(array.with_lock([](std::span<int> all) { return all[0]; }), 1);
}

TEST(ArrayDeath, ARepairThatFailsLeavesTheMark) {
  const Array<int> array(2);
  run_and_kill([&] {
    array.mutex().lock();
    return 0;
  });
  EXPECT_THROW(static_cast<void>(array.lock([](std::span<int>) { throw std::domain_error("no"); })),
               std::domain_error);
  EXPECT_THROW(static_cast<void>(array.lock()), OwnerDied);
  EXPECT_NO_THROW(static_cast<void>(array.lock([](std::span<int>) {})));
  EXPECT_NO_THROW(static_cast<void>(array.lock()));
}

TEST(ArrayDeath, KilledWithTheLockOfANamedOne) {
  const auto array = Array<int>::create("killed", 3);
  run_and_kill([] {
    auto mine = Array<int>::open("killed");
    mine.mutex().lock();
    mine[0] = 7;
    return mine;
  });
  EXPECT_THROW(static_cast<void>(Array<int>::open("killed").lock()), OwnerDied);
  EXPECT_EQ(array.lock([](std::span<int>) {})[0], 7);
}

TEST(ArrayDeath, AGuardAcrossAForkIsTheParents) {
  const Array<int> array(1);
  const auto held = array.lock();
  ChildParty child([&] { EXPECT_FALSE(array.mutex().try_lock()); });
  child.finish();
  EXPECT_TRUE(array.mutex().is_owned());
}

// -------------------------------------------------------------------------------------------------
// Making it

TEST(ArrayMaking, AR2_ANewOneIsZeroWhateverWasThereBefore) {
  for (int round = 0; round < 3; ++round) {
    const Array<std::uint64_t> array(10);
    EXPECT_THAT(array, Each(0));
    array.fill(~std::uint64_t{0});
  }
  run_and_kill([] {
    auto array = Array<std::uint64_t>::create("dirty", 10);
    array.fill(~std::uint64_t{0});
    return array;
  });
  EXPECT_THAT(Array<std::uint64_t>::create("dirty", 10), Each(0));
}

TEST(ArrayMaking, FromAnyRange) {
  EXPECT_THAT(Array<long>(std::vector<int>{1, 2}), ElementsAre(1, 2));
  EXPECT_THAT(Array<int>(std::views::iota(3, 6)), ElementsAre(3, 4, 5));
  EXPECT_THAT(RawArray<int>({9}), ElementsAre(9));
  const auto named = Array<int>::create("ranged", std::array{1, 2, 3});
  EXPECT_THAT(named, ElementsAre(1, 2, 3));
  EXPECT_THAT(Array<int>::open("ranged"), ElementsAre(1, 2, 3));
}

TEST(ArrayMaking, OfAUsersStructAndOfAlignedOnes) {
  const Array<Point> points({Point{1, 2}, Point{3, 4}});
  EXPECT_EQ(points.at(1).y, 4);
  const Array<Wide> wide(3);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(wide.data()) % 512, 0U);
  wide.at(2).first = 5;
}

TEST(ArrayMaking, AR5_NoElementsAreElements) {
  const Array<int> none(0);
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.begin(), none.end());
  EXPECT_THROW(static_cast<void>(none.at(0)), std::out_of_range);
  EXPECT_NO_THROW(static_cast<void>(none.lock()));
  EXPECT_TRUE(Array<int>(std::vector<int>{}).empty());
}

TEST(ArrayMaking, AR5_HugeSizesAreRefused) {
  const auto most = std::numeric_limits<std::size_t>::max();
  for (const std::size_t count : {most, most / 8, most / 8 + 1, most / 16}) {
    const Error error = error_of([&] { return Array<std::int64_t>(count); });
    EXPECT_EQ(error.code(), std::errc::file_too_large);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("create array signed64"), HasSubstr("at most"),
                                    HasSubstr(std::to_string(count))));
  }
  EXPECT_THAT(
      error_of([] { return Array<int>::create("minus", static_cast<std::size_t>(-1)); }).what(),
      HasSubstr("\"minus\""));
}

// -------------------------------------------------------------------------------------------------
// Elements

TEST(ArrayElementsOf, AR5_IndexesAndSlicesAreChecked) {
  const Array<int> array({7, 8, 9});
  EXPECT_EQ(array.at(2), 9);
  EXPECT_EQ(text_of<std::out_of_range>([&] { return array.at(3); }),
            "index 3 of an array of 3 elements");
  EXPECT_THROW(static_cast<void>(array.at(static_cast<std::size_t>(-1))), std::out_of_range);
  EXPECT_THROW(static_cast<void>(array.atomic(3)), std::out_of_range);
  EXPECT_EQ(array.slice(1, 1).size(), 0U);
  EXPECT_EQ(array.slice(0, 3).size(), 3U);
  EXPECT_EQ(text_of<std::out_of_range>([&] { return array.slice(1, 4); }),
            "slice [1, 4) of an array of 3 elements");
  EXPECT_THROW(static_cast<void>(array.slice(2, 1)), std::out_of_range);
}

TEST(ArrayElementsOf, AR5_AnAssignmentNeverResizes) {
  Array<int> array({7, 8, 9});
  const int* const before = array.data();
  array = std::vector{1, 2, 3};
  EXPECT_THAT(array, ElementsAre(1, 2, 3));
  array = {4, 5, 6};
  EXPECT_THAT(array, ElementsAre(4, 5, 6));
  EXPECT_EQ(array.data(), before);
  const auto wrong = [&] {
    return text_of<std::length_error>([&] {
      array = std::vector{1, 2};
      return 0;
    });
  };
  EXPECT_THAT(wrong(), AllOf(HasSubstr("expected 3"), HasSubstr("found 2")));
  EXPECT_THROW(array.assign(0, 2, {1, 2, 3}), std::length_error);
  EXPECT_THAT(array, ElementsAre(4, 5, 6)) << "and nothing was changed";
}

TEST(ArrayElementsOf, AR5_TextStopsAtAZeroAndTheBytesDoNot) {
  const RawArray<char> text(8);
  text.assign_text("a longe");
  text.assign_text("ab");
  EXPECT_EQ(text.text(), "ab");
  EXPECT_EQ(std::string(text.begin(), text.end()), std::string("ab\0\0\0\0\0\0", 8));
  text.assign_text("12345678");
  EXPECT_EQ(text.text(), "12345678") << "no room for a zero is needed";
  EXPECT_THROW(text.assign_text("123456789"), std::length_error);
  EXPECT_EQ(text.text(), "12345678");
}

TEST(ArrayElementsOf, AR4_TheLockIsTheArrays) {
  const Array<int> array(1);
  const auto opened = Array<int>::from_fd(array.fd());
  {
    const std::scoped_lock hold(array.mutex());
    EXPECT_TRUE(array.mutex().is_owned());
    EXPECT_TRUE(opened.mutex().is_owned()) << "one lock, whoever looks";
  }
  EXPECT_FALSE(array.mutex().is_owned());
}

// -------------------------------------------------------------------------------------------------
// Names, descriptors, errors

TEST(ArrayNames, CreateOpenAndRemove) {
  EXPECT_EQ(error_of([] { return Array<int>::open("one"); }).code(),
            std::errc::no_such_file_or_directory);
  auto made = Array<int>::create("one", 2);
  EXPECT_TRUE(made.created());
  EXPECT_EQ(made.name(), "one");
  EXPECT_FALSE(Array<int>::open_or_create("one", 2).created());
  EXPECT_EQ(error_of([] { return Array<int>::create("one", 2); }).code(), std::errc::file_exists);
  const Error length = error_of([] { return Array<int>::open_or_create("one", 3); });
  EXPECT_EQ(length.code(), Status::mismatch);
  EXPECT_THAT(length.what(), AllOf(HasSubstr("array signed32 \"one\""),
                                   HasSubstr("expected 3 elements"), HasSubstr("found 2")));
  EXPECT_TRUE(Array<int>::remove("one"));
  EXPECT_FALSE(Array<int>::remove("one"));
}

TEST(ArrayNames, AnotherTypeOrAnotherKindIsRefused) {
  const auto made = Array<int>::create("typed", 4);
  for (const Error& error : {error_of([] { return Array<float>::open("typed"); }),
                             error_of([] { return Array<unsigned>::open("typed"); }),
                             error_of([] { return RawArray<int>::open("typed"); })}) {
    EXPECT_EQ(error.code(), Status::mismatch);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("\"typed\""), HasSubstr("expected kind"),
                                    HasSubstr("found kind array, version 1, type signed32")));
  }
}

TEST(ArrayNames, ThroughADescriptor) {
  const Array<int> array({1, 2});
  const UniqueFd sent = array.fd();
  ChildParty child(
      [&] { Array<int>::from_fd(UniqueFd(fcntl(sent.get(), F_DUPFD_CLOEXEC, 0))).at(1) = 99; });
  child.finish();
  EXPECT_EQ(array[1], 99);
}

/// Writes to the object of a named array, as somebody hostile would.
void overwrite(const std::string& name, std::size_t offset, std::uint64_t word, std::size_t size) {
  const UniqueFd fd(open((Domain::current().path() + "/obj-" + name).c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(pwrite(fd.get(), &word, size, static_cast<off_t>(kObjectOffset + offset)),
            static_cast<ssize_t>(size));
}

TEST(ArrayNames, AHeaderThatDoesNotFitIsRefused) {
  const auto array = Array<int>::create("hostile", 100);
  const auto is_refused = [] {
    const Error error = error_of([] { return Array<int>::open("hostile"); });
    EXPECT_EQ(error.code(), Status::corrupt);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("\"hostile\""), HasSubstr("expected elements of 4"),
                                    HasSubstr("in 4096 bytes"), HasSubstr("remove it")));
  };
  for (const std::uint64_t count : {(4096UL - 128) / 4 + 1, ~0UL, 1UL << 62, 1UL << 63}) {
    overwrite("hostile", 16, count, 8);
    is_refused();
  }
  overwrite("hostile", 16, (4096 - 128) / 4, 8);
  EXPECT_EQ(Array<int>::open("hostile").size(), 992U) << "the most that there is room for";
  overwrite("hostile", 24, 0, 4);
  is_refused();
  overwrite("hostile", 24, 4, 4);
  for (const std::uint64_t offset : {0UL, 126UL, 4096UL, 0xfffffff0UL}) {
    overwrite("hostile", 28, offset, 4);
    is_refused();
  }
  EXPECT_EQ(array.size(), 100U) << "who is attached looks at none of that again";
}

TEST(ArrayHandle, Moves) {
  auto first = Array<int>::create("moved", 2);
  int* const elements = first.data();
  Array<int> second = std::move(first);
  EXPECT_EQ(first.size(), 0U);
  EXPECT_EQ(second.data(), elements);
  Array<int> third(1);
  third = std::move(second);
  EXPECT_EQ(third.data(), elements);
  EXPECT_EQ(third.name(), "moved");
  EXPECT_NO_THROW(static_cast<void>(third.lock()));
  std::ostringstream out;
  out << third << '|' << second << '|' << RawArray<double>(5);
  EXPECT_THAT(out.str(), AllOf(HasSubstr("array signed32 \"moved\", 2 elements, Mutex: unlocked"),
                               HasSubstr("|array signed32, moved from|"),
                               HasSubstr("|raw_array float64, 5 elements")));
}

}  // namespace
}  // namespace sluice
