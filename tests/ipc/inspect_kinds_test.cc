// SPDX-License-Identifier: Apache-2.0
//
// What the inspector says of each kind but the pipe (inspect_test.cc): who holds its locks, dead or
// alive, what is in it, and that overwritten bytes are faults, whatever they are.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "sluice/ipc/array.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/inspect.h"
#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/value.h"
#include "sluice/pool/process.h"
#include "sluice/sync/barrier.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/lock_guard.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/once.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

ObjectInfo describe(const std::string& name) {
  Domain domain(Domain::current_path(), Domain::Access::look);
  return describe_object(domain, name);
}

std::string path_of(const std::string& name) { return Domain::current_path() + "/obj-" + name; }

void overwrite(const std::string& path, std::size_t at, std::uint64_t word) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(pwrite(fd.get(), &word, sizeof word, static_cast<off_t>(at)), ssize_t{sizeof word});
}

std::uint64_t counter(const ObjectInfo& object, const std::string& name) {
  for (const CounterInfo& c : object.counters) {
    if (c.name == name) return c.value;
  }
  ADD_FAILURE() << "no counter " << name;
  return 0;
}

/// Runs it in a process that is then killed.
void in_one_who_dies(const std::function<void()>& body) {
  Process child([&] {
    body();
    raise(SIGKILL);
  });
  child.join();
}

struct Quote {
  static constexpr std::string_view kTypeName = "test.Quote";
  std::array<std::int64_t, 5> prices = {};
};

struct Bank {
  static constexpr std::string_view kTypeName = "test.Bank";
  std::int64_t left = 1;
  Mutex mutex;
  std::int64_t right = 2;
  Mutex other;
};

TEST(InspectKinds, AConnection) {
  Connection first = Connection::create("line", {.capacity = 256, .max_message = 1000});
  ASSERT_EQ(first.send("forth"), Status::ok);
  ASSERT_EQ(first.send("and more"), Status::ok);
  const ObjectInfo object = describe("line");
  EXPECT_THAT(object.faults, IsEmpty());
  ASSERT_THAT(object.owners, SizeIs(2));
  EXPECT_EQ(object.owners[0].role, "first end");
  EXPECT_EQ(object.owners[0].pid, getpid());
  EXPECT_EQ(object.owners[1].state, "vacant");
  EXPECT_EQ(counter(object, "first to second: records to be received"), 2U);
  EXPECT_EQ(counter(object, "first to second: next record"), 5U);
  EXPECT_EQ(counter(object, "second to first: records to be received"), 0U);
  EXPECT_EQ(counter(object, "longest message"), 1000U);
  overwrite(path_of("line"), kObjectOffset + 16, 0);
  EXPECT_THAT(describe("line").faults, ElementsAre(HasSubstr("a longest message of 0 bytes")));
}

TEST(InspectKinds, ASmallValue) {
  const auto value = Value<std::uint32_t>::create("hits", 51966);
  const ObjectInfo object = describe("hits");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(object.type, "unsigned32, 4 bytes");
  EXPECT_EQ(counter(object, "value, as a number"), 51966U);
}

TEST(InspectKinds, ALargeValueWhoseWriterDied) {
  auto value = Value<Quote>::create("quote", Quote{});
  value.store(Quote{});
  ObjectInfo object = describe("quote");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(counter(object, "version"), 1U);
  ASSERT_THAT(object.owners, SizeIs(1));
  EXPECT_EQ(object.owners[0].state, "free");
  in_one_who_dies([] {
    auto same = Value<Quote>::open("quote");
    same.update([](Quote&) { raise(SIGKILL); });
  });
  object = describe("quote");
  ASSERT_THAT(object.owners, SizeIs(1));
  EXPECT_EQ(object.owners[0].liveness, Liveness::dead);
  EXPECT_THAT(object.owners[0].state, testing::AnyOf("held", "marked"));
  overwrite(path_of("quote"), kObjectOffset, 77);
  EXPECT_THAT(describe("quote").faults, ElementsAre(HasSubstr("newest value")));
}

