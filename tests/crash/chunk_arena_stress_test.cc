// SPDX-License-Identifier: Apache-2.0
//
// An arena whose users are killed at random while others work with it: what they read is what was
// written, what was never pushed is given back while they go on, and in the end no chunk is missing
// (row HE4 of BEHAVIOUR). For a second; //tests/crash:chunk_arena_soak goes on for 2,000 kills.

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

#include "sluice/lockfree/arena_layout.h"
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

bool is_referred_to(Stressed& shared, ArenaRef ref) {
  return std::any_of(shared.mail.begin(), shared.mail.end(),
                     [=](const auto& mail) { return mail.load() == ref; });
}

std::size_t reclaim(ChunkArena& arena, Stressed& shared) {
  return arena.reclaim_in_transit([&](ArenaRef ref) { return is_referred_to(shared, ref); });
}

/// Allocates, fills, and puts it into the mailbox, unless another was quicker.
void send(ChunkArena& arena, std::atomic<ArenaRef>& mail, std::size_t bytes) {
  ArenaRef ref;
  if (arena.try_allocate(bytes, ref) != Status::ok) return;
  fill(arena.bytes(ref), ref);
  if (!is_whole(arena.bytes(ref), ref)) std::abort();  // another wrote into it
  arena.send(ref);
  ArenaRef none;
  if (mail.compare_exchange_strong(none, ref)) return;
  if (arena.take(ref) != Status::ok) std::abort();  // nobody else knows of it
  arena.free(ref);
}

/// Takes what is in the mailbox, again if need be, and only then drops the reference. It is stale
/// if another has it, or if who had it died and somebody needed the chunk.
void receive(ChunkArena& arena, std::atomic<ArenaRef>& mail, ArenaRef ref) {
  const bool is_mine = arena.take(ref) == Status::ok;
  if (is_mine && !is_whole(arena.bytes(ref), ref)) std::abort();
  ArenaRef dropped = ref;
  mail.compare_exchange_strong(dropped, {});
  if (is_mine) arena.free(ref);
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
    for (std::uint64_t round = 0;; ++round) {
      if (round % 64 == 0) reclaim(arena, *area);
      std::atomic<ArenaRef>& mail = area->mail[random() % kMailboxes];
      const ArenaRef ref = mail;
      if (ref == ArenaRef{}) {
        send(arena, mail, random() % 1024);
      } else {
        receive(arena, mail, ref);
      }
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
    const std::size_t lost = reclaim(arena, *area);
    std::cout << "[   STRESS ] " << text.str() << "; reclaimed " << lost << std::endl;
    // Who came in the place of the dead has reclaimed what they lost, unless it died as well.
    if (lost > std::size_t{4} * kWorkers) return "more was lost than died since: " + text.str();
    for (auto& mail : area->mail) {
      if (mail.load() != ArenaRef{}) receive(arena, mail, mail);
    }
    if (arena.report().in_transit != 0) return "in transit, and not there: " + text.str();
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
