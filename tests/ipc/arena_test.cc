// SPDX-License-Identifier: Apache-2.0
//
// Arenas with names and without; row HE5 of BEHAVIOUR. What they do with chunks is tested in
// tests/lockfree/chunk_arena_*_test.cc.

#include "sluice/ipc/arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "sluice/ipc/pipe.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/chunk_arena.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/own_mounts.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using tests::ChildParty;
using tests::error_of;
using tests::Gate;

const Arena::Classes kClasses = {{.chunk_bytes = 64, .count = 8},
                                 {.chunk_bytes = 65536, .count = 4}};

// First of all, before this process has attached to its domain in the host's /dev/shm.
TEST(ArenaOnASmallHost, HE5_AFullFileSystemIsAnErrorWhenItIsMadeAndNeverASignal) {
  ChildParty child([] {
    if (!tests::own_mounts()) return;
    tests::mount_tmpfs("/dev/shm", "size=256k");
    const Error error =
        error_of([] { return Arena::create("too-much", {{.chunk_bytes = 65536, .count = 16}}); });
    EXPECT_EQ(error.code(), std::errc::no_space_on_device);
    const auto arena = Arena::create("enough", {{.chunk_bytes = 4096, .count = 8}});
    for (int i = 0; i < 8; ++i) {
      const auto bytes = arena->bytes(arena->allocate(4096));
      std::fill(bytes.begin(), bytes.end(), std::byte{1});
    }
  });
  child.finish();
}

TEST(Arena, AFrameTravelsWithoutACopyBetweenProcessesThatMetByName) {
  Gate created;
  ChildParty consumer([&] {  // forked first: it inherits nothing
    created.wait();
    const auto arena = Arena::open("frames");
    Receiver rx = Receiver::open("refs");
    for (int i = 0; i < 100; ++i) {
      const auto ref = rx.recv<ArenaRef>();
      ASSERT_EQ(arena->take(ref.value()), Status::ok);
      const auto bytes = arena->bytes(ref.value());
      EXPECT_EQ(std::count(bytes.begin(), bytes.end(), static_cast<std::byte>(i)), 65536);
      arena->free(ref.value());
    }
  });
  const auto arena = Arena::create("frames", kClasses);
  Sender tx = Sender::create("refs", 64);
  created.open();
  for (int i = 0; i < 100; ++i) {
    ArenaRef ref;
    while (arena->try_allocate(60'000, ref) == Status::full) sched_yield();
    const auto bytes = arena->bytes(ref);
    std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(i));
    arena->send(ref);
    ASSERT_EQ(tx.send(ref), Status::ok);
  }
  consumer.finish();
  EXPECT_EQ(arena->report().free, 12U);
}

TEST(Arena, HE4_AKilledConsumersFrameIsDeliveredAgain) {
  const auto arena = Arena::create("again", kClasses);
  Sender tx = Sender::create("again-refs", 4096);
  for (int i = 0; i < 2; ++i) {
    const ArenaRef ref = arena->allocate(1000);
    arena->bytes(ref)[0] = static_cast<std::byte>(i);
    arena->send(ref);
    ASSERT_EQ(tx.send(ref), Status::ok);
  }
  // Looks at the reference, takes the chunk, and only then drops the reference.
  const auto consume = [](bool dies) {
    const auto mine = Arena::open("again");
    Receiver rx = Receiver::open("again-refs");
    for (int i = 0; i < 2; ++i) {
      auto message = rx.peek();
      ASSERT_EQ(message.status(), Status::ok);
      ArenaRef ref;
      ASSERT_EQ(message.bytes().size(), sizeof ref);
      std::memcpy(&ref, message.bytes().data(), sizeof ref);
      ASSERT_EQ(mine->take(ref), Status::ok) << i;
      EXPECT_EQ(mine->bytes(ref)[0], static_cast<std::byte>(i));
      if (dies) raise(SIGKILL);
      message.release();
      mine->free(ref);
    }
  };
  Process victim([&] { consume(true); });
  victim.join();
  EXPECT_EQ(arena->report().owned_by_dead, 1U);
  ChildParty next([&] { consume(false); });
  next.finish();
  EXPECT_EQ(arena->report().free, 12U) << "and nothing had to be reclaimed";
}

TEST(Arena, NamesAreAsEverywhere) {
  EXPECT_EQ(error_of([] { return Arena::open("one"); }).code(),
            std::errc::no_such_file_or_directory);
  auto made = Arena::open_or_create("one", kClasses);
  EXPECT_TRUE(made.created());
  EXPECT_FALSE(Arena::open_or_create("one", kClasses).created());
  EXPECT_EQ(error_of([] { return Arena::create("one", kClasses); }).code(), std::errc::file_exists);
  const auto opened = Arena::from_fd(made.fd());
  EXPECT_EQ(opened->capacity(), 12U);
  EXPECT_TRUE(Arena::remove("one"));
  const Arena moved = std::move(made);
  EXPECT_EQ(moved->capacity(), 12U);
  EXPECT_EQ(error_of([] { return Arena::create("none", {}); }).code(), std::errc::invalid_argument);
}

TEST(Arena, AnonymousOnesAreInherited) {
  const Arena arena(kClasses);
  const ArenaRef ref = arena->allocate(64);
  ChildParty child([&] {
    EXPECT_FALSE(arena->is_mine(ref));
    arena->bytes(ref)[0] = std::byte{5};
    EXPECT_THROW(arena->free(ref), std::logic_error);
  });
  child.finish();
  EXPECT_EQ(arena->bytes(ref)[0], std::byte{5});
}

TEST(Arena, AKilledProcessesChunksComeBack) {
  const Arena arena(kClasses);
  Process victim([&] {
    ArenaRef ref;
    while (arena->try_allocate(1, ref) == Status::ok) {
    }
    raise(SIGKILL);
  });
  victim.join();
  EXPECT_EQ(arena->report().owned_by_dead, 12U);
  for (int i = 0; i < 12; ++i) arena->allocate(1);
}

TEST(Arena, HE5_MoreThanThereIsIsAnErrorWhenItIsMade) {
  const Arena::Classes huge(1, {.chunk_bytes = 1 << 30, .count = 1 << 20});
  EXPECT_THROW(Arena::create("huge", huge), Error);
  EXPECT_THROW(Arena{huge}, Error);
  EXPECT_FALSE(Arena::remove("huge")) << "nothing is left";
}

TEST(Arena, IsNothingElse) {
  const auto number = Shared<int>::create("number", 1);
  EXPECT_EQ(error_of([] { return Arena::open("number"); }).code(), Status::mismatch);
  const auto arena = Arena::create("overwritten", kClasses);
  const auto object = arena.segment().object();
  std::fill_n(object.begin(), 64, std::byte{0x77});
  const Error error = error_of([] { return Arena::open("overwritten"); });
  EXPECT_EQ(error.code(), Status::corrupt);
  EXPECT_THAT(error.what(), HasSubstr("arena \"overwritten\""));
}

TEST(Arena, PrintsItself) {
  std::ostringstream out;
  out << Arena::create("shown", kClasses);
  EXPECT_EQ(out.str(),
            "arena \"shown\": 12 chunks: 12 free, 0 owned, 0 of dead owners, 0 in transit");
}

}  // namespace
}  // namespace sluice