TEST(InspectKinds, AnArrayWhoseLockIsHeld) {
  const auto array = Array<std::int64_t>::create("totals", 8);
  const auto held = array.lock();
  ObjectInfo object = describe("totals");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(counter(object, "elements"), 8U);
  EXPECT_EQ(counter(object, "size of an element"), 8U);
  ASSERT_THAT(object.owners, SizeIs(1));
  EXPECT_EQ(object.owners[0].state, "held");
  EXPECT_EQ(object.owners[0].tag, participant::self());
  EXPECT_EQ(object.owners[0].liveness, Liveness::alive);
  EXPECT_EQ(object.owners[0].pid, getpid());
  overwrite(path_of("totals"), kObjectOffset + 16, std::uint64_t{1} << 61);
  object = describe("totals");
  EXPECT_THAT(object.faults, ElementsAre(HasSubstr("2305843009213693952 elements")));
  EXPECT_THAT(object.owners, SizeIs(1)) << "the rest is described all the same";
}

TEST(InspectKinds, ARawArrayHasNoLock) {
  const auto array = RawArray<Quote>::create("quotes", 3);
  const ObjectInfo object = describe("quotes");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_THAT(object.owners, IsEmpty());
  EXPECT_EQ(counter(object, "elements"), 3U);
}

TEST(InspectKinds, AnArrayInAFile) {
  const std::string path = Domain::current_path() + "/levels";
  const auto array = Array<std::int64_t>::map_file(path, 4);
  Domain domain(Domain::current_path(), Domain::Access::look);
  {
    const auto held = array.lock();
    const ObjectInfo object = describe_file(domain, path);
    EXPECT_THAT(object.faults, IsEmpty());
    EXPECT_EQ(object.usage, Usage::in_use);
    ASSERT_THAT(object.owners, SizeIs(1));
    EXPECT_EQ(object.owners[0].liveness, Liveness::alive);
  }
  overwrite(path, MappedFile::kRegistryOffset, 4711);
  const ObjectInfo object = describe_file(domain, path);
  EXPECT_EQ(object.registry, 4711U);
  EXPECT_THAT(object.faults, ElementsAre(HasSubstr("another registry"))) << "the lock's";
  std::filesystem::remove(path);
  EXPECT_THROW(static_cast<void>(describe_file(domain, path)), Error);
}

TEST(InspectKinds, AList) {
  const auto list = ShareableList::create("settings", {"eth0", 9000, ListItem()});
  EXPECT_THAT(describe("settings").faults, IsEmpty());
  EXPECT_EQ(counter(describe("settings"), "items"), 3U);
  EXPECT_THAT(describe("settings").owners, SizeIs(1));
  overwrite(path_of("settings"), kObjectOffset + 32 + 16, 1);
  EXPECT_THAT(describe("settings").faults, ElementsAre(HasSubstr("item 1")));
  overwrite(path_of("settings"), kObjectOffset + 16, ~std::uint64_t{0});
  EXPECT_THAT(describe("settings").faults, ElementsAre(HasSubstr("items in an object")));
}

TEST(InspectKinds, SharedLocksAndSignals) {
  const auto mutex = Shared<Mutex>::create("mutex");
  const std::scoped_lock hold(*mutex);
  EXPECT_EQ(describe("mutex").owners.at(0).pid, getpid());
  const auto semaphore = Shared<Semaphore>::create("semaphore", 7U);
  EXPECT_EQ(counter(describe("semaphore"), "permits"), 7U);
  const auto bounded = Shared<BoundedSemaphore>::create("bounded", 3U);
  bounded->acquire();
  EXPECT_EQ(counter(describe("bounded"), "permits"), 2U);
  EXPECT_EQ(counter(describe("bounded"), "bound"), 3U);
  const auto event = Shared<Event>::create("event");
  EXPECT_EQ(counter(describe("event"), "set"), 0U);
  event->set();
  EXPECT_EQ(counter(describe("event"), "set"), 1U);
  const auto latch = Shared<Latch>::create("latch", 5);
  EXPECT_EQ(counter(describe("latch"), "still to come"), 5U);
  const auto once = Shared<Once>::create("once");
  once->call([&] { EXPECT_EQ(describe("once").owners.at(0).pid, getpid()); });
  EXPECT_EQ(counter(describe("once"), "done"), 1U);
  const auto shared = Shared<SharedMutex<>>::create("shared");
  shared->lock_shared();
  EXPECT_EQ(counter(describe("shared"), "readers"), 1U);
  shared->unlock_shared();
}

