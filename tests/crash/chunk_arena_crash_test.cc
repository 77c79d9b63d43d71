// SPDX-License-Identifier: Apache-2.0
//
// Arenas whose users are killed: after every instruction that matters of each call, beside mutants
// that must be found. At random, and several at once: chunk_arena_stress_test.cc.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "sluice/lockfree/arena_layout.h"
#include "sluice/lockfree/chunk_arena.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using internal::RealLockEnv;
using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::size_t kChunks = 4;

struct Shared {
  alignas(64) std::array<std::byte, 2048> memory;
  std::atomic<ArenaRef> ref;         // what the operation is about
  std::atomic<std::uint32_t> taken;  // by others than the victim, of what it had sent
  std::atomic<ArenaRef> queue;       // of one reference
};

/// Handles are made in setup(), and inherited.
template <class Env>
class ArenaCrashOver : public testing::Test {
 protected:
  using Arena = BasicChunkArena<Env>;

  void start() {
    area_.reset();
    const std::array<ArenaClass, 1> classes = {{{64, kChunks}}};
    Arena::format(area_->memory, classes);
    arena_.emplace(area_->memory);
    area_->ref = ArenaRef{};
    area_->queue = ArenaRef{};
  }

  Arena& arena() { return *arena_; }

  /// Another process, between: allocates and frees one, and takes what is in transit.
  void come_between() {
    ArenaRef ref;
    if (arena().try_allocate(64, ref) == Status::ok) arena().free(ref);
    if (area_->ref.load() != ArenaRef{} && arena().take(area_->ref) == Status::ok) {
      ++area_->taken;
      arena().free(area_->ref);
    }
  }

  /// By the only one who lives.
  std::string look(std::size_t most_in_transit) {
    const ArenaReport before = arena().report();
    const std::string text = [&] {
      std::ostringstream out;
      out << before;
      return out.str();
    }();
    if (before.damaged != 0 || !before.sizes_intact) return "damaged: " + text;
    if (before.owned != 0) return "owned by the living: " + text;
    if (before.in_transit > most_in_transit) return "lost in transit: " + text;
    std::vector<ArenaRef> refs;
    ArenaRef ref;
    while (refs.size() <= kChunks && arena().try_allocate(1, ref) == Status::ok) {
      if (std::any_of(refs.begin(), refs.end(), [&](ArenaRef r) { return r.index == ref.index; })) {
        return "a chunk was given out twice";
      }
      refs.push_back(ref);
    }
    if (refs.size() + before.in_transit != kChunks) return "lost for ever: " + text;
    for (const ArenaRef mine : refs) arena().free(mine);
    arena().reclaim_in_transit();
    return arena().report().free == kChunks ? "" : "not all free in the end";
  }

  CrashOperation on(std::string name, std::function<void()> prepare,
                    std::function<void()> operation, std::size_t most_in_transit = 0) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {area_.bytes()};
    op.setup = [this] { start(); };
    op.prepare = [prepare = std::move(prepare)] {
      RealLockEnv::self();
      prepare();
    };
    op.operation = std::move(operation);
    op.interfere = [this] { come_between(); };
    op.prepare_recovery = [] { RealLockEnv::self(); };
    op.recover = op.interfere;
    op.survivor = [this, most_in_transit](bool) { return look(most_in_transit); };
    return op;
  }

  void allocate_all() {
    ArenaRef ref;
    while (arena().try_allocate(64, ref) == Status::ok) area_->ref = ref;
  }

  void send_and_push() {
    const ArenaRef ref = arena().allocate(64);
    arena().send(ref);
    area_->queue = ref;
  }

  /// What whoever comes later does with what is in the queue. Drops the reference last.
  std::string drain(Status expected) {
    const ArenaRef ref = area_->queue;
    if (ref == ArenaRef{}) return "";
    if (const Status s = arena().take(ref); s != expected) return "not delivered again";
    area_->queue = ArenaRef{};
    arena().free(ref);
    return "";
  }

  /// A taker of what this process, which goes on, has sent.
  CrashOperation taking(std::string name, std::function<void()> operation) {
    CrashOperation op = on(std::move(name), [] {}, std::move(operation));
    op.setup = [this] {
      start();
      send_and_push();
    };
    op.recover = [this] { drain(Status::ok); };
    op.survivor = [this](bool) {
      const std::string lost = drain(Status::ok);
      return lost.empty() ? look(0) : lost;
    };
    return op;
  }

  SharedArea<Shared> area_;
  std::optional<Arena> arena_;
};

