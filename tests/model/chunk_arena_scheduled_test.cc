// SPDX-License-Identifier: Apache-2.0
//
// The arena that ships, under the scheduler: no chunk has two owners, what is in it is seen by who
// gets it, the dead lose theirs and the living do not. Beside each property a mutant, made by an
// environment that does one thing wrong, in which it must be seen to fail.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "sluice/lockfree/arena_layout.h"
#include "sluice/lockfree/chunk_arena.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using internal::Word;
using testkit::renew;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledData;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

// -------------------------------------------------------------------------------------------------
// Environments with one fault. The orders in them are what is tested.

/// A compare-and-swap of one order is done with none.
template <Order kForgotten>
struct WeakerEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if (order == kForgotten) order = Order::relaxed;  // the fault
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

/// A compare-and-swap of a chunk's word in two steps.
struct TornEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if (ScheduledEnv::load(word, Order::seq_cst) != expected) return false;  // the fault
    ScheduledEnv::store(word, desired, order == Order::acquire ? Order::seq_cst : order);
    return true;
  }
};

/// Says of the living that they are dead.
struct HastyEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::dead; }
};

/// Says of the dead that they live.
struct PiousEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

// -------------------------------------------------------------------------------------------------
// What is explored

constexpr std::size_t kMost = 3;

/// An arena of few chunks, and what stands for their contents.
template <class Env>
struct Room {
  alignas(64) std::array<std::byte, 1024> memory;
  std::array<ScheduledData<int>, kMost> contents;
  Word<std::uint64_t> mail;  // a reference and one more, 0 if there is none
  Word<std::uint32_t> taken;

  /// One handle for all: attaching is no part of what is explored.
  static inline std::optional<BasicChunkArena<Env>> handle = {};
  static BasicChunkArena<Env>& arena() { return *handle; }
};

template <class Env>
void begin(Room<Env>& room, std::uint32_t chunks) {
  renew(room);
  const std::array<ArenaClass, 1> classes = {{{64, chunks}}};
  BasicChunkArena<Env>::format(room.memory, classes);
  room.handle.emplace(room.memory);
}

/// What is written there is still there before it is freed.
template <class Env>
void write_and_read(Room<Env>& room, ArenaRef ref, int mark) {
  room.contents.at(ref.index) = mark;
  require(room.contents.at(ref.index) == mark, "another wrote into it");
}

/// Each allocates and frees `times` times; each must get one if there are as many as threads.
template <class Env>
Scenario allocating(Room<Env>& room, std::uint32_t chunks, int threads, int times, int mortal = 0) {
  Scenario scenario{.name = std::to_string(threads) + " allocate " + std::to_string(times) +
                            " times of " + std::to_string(chunks) +
                            ", mortal: " + std::to_string(mortal)};
  scenario.setup = [&room, chunks] { begin(room, chunks); };
  for (int i = 0; i < threads; ++i) {
    const auto work = [&room, times, i] {
      BasicChunkArena<Env>& arena = room.arena();
      for (int n = 0; n < times; ++n) {
        ArenaRef ref;
        if (arena.try_allocate(64, ref) != Status::ok) continue;
        write_and_read(room, ref, 10 * i + n);
        arena.free(ref);
      }
    };
    scenario.threads.push_back({work, i < mortal});
  }
  scenario.check = [&room, chunks](const ScheduleEnd& end) -> std::string {
    std::size_t dead = 0;
    for (const bool died : end.died) dead += died ? 1 : 0;
    std::size_t free = 0, dead_owned = 0;
    for (std::uint32_t i = 0; i < chunks; ++i) {
      std::uint64_t word = 0;
      std::memcpy(&word, room.memory.data() + 192 + 8 * i, sizeof word);
      ++((word >> 32 & 3) == 0 ? free : dead_owned);
    }
    if (free + dead_owned != chunks) return "a chunk is missing";
    return dead_owned <= dead ? "" : "more chunks lost than processes died";
  };
  scenario.names = {{"room", room}};
  return scenario;
}