TEST(InspectKinds, ASharedBarrier) {
  const auto barrier = Shared<Barrier<>>::create("barrier", 3U);
  EXPECT_EQ(counter(describe("barrier"), "parties"), 3U);
  EXPECT_EQ(counter(describe("barrier"), "arrived"), 0U);
  EXPECT_THAT(describe("barrier").owners, IsEmpty());
  barrier->abort();
  EXPECT_EQ(describe("barrier").owners.at(0).state, "broken");
}

TEST(InspectKinds, LocksInAStructOfTheUsers) {
  const auto bank = Shared<Bank>::create("bank");
  EXPECT_THAT(describe("bank").owners, IsEmpty());
  const std::scoped_lock hold(bank->mutex);
  in_one_who_dies([] { Shared<Bank>::open("bank")->other.lock(); });
  const ObjectInfo object = describe("bank");
  EXPECT_THAT(object.faults, IsEmpty());
  ASSERT_THAT(object.owners, SizeIs(2));
  EXPECT_EQ(object.owners[0].role, "lock at byte " + std::to_string(offsetof(Bank, mutex)));
  EXPECT_EQ(object.owners[0].liveness, Liveness::alive);
  EXPECT_EQ(object.owners[1].role, "lock at byte " + std::to_string(offsetof(Bank, other)));
  EXPECT_EQ(object.owners[1].liveness, Liveness::dead);
}

TEST(InspectKinds, ALockThatNobodyHoldsIsCorrupt) {
  const auto mutex = Shared<Mutex>::create("nobody");
  overwrite(path_of("nobody"), kObjectOffset, 4711);
  const ObjectInfo object = describe("nobody");
  EXPECT_THAT(object.faults, ElementsAre(HasSubstr("held by nobody")));
  EXPECT_EQ(object.owners.at(0).state, "corrupt");
}

TEST(InspectKinds, AnotherVersionOfEachIsNotReadAsThisOne) {
  for (const char* const kind :
       {"connection", "value", "array", "raw_array", "shareable_list", "shared"}) {
    const Segment other = Segment::create(kind, {.name = kind, .version = 2, .fingerprint = 0}, 100,
                                          Lifetime::while_used, [](std::span<std::byte>) {});
    EXPECT_THAT(describe(kind).faults, ElementsAre(HasSubstr("layout version 2"))) << kind;
  }
}

/// Of each kind, with a little in it.
TEST(InspectKinds, RandomBytes) {
  const Connection connection = Connection::create("connection", {.capacity = 256});
  const auto word = Value<std::uint64_t>::create("word", 1);
  const auto slots = Value<Quote>::create("slots", Quote{});
  const auto array = Array<std::int64_t>::create("array", 8);
  const auto raw = RawArray<std::int64_t>::create("raw", 8);
  const auto list = ShareableList::create("list", {"text", 5});
  const auto barrier = Shared<Barrier<>>::create("barrier", 3U);
  const auto shared = Shared<SharedMutex<>>::create("shared");
  const auto bank = Shared<Bank>::create("bank");
  const LockGuard hold(bank->mutex);
  std::mt19937_64 random(20261121);
  for (const char* const name :
       {"connection", "word", "slots", "array", "raw", "list", "barrier", "shared", "bank"}) {
    for (int round = 0; round < 200; ++round) {
      const std::uint64_t number = random() >> random() % 64 << random() % 64;
      overwrite(path_of(name), kObjectOffset + random() % 64 * 8, number);
      std::ostringstream out;
      print_details(out, describe(name));
      EXPECT_THAT(out.str(), HasSubstr(name));
    }
  }
}

}  // namespace
}  // namespace sluice
