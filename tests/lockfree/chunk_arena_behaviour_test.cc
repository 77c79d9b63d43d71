// SPDX-License-Identifier: Apache-2.0
//
// Rows of BEHAVIOUR: HE1, HE2, HE3, HE4 (arena), over threads, forked children, and processes that
// met by name; and what becomes of a chunk that is handed over. HE5 is in tests/ipc/arena_test.cc.

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "sluice/lockfree/arena_layout.h"
#include "sluice/lockfree/chunk_arena.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

const std::vector<ArenaClass> kClasses = {{64, 40}, {256, 40}, {4096, 20}};
constexpr std::size_t kChunks = 100;

struct Room {
  alignas(64) std::array<std::byte, std::size_t{128} << 10> memory;
  std::atomic<ArenaRef> mail;  // one that was handed over
  std::atomic<Tag> other;
  std::atomic<int> ready;
};
static_assert(std::atomic<ArenaRef>::is_always_lock_free);

ChunkArena arena_in(Room& room) { return ChunkArena(room.memory); }

void wait_for(const std::atomic<int>& word, int value) {
  while (word != value) sched_yield();
}

template <class Way>
class ArenaBehaviour : public testing::Test {
 protected:
  ArenaBehaviour() {
    ChunkArena::format(stage_->memory, kClasses);
    stage_->mail = ArenaRef{};
  }
  Stage<Way, Room> stage_;
};
TYPED_TEST_SUITE(ArenaBehaviour, Ways, WayNames);

void fill(const ChunkArena& arena, ArenaRef ref, std::byte mark) {
  const std::span<std::byte> bytes = arena.bytes(ref);
  std::fill(bytes.begin(), bytes.end(), mark);
}

bool is_filled(const ChunkArena& arena, ArenaRef ref, std::byte mark) {
  const std::span<std::byte> bytes = arena.bytes(ref);
  return !bytes.empty() &&
         std::all_of(bytes.begin(), bytes.end(), [=](std::byte b) { return b == mark; });
}

/// Allocates and frees at random, up to 25 at a time, and sees that nobody else writes into them.
void allocate_and_free(Room& room, unsigned seed, int times) {
  ChunkArena arena = arena_in(room);
  struct Block {
    ArenaRef ref;
    std::byte mark;
  };
  std::vector<Block> blocks;
  std::mt19937 random(seed);
  for (int i = 0; i < times; ++i) {
    ArenaRef ref;
    if (blocks.size() == 25 || (!blocks.empty() && random() % 2 == 0)) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      ASSERT_TRUE(is_filled(arena, blocks.back().ref, blocks.back().mark));
      arena.free(blocks.back().ref);
      blocks.pop_back();
    } else if (arena.try_allocate(random() % 300, ref) == Status::ok) {
      const auto mark = static_cast<std::byte>(seed * 64 + random() % 64);
      fill(arena, ref, mark);
      blocks.push_back({ref, mark});
    }
  }
  for (const Block& block : blocks) arena.free(block.ref);
}

