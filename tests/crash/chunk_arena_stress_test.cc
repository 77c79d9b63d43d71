// SPDX-License-Identifier: Apache-2.0
//
// An arena whose users are killed at random while others work with it: what they read is what was
// written, and in the end no chunk is missing (row HE4 of BEHAVIOUR). For a second;
// //tests/crash:chunk_arena_soak goes on for 2,000 kills.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "sluice/lockfree/chunk_arena.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/kill_stress.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::KillStress;
using testkit::KillStressResult;
using testkit::SharedArea;

constexpr unsigned kWorkers = 4;
constexpr std::size_t kMailboxes = 8;
const std::vector<ArenaClass> kClasses = {{64, 24}, {256, 16}, {1024, 8}};

struct Stressed {
  alignas(64) std::array<std::byte, 32768> memory;
  std::array<std::atomic<ArenaRef>, kMailboxes> mail;
  std::atomic<std::uint64_t> rounds[kWorkers];
};

void fill(std::span<std::byte> bytes, ArenaRef ref) {
  std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(ref.index * 31 + ref.generation));
}

bool is_whole(std::span<const std::byte> bytes, ArenaRef ref) {
  return !bytes.empty() && std::all_of(bytes.begin(), bytes.end(), [ref](std::byte b) {
    return b == static_cast<std::byte>(ref.index * 31 + ref.generation);
  });
}

/// Allocates, fills, hands over or frees; what it gets from others must be whole.
void exchange(ChunkArena& arena, Stressed& shared, std::mt19937& random) {
  ArenaRef ref;
  if (arena.try_allocate(random() % 1024, ref) == Status::ok) {
    fill(arena.bytes(ref), ref);
    if (!is_whole(arena.bytes(ref), ref)) std::abort();  // another wrote into it
    if (random() % 2 == 0) {
      arena.free(ref);
      ref = {};
    } else {
      arena.send(ref);
    }
  }
  const ArenaRef got = shared.mail[random() % kMailboxes].exchange(ref);
  if (got == ArenaRef{}) return;
  if (arena.take(got) != Status::ok || !is_whole(arena.bytes(got), got)) std::abort();
  arena.free(got);
}

TEST(ArenaStress, HE4_KilledAtRandomTheOthersGoOnAndTheBooksAreRight) {
  SharedArea<Stressed> area;
  KillStress stress{.name = "arena"};
  stress.workers = kWorkers;
  stress.setup = [&] {
    area.reset();
    ChunkArena::format(area->memory, kClasses);
    for (auto& mail : area->mail) mail = ArenaRef{};
  };
  stress.work = [&](unsigned worker) {
    ChunkArena arena(area->memory);
    std::mt19937 random(participant::self());
    for (;;) {
      exchange(arena, *area, random);
      ++area->rounds[worker];
    }
  };
  stress.progress = [&](unsigned worker) { return area->rounds[worker].load(); };
  stress.verdict = [&]() -> std::string {
    ChunkArena arena(area->memory);
    const ArenaReport report = arena.report();
    std::ostringstream text;
    text << report;
    if (report.damaged != 0 || !report.sizes_intact || report.owned != 0) return text.str();
    std::size_t delivered = 0;
    for (auto& mail : area->mail) {
      const ArenaRef ref = mail.load();
      if (ref == ArenaRef{}) continue;
      if (arena.take(ref) != Status::ok || !is_whole(arena.bytes(ref), ref)) return "lost: sent";
      arena.free(ref);
      ++delivered;
    }
    const std::size_t lost = arena.reclaim_in_transit();
    std::cout << "[   STRESS ] " << text.str() << "; reclaimed " << lost << std::endl;
    if (lost + delivered != report.in_transit) return "in transit, and not there: " + text.str();
    ArenaRef ref;
    std::size_t chunks = 0;
    while (arena.try_allocate(1, ref) == Status::ok) ++chunks;
    return chunks == report.chunks ? "" : "not all chunks came back: " + std::to_string(chunks);
  };
  testkit::KillStressOptions options{.duration = 1s};
  if (const char* const kills = std::getenv("SLUICE_SOAK_KILLS")) {
    options.min_kills = std::strtoull(kills, nullptr, 10);
    options.duration = 1ms;  // the kills decide
  }
  const KillStressResult result = kill_stress(stress, options);
  std::cout << "[   STRESS ] " << result << std::endl;
  EXPECT_TRUE(result.intact()) << result;
}

}  // namespace
}  // namespace sluice::tests