/// One allocates, writes and sends; others take it by the reference.
template <class Env>
Scenario sending(Room<Env>& room, int takers) {
  Scenario scenario{.name = "one sends, " + std::to_string(takers) + " take"};
  scenario.setup = [&room] { begin(room, 1); };
  scenario.threads.push_back({[&room] {
    BasicChunkArena<Env>& arena = room.arena();
    ArenaRef ref;
    require(arena.try_allocate(64, ref) == Status::ok, "not the only one");
    room.contents[0] = 42;
    arena.send(ref);
    // Relaxed: it is the arena that has to order.
    ScheduledEnv::store(room.mail, (std::uint64_t{ref.generation} << 32 | ref.index) + 1,
                        Order::relaxed);
  }});
  for (int i = 0; i < takers; ++i) {
    scenario.threads.push_back({[&room] {
      BasicChunkArena<Env>& arena = room.arena();
      // Relaxed: as above.
      const std::uint64_t mail = ScheduledEnv::load(room.mail, Order::relaxed);
      if (mail == 0) return;
      const ArenaRef ref = {.index = static_cast<std::uint32_t>(mail - 1),
                            .generation = static_cast<std::uint32_t>((mail - 1) >> 32)};
      if (arena.take(ref) != Status::ok) return;
      ScheduledEnv::fetch_add(room.taken, 1U, Order::relaxed);  // relaxed: a count
      require(room.contents[0] == 42, "not what was sent");
      room.contents[0] = 43;
      arena.free(ref);
    }});
  }
  scenario.check = [&room](const ScheduleEnd&) -> std::string {
    return room.taken.raw <= 1 ? "" : "taken twice";
  };
  scenario.names = {{"room", room}};
  return scenario;
}

/// One dies, perhaps with the only chunk; another, who knows that it is dead, must get it.
template <class Env>
Scenario inheriting(Room<Env>& room) {
  Scenario scenario{.name = "one dies with the only chunk, another wants it"};
  scenario.setup = [&room] { begin(room, 1); };
  const auto first = [&room] {
    // Relaxed: nothing hangs on it but who is asked about.
    ScheduledEnv::store(room.mail, ScheduledEnv::me(), Order::relaxed);
    ArenaRef ref;
    if (room.arena().try_allocate(64, ref) == Status::ok) room.arena().free(ref);
  };
  const auto second = [&room] {
    // Relaxed: as above.
    const std::uint64_t heir_of = ScheduledEnv::load(room.mail, Order::relaxed);
    if (heir_of == 0) return;
    const Tag tag = internal::LockWord::tag_of(heir_of);
    const bool is_dead = ScheduledEnv::probe(tag) == Liveness::dead;
    ArenaRef ref;
    const Status s = room.arena().try_allocate(64, ref);
    require(!is_dead || s == Status::ok, "the dead keeps it");
  };
  scenario.threads = {{first, true}, {second}};
  scenario.names = {{"room", room}};
  return scenario;
}

