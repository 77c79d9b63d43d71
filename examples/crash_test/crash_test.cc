// SPDX-License-Identifier: Apache-2.0
//
// The crash harness, pointed at an operation of one's own: two words are published in shared
// memory, and whoever looks must see both or none. So is the same with a bug, which must be found.

#include "sluice/testkit/crash.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <utility>

namespace testkit = sluice::testkit;

struct Quote {
  std::atomic<std::uint64_t> bid, ask, version;

  void publish(std::uint64_t new_bid, std::uint64_t new_ask) {
    bid = new_bid;
    ask = new_ask;
    ++version;
  }
  void publish_too_early(std::uint64_t new_bid, std::uint64_t new_ask) {
    ++version;
    bid = new_bid;
    ask = new_ask;
  }
};

namespace {
testkit::CrashResult kill_everywhere(testkit::SharedArea<Quote>& quote,
                                     std::function<void()> operation) {
  testkit::CrashOperation op{.name = "publish a quote"};
  op.shared = {quote.bytes()};
  op.setup = [&] { quote.reset(); };
  op.operation = std::move(operation);
  op.survivor = [&](bool completed) -> std::string {
    if (completed && quote->version != 1) return "acknowledged, but not there";
    const bool whole = quote->bid == 99 && quote->ask == 101;
    return quote->version == 1 && !whole ? "published, but not whole" : "";
  };
  const testkit::CrashResult result =
      step_kill(op, {.profile = testkit::profile_from_environment()});
  std::cout << result << '\n';
  return result;
}
}  // namespace

TEST(Quote, IsWholeOrNotThere) {
  testkit::SharedArea<Quote> quote;
  EXPECT_TRUE(kill_everywhere(quote, [&] { quote->publish(99, 101); }).intact());
}

TEST(Quote, TheBugIsFound) {
  testkit::SharedArea<Quote> quote;
  EXPECT_GT(kill_everywhere(quote, [&] { quote->publish_too_early(99, 101); }).broken, 0u);
}
