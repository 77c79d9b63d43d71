// SPDX-License-Identifier: Apache-2.0
//
// Value<T>: what its memory adds to a Latest (tests/lockfree/latest*_test.cc): made, found, sent
// and refused. VA4: four processes, 100,000 increments each.

#include "sluice/ipc/value.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

struct Quote {
  static constexpr std::string_view kTypeName = "test.Quote/1";
  double bid, ask;
  long number;
  bool operator==(const Quote&) const = default;
};

struct OtherQuote {
  static constexpr std::string_view kTypeName = "test.Quote/2";
  double bid, ask;
  long number;
};

struct Large {
  std::array<std::uint64_t, 600> words;
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

TEST(Value, StartsWithWhatItIsGiven) {
  EXPECT_EQ(Value<int>().load(), 0);
  EXPECT_EQ(Value<int>(7).load(), 7);
  EXPECT_EQ(Value<Quote>({1, 2, 3}).load().number, 3);
  auto named = Value<Quote>::create("start", {1, 2, 3});
  EXPECT_TRUE(named.created());
  EXPECT_EQ(named.name(), "start");
  EXPECT_EQ(Value<Quote>::open("start").load().number, 3);
}

TEST(Value, IsTheSameForAllWhoOpenIt) {
  auto mine = Value<Quote>::create("same", {0, 0, 0});
  auto theirs = Value<Quote>::open_or_create("same", {9, 9, 9});
  EXPECT_FALSE(theirs.created());
  mine.store({1, 2, 3});
  EXPECT_EQ(theirs.load().number, 3);
  theirs.update([](Quote& q) { ++q.number; });
  EXPECT_EQ(mine.load().number, 4);
  Quote expected = mine.load();
  EXPECT_TRUE(mine.compare_exchange(expected, {5, 5, 5}));
  EXPECT_EQ(theirs.exchange({6, 6, 6}).number, 5);
  EXPECT_EQ(mine.wait({5, 5, 5}).number, 6);
  EXPECT_EQ(mine.wait({6, 6, 6}, 1ms), Status::timeout);
}

TEST(Value, CanBeSentAsADescriptor) {
  Value<long> mine(5);
  auto theirs = Value<long>::from_fd(mine.fd());
  theirs.fetch_add(2);
  EXPECT_EQ(mine.load(), 7);
}

TEST(Value, MayBeMoved) {
  Value<int> first(1);
  Value<int> second = std::move(first);
  EXPECT_EQ(second.fetch_add(1), 1);
  first = std::move(second);
  EXPECT_EQ(first.load(), 2);
  static_assert(!std::is_copy_constructible_v<Value<int>>);
}

TEST(Value, RefusesWhatIsNoneOrOfAnotherType) {
  EXPECT_EQ(code_of([] { Value<int>::open("nothing"); }), std::errc::no_such_file_or_directory);
  auto quote = Value<Quote>::create("typed", {0, 0, 0});
  EXPECT_EQ(code_of([] { Value<Quote>::create("typed", {0, 0, 0}); }), std::errc::file_exists);
  EXPECT_EQ(code_of([] { Value<OtherQuote>::open("typed"); }), make_error_code(Status::mismatch));
  EXPECT_EQ(code_of([] { Value<long>::open("typed"); }), make_error_code(Status::mismatch));
  EXPECT_EQ(code_of([&] { Value<float>::from_fd(quote.fd()); }), make_error_code(Status::mismatch));
}

TEST(Value, RefusesASegmentThatIsTooSmall) {
  // Hostile: the right stamp on too few pages.
  constexpr SegmentKind kKind = {
      .name = "value", .version = Value<Large>::kVersion, .fingerprint = type_fingerprint<Large>()};
  const auto segment = Segment::create("small", kKind, 64, Lifetime::while_used, [](auto) {});
  EXPECT_THROW(Value<Large>::open("small"), Error);
}

TEST(Value, OutlivesItsUsersIfThatIsItsLifetime) {
  Value<int>::create("kept", 7, Lifetime::until_removed).store(8);
  EXPECT_EQ(Value<int>::open("kept").load(), 8);
  EXPECT_TRUE(Segment::remove("kept"));
  Value<int>::create("used", 7);
  EXPECT_THROW(Value<int>::open("used"), Error);
}

TEST(Value, VA4_FourProcessesLoseNoIncrement) {
  constexpr int kTimes = 100000;
  Value<int> number;
  Value<Quote> quote({0, 0, 0});
  std::array<std::optional<Process>, 4> processes;
  for (auto& process : processes) {
    process.emplace("adder", [&] {
      for (int i = 0; i < kTimes; ++i) {
        number.fetch_add(1);
        quote.update([](Quote& q) { ++q.number; });
      }
    });
  }
  for (auto& process : processes) process->join();
  EXPECT_EQ(number.load(), 4 * kTimes);
  EXPECT_EQ(quote.load().number, 4 * kTimes);
}

TEST(Value, AKilledWriterLeavesTheValueAndIsFollowed) {
  auto quote = Value<Quote>::create("killed", {1, 2, 3});
  Process writer("writer", [] {
    auto mine = Value<Quote>::open("killed");
    mine.store({4, 5, 6});
    mine.update([](Quote& q) {
      q.bid = 99;
      raise(SIGKILL);
    });
  });
  writer.join();
  EXPECT_EQ(quote.load(), (Quote{4, 5, 6}));
  EXPECT_EQ(quote.store({7, 8, 9}, 5s), Status::ok);
  EXPECT_EQ(quote.load().number, 9);
}

TEST(Value, WakesAnotherProcess) {
  Value<long> question;
  Value<Quote> answer({0, 0, 0});
  Process other("other", [&] {
    const long asked = question.wait(0);
    answer.store({0, 0, asked + 1});
  });
  question.store(41);
  EXPECT_EQ(answer.wait({0, 0, 0}).number, 42);
  other.join();
  EXPECT_EQ(other.exit_code(), 0);
}

TEST(Value, PrintsItself) {
  auto number = Value<int>::create("shown", 42);
  std::ostringstream out;
  out << number << '\n' << Value<Quote>({1, 2, 3});
  EXPECT_EQ(out.str(),
            "Value \"shown\": 42; Latest: 4 bytes, in one word\n"
            "Value \"\": Latest: 24 bytes, version 0 in slot 0, writers: Mutex: unlocked");
}

}  // namespace
}  // namespace sluice::tests
