// SPDX-License-Identifier: Apache-2.0
//
// Values in files: what outlasts the processes and the registry. What is refused is in
// refusals_test.cc.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "sluice/ipc/value.h"
#include "sluice/pool/process.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/domain_files.h"
#include "sluice/tests/support/own_domain.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kTimes = 20'000;

/// Of 72 bytes, all of which follow from the number.
struct Block {
  static constexpr std::string_view kTypeName = "test.Block";
  std::array<std::int64_t, 9> words;

  static Block of(std::int64_t n) {
    Block block;
    for (std::size_t i = 0; i < block.words.size(); ++i) {
      block.words[i] = n * static_cast<std::int64_t>(i + 1);
    }
    return block;
  }
  bool operator==(const Block&) const = default;
};

template <class Object>
Process writer_inside_an_update(Object make, Gate& inside) {
  return Process("writer", [=, &inside] {
    auto value = make();
    value.update([&](Block& block) {
      block.words[0] = -1;
      inside.open();
      for (;;) pause();
    });
  });
}

using ValueFile = DomainFiles;

TEST_F(ValueFile, OutlastsItsUsers) {
  in(first_, [&] {
    auto made = Value<Block>::map_file(path(), Block::of(1));
    EXPECT_TRUE(made.created());
    EXPECT_EQ(made.name(), path());
    made.store(Block::of(2));
    EXPECT_NO_THROW(made.flush());
    EXPECT_THAT(error_of([&] { return made.fd(); }).what(), HasSubstr("open_file"));
  });
  in(first_, [&] {
    auto found = Value<Block>::map_file(path(), Block::of(1));
    EXPECT_FALSE(found.created());
    EXPECT_EQ(found.load(), Block::of(2));
    auto opened = Value<Block>::open_file(path());
    opened.store(Block::of(3));
    EXPECT_EQ(found.load(), Block::of(3));
  });
  in(second_, [&] { EXPECT_EQ(Value<Block>::open_file(path()).load(), Block::of(3)); });
}

TEST_F(ValueFile, IsSharedByAllWhoMapIt) {
  in(first_, [&] {
    auto mine = Value<std::int64_t>::map_file(path(), 0);
    ChildParty child([&] {
      auto its = Value<std::int64_t>::open_file(path());
      for (int i = 0; i < kTimes; ++i) its.fetch_add(1);
    });
    for (int i = 0; i < kTimes; ++i) mine.fetch_add(1);
    child.finish();
    EXPECT_EQ(mine.load(), 2 * kTimes);
  });
}

TEST_F(ValueFile, AWriterFromBeforeTheRebootIsDeadAndTheValueGoesOn) {
  // Where the machine stops, the kernel has no time to mark the lock: so a copy is taken in the
  // midst of an update.
  in(first_, [&] {
    auto mine = Value<Block>::map_file(path(), Block::of(4));
    mine.update([&](Block& block) {
      std::filesystem::copy_file(path(), path("held"));
      block = Block::of(5);
    });
  });
  std::filesystem::rename(path("held"), path());
  in(second_, [&] {
    auto found = Value<Block>::open_file(path());
    EXPECT_EQ(found.load(), Block::of(4)) << "the update never happened";
    EXPECT_EQ(found.store(Block::of(6), 20s), Status::ok);
    EXPECT_EQ(found.load(), Block::of(6));
  });
  in(first_, [&] {
    auto found = Value<Block>::map_file(path(), Block::of(0));
    EXPECT_EQ(found.load(), Block::of(6)) << "also after another reboot";
    EXPECT_EQ(found.store(Block::of(7), 20s), Status::ok);
  });
}

TEST_F(ValueFile, WhileAnotherRegistryUsesItItIsRefused) {
  Gate used, asked;
  ChildParty user([&] {
    first_.enter();
    auto mine = Value<Block>::map_file(path(), Block::of(1));
    used.open();
    asked.wait();
    EXPECT_EQ(mine.store(Block::of(2), 20s), Status::ok);
  });
  used.wait();
  in(second_, [&] {
    const Error error = error_of([&] { return Value<Block>::open_file(path()); });
    EXPECT_EQ(error.code(), Status::foreign_registry);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(path()), HasSubstr("found one in use")));
  });
  asked.open();
  user.finish();
}

TEST_F(ValueFile, AKilledWriterIsFollowed) {
  in(first_, [&] {
    Value<Block>::map_file(path(), Block::of(1));
    Gate inside;
    Process writer =
        writer_inside_an_update([p = path()] { return Value<Block>::open_file(p); }, inside);
    auto value = Value<Block>::open_file(path());
    inside.wait();
    writer.kill();
    writer.join();
    EXPECT_EQ(value.load(), Block::of(1));
    EXPECT_EQ(value.store(Block::of(2), 20s), Status::ok);
  });
}

}  // namespace
}  // namespace sluice::tests