/// One who may die, and another, take what was sent, use it, and only then drop the reference,
/// which lies in a queue of one; the other comes once more after a death. Delivered to somebody who
/// lived to use it, or still there.
template <class Env>
Scenario taking_again(Room<Env>& room) {
  Scenario scenario{.name = "one takes and dies, another takes it again"};
  scenario.setup = [&room] {
    begin(room, 1);
    ArenaRef ref;
    require(room.arena().try_allocate(64, ref) == Status::ok, "all is free");
    room.arena().send(ref);
    room.mail.raw = (std::uint64_t{ref.generation} << 32 | ref.index) + 1;
  };
  const auto take_and_drop = [&room] {
    // Acquire: pairs with the release below; what is looked at here must not be older.
    const std::uint64_t mail = ScheduledEnv::load(room.mail, Order::acquire);
    if (mail == 0) return;
    const ArenaRef ref = {.index = static_cast<std::uint32_t>(mail - 1),
                          .generation = static_cast<std::uint32_t>((mail - 1) >> 32)};
    if (room.arena().take(ref) != Status::ok) return;
    room.contents[0] = 43;
    ScheduledEnv::fetch_add(room.taken, 1U, Order::relaxed);  // relaxed: a count
    // Release: whoever finds none finds it taken.
    ScheduledEnv::store(room.mail, std::uint64_t{0}, Order::release);
    room.arena().free(ref);
  };
  scenario.threads = {{take_and_drop, true}, {take_and_drop}};
  scenario.check = [&room](const ScheduleEnd& end) -> std::string {
    if (room.mail.raw != 0 && !end.died[0]) return "the living left it there";
    if (room.mail.raw == 0 && room.taken.raw == 0) return "dropped, and taken by nobody";
    return room.taken.raw <= (end.died[0] ? 2U : 1U) ? "" : "taken twice";
  };
  scenario.names = {{"room", room}};
  return scenario;
}

class ArenaScheduled : public Scheduled {
 protected:
  Room<ScheduledEnv> room_;
};
using ArenaMutant = Scheduled;

TEST_F(ArenaScheduled, AChunkHasOneOwner) {
  expect_holds_within_bounds(allocating(room_, 1, 2, 2), {.preemptions = 3, .old_values = 2});
  expect_holds_within_bounds(allocating(room_, 2, 3, 1), {.preemptions = 2, .old_values = 1});
  expect_holds_by_chance(allocating(room_, 2, 4, 2), {});
}

TEST_F(ArenaScheduled, OwnersMayDieAtEachPoint) {
  expect_holds_within_bounds(allocating(room_, 1, 2, 2, 1), {.preemptions = 2, .deaths = 1});
  expect_holds_by_chance(allocating(room_, 2, 4, 2, 3), {.deaths = 3});
}

TEST_F(ArenaScheduled, WhatIsSentArrivesOnce) {
  expect_holds_within_bounds(sending(room_, 2), {.preemptions = 2, .old_values = 2});
  expect_holds_by_chance(sending(room_, 3), {});
}

TEST_F(ArenaScheduled, AfterADeathAnotherGetsTheChunk) {
  expect_holds_within_bounds(inheriting(room_), {.preemptions = 3, .deaths = 1});
}

TEST_F(ArenaScheduled, WhatTheDeadTookIsTakenAgain) {
  expect_holds_within_bounds(taking_again(room_), {.preemptions = 3, .deaths = 1});
}

TEST_F(ArenaMutant, ThatTakesAgainWhatALivingProcessTookIsFound) {
  Room<HastyEnv> room;
  expect_found(taking_again(room), {.strategy = Strategy::exhaustive}, "");
}

TEST_F(ArenaMutant, ThatClaimsInTwoStepsIsFound) {
  Room<TornEnv> room;
  expect_found(allocating(room, 1, 2, 1), {.strategy = Strategy::exhaustive}, "");
}

TEST_F(ArenaMutant, WithoutAcquireIsFound) {
  Room<WeakerEnv<Order::acquire>> room;
  expect_found(allocating(room, 1, 2, 1), {.strategy = Strategy::random}, "data race");
}

TEST_F(ArenaMutant, WithoutReleaseIsFound) {
  Room<WeakerEnv<Order::release>> room;
  expect_found(sending(room, 1), {.strategy = Strategy::random}, "data race");
}

TEST_F(ArenaMutant, ThatTakesFromTheLivingIsFound) {
  Room<HastyEnv> room;
  expect_found(allocating(room, 1, 2, 1), {.strategy = Strategy::exhaustive}, "");
}

TEST_F(ArenaMutant, ThatTakesNothingFromTheDeadIsFound) {
  Room<PiousEnv> room;
  expect_found(inheriting(room), {.strategy = Strategy::exhaustive, .deaths = 1},
               "the dead keeps it");
}

}  // namespace
}  // namespace sluice::tests
