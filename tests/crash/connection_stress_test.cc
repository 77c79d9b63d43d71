// SPDX-License-Identifier: Apache-2.0
//
// Two connections between four processes, which are killed at random and replaced: each successor
// takes over the end of the dead one. Short messages and long ones, in both directions.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sluice/ipc/connection.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/kill_stress.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::KillStress;
using testkit::KillStressOptions;
using testkit::KillStressResult;
using testkit::SharedArea;

constexpr unsigned kWorkers = 4;

/// What is known of one stream, outside of the connection.
struct Stream {
  std::atomic<std::uint64_t> acknowledged;  // sends that returned
  std::atomic<std::uint64_t> expected;      // the next number to receive
  std::atomic<std::uint64_t> receivers;     // that have come
  std::atomic<std::uint64_t> noted_by;      // which of them, from 1, set `expected`
};

struct Shared {
  std::array<Stream, 2> streams;
  std::atomic<std::uint64_t> rounds[kWorkers];
};

struct Numbered {
  std::uint64_t number = 0;
  std::string fill;
  [[nodiscard]] static Numbered of(std::uint64_t n) {
    return {n, std::string(n % 5 == 0 ? 3000 : n % 50, static_cast<char>('a' + n % 26))};
  }
  bool operator==(const Numbered&) const = default;
  auto sluice_members() { return std::tie(number, fill); }
};

void give(Connection& end, Stream& stream, std::atomic<std::uint64_t>& rounds) {
  for (;;) {
    const std::uint64_t n = stream.acknowledged;
    const Status status = end.send(Numbered::of(n), 1s);
    if (status == Status::ok) {
      stream.acknowledged = n + 1;
    } else if (status != Status::peer_died && status != Status::timeout) {
      std::abort();
    }
    ++rounds;
  }
}

[[noreturn]] void give_up(const std::string& why) {
  std::cout << "[   STRESS ] " << why << std::endl;
  std::abort();
}

void take(Connection& end, Stream& stream, std::atomic<std::uint64_t>& rounds) {
  const std::uint64_t life = ++stream.receivers;
  bool first = true;
  for (;;) {
    Numbered got;
    const Status status = end.recv(got, 1s);
    ++rounds;
    if (status == Status::peer_died || status == Status::timeout) continue;
    if (status != Status::ok) give_up("recv: " + std::string(to_string(status)));
    if (got != Numbered::of(got.number)) give_up("torn: " + std::to_string(got.number));
    const std::uint64_t expected = stream.expected;
    // Again: its sender was killed before it could note that it had sent it. Further: of the
    // receivers since the last one that noted something, each was killed with one at most.
    const bool again = got.number + 1 == expected;
    const bool lost_with_the_dead =
        first && got.number > expected &&
        got.number - expected <= life - std::max<std::uint64_t>(stream.noted_by, 1);
    if (got.number != expected && !again && !lost_with_the_dead) {
      give_up(std::to_string(got.number) + " instead of " + std::to_string(expected));
    }
    if (!again) stream.expected = got.number + 1;
    stream.noted_by = life;
    first = false;
  }
}

TEST(ConnectionStress, NothingIsLostButWithTheDeadAndNothingIsTorn) {
  std::vector<ConnectionPair> pairs;
  for (int i = 0; i < 2; ++i) {
    pairs.push_back(Connection::pair({.capacity = 1 << 10, .max_message = 10000}));
  }
  SharedArea<Shared> area;
  KillStress stress{.name = "two connections"};
  stress.workers = kWorkers;
  stress.work = [&](unsigned worker) {
    Stream& stream = area->streams[worker / 2];
    ConnectionPair& pair = pairs[worker / 2];
    // In one of them the first end gives, in the other one the second.
    Connection& end = worker % 2 == 0 ? pair.first : pair.second;
    const bool gives = (worker % 2 == 0) == (worker / 2 == 0);
    (gives ? give : take)(end, stream, area->rounds[worker]);
  };
  stress.progress = [&](unsigned worker) { return area->rounds[worker].load(); };
  stress.verdict = [&]() -> std::string {
    for (const std::size_t i : {0, 1}) {
      if (area->streams[i].expected < 10) return "hardly anything was received";
    }
    return "";
  };
  KillStressOptions options{.duration = 3s};
  if (const char* const kills = std::getenv("SLUICE_SOAK_KILLS"); kills != nullptr) {
    options.min_kills = std::strtoull(kills, nullptr, 10);
    options.duration = 1ms;  // the kills decide
  }
  const KillStressResult result = kill_stress(stress, options);
  std::cout << "[   STRESS ] " << result << "; received " << area->streams[0].expected << " and "
            << area->streams[1].expected << std::endl;
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_LT(result.longest_pause, 3s);
}

}  // namespace
}  // namespace sluice::tests