TYPED_TEST(ArenaBehaviour, HE1_FourAtRandomKeepTheBooks) {
  for (unsigned seed = 1; seed < 4; ++seed) {
    this->stage_.start([seed](Room& room) { allocate_and_free(room, seed, 100'000); });
  }
  allocate_and_free(*this->stage_, 0, 100'000);
  this->stage_.finish();
  const ArenaReport report = arena_in(*this->stage_).report();
  EXPECT_EQ(report.free, kChunks);
  EXPECT_TRUE(report.sizes_intact);
}

/// What the signal handler below works on, in the thread that it interrupts.
thread_local ChunkArena* interrupted = nullptr;
thread_local int handled = 0;

void allocate_and_free_in_a_handler(int /*signal*/) {
  ArenaRef ref;
  if (interrupted == nullptr) return;
  if (interrupted->try_allocate(64, ref) == Status::ok) interrupted->free(ref);
  ++handled;
}

/// Interrupts the calling thread five thousand times a second.
class Interruptions {
 public:
  Interruptions() {
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event._sigev_un._tid = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) {
      throw std::system_error(errno, std::system_category(), "timer_create");
    }
    const itimerspec often = {.it_interval = {.tv_sec = 0, .tv_nsec = 200'000},
                              .it_value = {.tv_sec = 0, .tv_nsec = 200'000}};
    timer_settime(timer_, 0, &often, nullptr);
  }
  ~Interruptions() { timer_delete(timer_); }
  Interruptions(const Interruptions&) = delete;
  Interruptions& operator=(const Interruptions&) = delete;

 private:
  timer_t timer_ = {};
};

/// Until it was interrupted 200 times.
void allocate_and_free_while_interrupted(Room& room) {
  ChunkArena arena = arena_in(room);
  arena.free(arena.allocate(1));  // has attached
  handled = 0;
  interrupted = &arena;
  {
    const Interruptions interruptions;
    while (handled < 200) {
      const ArenaRef first = arena.allocate(64), second = arena.allocate(64);
      EXPECT_NE(first.index, second.index);
      arena.free(first);
      arena.free(second);
    }
  }
  interrupted = nullptr;
}

TYPED_TEST(ArenaBehaviour, HE2_ACallInsideACallDoesNotBlock) {
  struct sigaction old = {}, act = {};
  act.sa_handler = allocate_and_free_in_a_handler;
  ASSERT_EQ(sigaction(SIGALRM, &act, &old), 0);
  this->stage_.start(allocate_and_free_while_interrupted);
  allocate_and_free_while_interrupted(*this->stage_);
  this->stage_.finish();
  sigaction(SIGALRM, &old, nullptr);
  EXPECT_EQ(arena_in(*this->stage_).report().free, kChunks);
}

TYPED_TEST(ArenaBehaviour, HE3_WhatIsAllocatedBeforeIsSharedAndAfterwardsNothingOverlaps) {
  ChunkArena arena = arena_in(*this->stage_);
  const ArenaRef before = arena.allocate(64);
  fill(arena, before, std::byte{0xbe});
  this->stage_->mail = before;
  for (unsigned seed = 1; seed < 3; ++seed) {
    this->stage_.start([seed](Room& room) {
      ChunkArena mine = arena_in(room);
      EXPECT_TRUE(is_filled(mine, room.mail, std::byte{0xbe}));
      EXPECT_EQ(mine.is_mine(room.mail), !TypeParam::kProcesses);
      if (TypeParam::kProcesses) {
        EXPECT_THROW(mine.free(room.mail), std::logic_error) << "it is another process's";
      }
      allocate_and_free(room, seed, 10'000);
    });
  }
  allocate_and_free(*this->stage_, 0, 10'000);
  this->stage_.finish();
  EXPECT_TRUE(is_filled(arena, before, std::byte{0xbe}));
  arena.free(before);
  EXPECT_EQ(arena.report().free, kChunks);
}

TYPED_TEST(ArenaBehaviour, WhatIsSentIsTakenOnceByOneOfThree) {
  for (int i = 0; i < 3; ++i) {
    this->stage_.start([](Room& room) {
      ChunkArena arena = arena_in(room);
      while (room.mail.load() == ArenaRef{}) sched_yield();
      if (arena.take(room.mail) != Status::ok) return;
      ++room.ready;
      EXPECT_TRUE(is_filled(arena, room.mail, std::byte{0x5e}));
      arena.free(room.mail);
    });
  }
  ChunkArena arena = arena_in(*this->stage_);
  const ArenaRef ref = arena.allocate(4000);
  fill(arena, ref, std::byte{0x5e});
  arena.send(ref);
  this->stage_->mail = ref;
  this->stage_.finish();
  EXPECT_EQ(this->stage_->ready, 1);
  EXPECT_EQ(arena.report().free, kChunks);
}

TYPED_TEST(ArenaBehaviour, WhatIsGivenIsTheOthers) {
  this->stage_.start([](Room& room) {
    ChunkArena arena = arena_in(room);
    room.other = participant::self();
    while (room.mail.load() == ArenaRef{}) sched_yield();
    EXPECT_TRUE(arena.is_mine(room.mail));
    EXPECT_TRUE(is_filled(arena, room.mail, std::byte{0x61}));
    arena.free(room.mail);
  });
  ChunkArena arena = arena_in(*this->stage_);
  while (this->stage_->other == participant::kNobody) sched_yield();
  const ArenaRef ref = arena.allocate(100);
  fill(arena, ref, std::byte{0x61});
  arena.give(ref, this->stage_->other);
  this->stage_->mail = ref;
  this->stage_.finish();
  EXPECT_EQ(arena.report().free, kChunks);
}

/// Where there are processes to kill.
template <class Way>
class ArenaDeath : public ArenaBehaviour<Way> {};
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(ArenaDeath, Processes, WayNames);

TYPED_TEST(ArenaDeath, HE4_ADeadOwnersChunksAreTakenOver) {
  const int party = this->stage_.start([](Room& room) {
    ChunkArena arena = arena_in(room);
    ArenaRef ref;
    while (arena.try_allocate(1, ref) == Status::ok) room.mail = ref;
    ++room.ready;
    wait_for(room.ready, -1);
  });
  wait_for(this->stage_->ready, 1);
  ChunkArena arena = arena_in(*this->stage_);
  ArenaRef ref;
  EXPECT_EQ(arena.try_allocate(1, ref), Status::full) << "of the living nothing is taken";
  EXPECT_EQ(arena.report().owned, kChunks);
  this->stage_.kill(party);
  EXPECT_EQ(arena.report().owned_by_dead, kChunks);
  for (std::size_t i = 0; i < kChunks; ++i) ASSERT_EQ(arena.try_allocate(1, ref), Status::ok);
  EXPECT_TRUE(arena.bytes(this->stage_->mail).empty()) << "that was another life";
  EXPECT_EQ(arena.report().owned, kChunks);
}

TYPED_TEST(ArenaDeath, HE4_WhatTheDeadSentIsDeliveredOrReclaimed) {
  const int party = this->stage_.start([](Room& room) {
    ChunkArena arena = arena_in(room);
    arena.send(arena.allocate(64));
    const ArenaRef ref = arena.allocate(64);
    fill(arena, ref, std::byte{0x7e});
    arena.send(ref);
    room.mail = ref;
    ++room.ready;
    wait_for(room.ready, -1);
  });
  wait_for(this->stage_->ready, 1);
  ChunkArena arena = arena_in(*this->stage_);
  EXPECT_EQ(arena.reclaim_in_transit(), 0U) << "the sender lives";
  this->stage_.kill(party);
  EXPECT_EQ(arena.report().in_transit_of_dead, 2U);
  EXPECT_EQ(arena.take(this->stage_->mail), Status::ok);
  EXPECT_TRUE(is_filled(arena, this->stage_->mail, std::byte{0x7e}));
  arena.free(this->stage_->mail);
  EXPECT_EQ(arena.reclaim_in_transit(), 1U);
  EXPECT_EQ(arena.report().free, kChunks);
}

TYPED_TEST(ArenaDeath, HE4_WhatTheDeadHadTakenIsDeliveredAgain) {
  ChunkArena arena = arena_in(*this->stage_);
  const ArenaRef ref = arena.allocate(64);
  fill(arena, ref, std::byte{0x1d});
  arena.send(ref);
  this->stage_->mail = ref;  // and there it stays: the taker looks, but does not drop it
  const int party = this->stage_.start([](Room& room) {
    EXPECT_EQ(arena_in(room).take(room.mail), Status::ok);
    ++room.ready;
    wait_for(room.ready, -1);
  });
  wait_for(this->stage_->ready, 1);
  EXPECT_EQ(arena.take(ref), Status::stale) << "it is the other's, who lives";
  this->stage_.kill(party);
  EXPECT_EQ(arena.take(ref), Status::ok);
  EXPECT_TRUE(is_filled(arena, ref, std::byte{0x1d}));
  EXPECT_EQ(arena.reclaim_in_transit(), 0U) << "nothing was lost";
  arena.free(ref);
  EXPECT_EQ(arena.report().free, kChunks);
}

TYPED_TEST(ArenaDeath, HE4_WhatTheDeadSentIsKeptWhileItIsReferredTo) {
  const int party = this->stage_.start([](Room& room) {
    ChunkArena arena = arena_in(room);
    arena.send(arena.allocate(64));  // dies before it has told anybody
    const ArenaRef ref = arena.allocate(64);
    arena.send(ref);
    room.mail = ref;
    ++room.ready;
    wait_for(room.ready, -1);
  });
  wait_for(this->stage_->ready, 1);
  this->stage_.kill(party);
  ChunkArena arena = arena_in(*this->stage_);
  const ArenaRef mail = this->stage_->mail;
  EXPECT_EQ(arena.reclaim_in_transit([=](ArenaRef ref) { return ref == mail; }), 1U);
  EXPECT_EQ(arena.take(mail), Status::ok);
  arena.free(mail);
  EXPECT_EQ(arena.report().free, kChunks);
}

TYPED_TEST(ArenaDeath, AStoppedOwnerKeepsItsChunks) {
  const int party = this->stage_.start([](Room& room) {
    ChunkArena arena = arena_in(room);
    ArenaRef ref;
    while (arena.try_allocate(1, ref) == Status::ok) {
    }
    ++room.ready;
    wait_for(room.ready, -1);
  });
  wait_for(this->stage_->ready, 1);
  ::kill(this->stage_.thread_of(party), SIGSTOP);
  ArenaRef ref;
  EXPECT_EQ(arena_in(*this->stage_).try_allocate(1, ref), Status::full);
  this->stage_.kill(party);
}

}  // namespace
}  // namespace sluice::tests