class ArenaCrash : public ArenaCrashOver<RealLockEnv> {};

TEST_F(ArenaCrash, Allocate) {
  expect_intact(on("arena allocate", [] {}, [this] { arena().allocate(64); }));
}

TEST_F(ArenaCrash, AllocateAfterADeath) {
  CrashOperation op =
      on("arena allocate of a dead owner's", [] {}, [this] { arena().allocate(64); });
  op.setup = [this] {
    start();
    for (std::size_t i = 0; i < kChunks; ++i) {  // owned by a tag that nobody has
      const std::uint64_t word = std::uint64_t{1} << 32 | 4'000'000'000;
      std::memcpy(area_->memory.data() + 192 + 8 * i, &word, sizeof word);
    }
  };
  expect_intact(op, KillAt::each_instruction, 1);  // a probe each: long
}

TEST_F(ArenaCrash, Free) {
  expect_intact(on("arena free", [this] { allocate_all(); }, [this] { arena().free(area_->ref); }));
}

TEST_F(ArenaCrash, Give) {
  expect_intact(on(
      "arena give", [this] { allocate_all(); },
      [this] { arena().give(area_->ref, 4'000'000'000); }));
}

TEST_F(ArenaCrash, SendAndTake) {
  expect_intact(on(
      "arena send and take", [this] { area_->ref = arena().allocate(64); },
      [this] {
        arena().send(area_->ref);
        static_cast<void>(arena().take(area_->ref));
      },
      1));
}

TEST_F(ArenaCrash, SendAndPush) {
  CrashOperation op = on("arena allocate, send and push", [] {}, [this] { send_and_push(); });
  const auto reclaim = [this] {
    arena().reclaim_in_transit([this](ArenaRef ref) { return ref == area_->queue.load(); });
  };
  op.recover = reclaim;
  op.survivor = [=, this](bool completed) -> std::string {
    if (completed && area_->queue.load() == ArenaRef{}) return "pushed, and not there";
    reclaim();
    const std::string lost = drain(Status::ok);
    return lost.empty() ? look(0) : lost;
  };
  expect_intact(op);
}

TEST_F(ArenaCrash, TakeAndThenDropTheReference) {
  expect_intact(taking("arena take, and then drop the reference", [this] {
    const ArenaRef ref = area_->queue;
    static_cast<void>(arena().take(ref));
    area_->queue = ArenaRef{};
    arena().free(ref);
  }));
}

TEST_F(ArenaCrash, MutantThatDropsTheReferenceAndThenTakesIsFound) {
  expect_found(taking("mutant: arena take after the reference was dropped",
                      [this] {
                        const ArenaRef ref = area_->queue.exchange({});
                        static_cast<void>(arena().take(ref));
                        arena().free(ref);
                      }),
               "lost in transit");
}

/// Claims a chunk, and says whose it is afterwards: as a queue of free indices would.
struct AnonymousEnv : RealLockEnv {
  template <class T>
  static bool cas(internal::Word<T>& word, T& expected, T desired,
                  std::memory_order order) noexcept {
    if constexpr (sizeof(T) == 8) {
      const T nobodys = (desired >> 34 << 34) | T{2} << 32;             // in transit, from nobody
      if (!RealEnv::cas(word, expected, nobodys, order)) return false;  // the fault
      RealEnv::store(word, desired, std::memory_order_release);
      return true;
    }
    return RealEnv::cas(word, expected, desired, order);
  }
};

class ArenaMutantCrash : public ArenaCrashOver<AnonymousEnv> {};

TEST_F(ArenaMutantCrash, ThatClaimsWithoutANameIsFound) {
  CrashOperation op = on(
      "mutant: arena allocate that claims without a name", [] {}, [this] { arena().allocate(64); });
  expect_found(op, "lost in transit");
}

}  // namespace
}  // namespace sluice::tests
