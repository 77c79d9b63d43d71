// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/inspect.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/arena.h"
#include "sluice/ipc/boost_layout.h"
#include "sluice/ipc/deque.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/lifo_queue.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/priority_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/cell_word.h"
#include "sluice/pool/process.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"
#include "sluice/tests/support/child_party.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr std::size_t kCapacity = 4096;
// Offsets in the file, as in ipc/pipe_layout.h and lockfree/byte_ring.h.
constexpr std::size_t kReceiverWord = kObjectOffset;
constexpr std::size_t kRing = kObjectOffset + internal::kPipeRingOffset;
constexpr std::size_t kTail = kRing + 128;
constexpr std::size_t kHead = kRing + 256;
constexpr std::size_t kFirstHeader = kRing + 384;

class InspectTest : public testing::Test {
 protected:
  void SetUp() override { attach(); }

  static ObjectInfo describe(const std::string& name) {
    Domain domain(Domain::current_path(), Domain::Access::look);
    return describe_object(domain, name);
  }

  static std::vector<ObjectInfo> list() {
    Domain domain(Domain::current_path(), Domain::Access::look);
    return list_objects(domain);
  }

  static std::string path_of(const std::string& name) {
    return Domain::current_path() + "/obj-" + name;
  }

  static void overwrite(const std::string& name, std::size_t offset,
                        std::span<const std::byte> bytes) {
    const UniqueFd fd(open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
  }

  static void overwrite(const std::string& name, std::size_t offset, std::uint64_t word) {
    overwrite(name, offset, std::as_bytes(std::span(&word, 1)));
  }
};

/// Something that no call of sluice made, under an object's name.
class Planted {
 public:
  explicit Planted(std::string path) : path_(std::move(path)) {}
  Planted(std::string path, std::size_t size, mode_t mode = 0600) : Planted(std::move(path)) {
    const UniqueFd fd(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    EXPECT_EQ(fchmod(fd.get(), mode), 0);
    EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  }
  ~Planted() { std::filesystem::remove(path_); }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;

 private:
  std::string path_;
};

std::uint64_t counter(const ObjectInfo& object, const std::string& name) {
  for (const CounterInfo& c : object.counters) {
    if (c.name == name) return c.value;
  }
  ADD_FAILURE() << "no counter " << name;
  return 0;
}

std::string details(const ObjectInfo& object) {
  std::ostringstream out;
  print_details(out, object);
  return out.str();
}

std::string one_line(const ObjectInfo& object) {
  std::ostringstream out;
  out << object;
  return out.str();
}

bool is_printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c == '\n' || std::isprint(c) != 0; });
}

// -------------------------------------------------------------------------------------------------
// Healthy objects

TEST_F(InspectTest, AHealthyPipe) {
  Receiver rx = Receiver::create("orders", kCapacity);
  Sender tx = Sender::open("orders");
  for (const char* text : {"first", "second", "third!"}) ASSERT_EQ(tx.send(text), Status::ok);
  std::string first;
  ASSERT_EQ(rx.recv(first), Status::ok);

  const ObjectInfo object = describe("orders");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(object.kind(), "pipe");
  EXPECT_EQ(object.usage, Usage::in_use);
  EXPECT_FALSE(object.is_stale());
  EXPECT_EQ(object.file_size, std::filesystem::file_size(path_of("orders")));
  ASSERT_TRUE(object.stamp.has_value());
  EXPECT_EQ(object.stamp->creator_pid, getpid());
  EXPECT_EQ(counter(object, "capacity"), rx.capacity());
  EXPECT_EQ(counter(object, "messages in"), 3U);
  EXPECT_EQ(counter(object, "messages out"), 1U);
  EXPECT_EQ(counter(object, "bytes in"), 48U) << "three headers and eight bytes of payload each";
  EXPECT_EQ(counter(object, "bytes out"), 16U);
  EXPECT_EQ(counter(object, "fill"), 32U);
  EXPECT_EQ(counter(object, "messages to be received"), 2U);
  EXPECT_EQ(counter(object, "next message"), 6U);
}

TEST_F(InspectTest, TheOwnersOfAPipe) {
  const Receiver rx = Receiver::create("owners", kCapacity);
  ObjectInfo object = describe("owners");
  ASSERT_THAT(object.owners, SizeIs(2));
  const OwnerInfo& receiver = object.owners[0];
  EXPECT_EQ(receiver.role, "receiver");
  EXPECT_EQ(receiver.state, "open");
  EXPECT_EQ(receiver.tag, participant::self());
  EXPECT_EQ(receiver.liveness, Liveness::alive);
  EXPECT_EQ(receiver.pid, getpid());
  EXPECT_THAT(receiver.process, Not(IsEmpty()));
  EXPECT_FALSE(receiver.left);
  EXPECT_EQ(object.owners[1].role, "sender");
  EXPECT_EQ(object.owners[1].state, "vacant");
  EXPECT_EQ(object.owners[1].tag, participant::kNobody);

  Sender::open("owners").close();
  object = describe("owners");
  EXPECT_EQ(object.owners[1].state, "closed");
  EXPECT_EQ(object.owners[1].liveness, Liveness::alive);
  EXPECT_THAT(details(object), HasSubstr("sender: closed, tag "));
}

TEST_F(InspectTest, AnAnonymousPipeThroughItsDescriptor) {
  const Pipe pipe = Pipe::create(kCapacity);
  const UniqueFd fd = pipe.receiver.fd();
  Domain domain(Domain::current_path(), Domain::Access::look);
  const ObjectInfo object = describe_object(domain, fd.get(), "fd");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(object.usage, Usage::unknown);
  ASSERT_THAT(object.owners, SizeIs(2));
  EXPECT_EQ(object.owners[0].state, "offered");
}

TEST_F(InspectTest, WhoWaits) {
  Receiver rx = Receiver::create("waits", kCapacity);
  Sender tx = Sender::open("waits");
  EXPECT_THAT(describe("waits").waiting, IsEmpty());
  std::thread sleeper([&] {
    std::string text;
    EXPECT_EQ(rx.recv(text), Status::ok);
  });
  while (describe("waits").waiting.empty()) std::this_thread::yield();  // ends: the sleeper waits
  EXPECT_THAT(describe("waits").waiting, ElementsAre("receiver, for a message"));
  ASSERT_EQ(tx.send("wake up"), Status::ok);
  sleeper.join();
}

TEST_F(InspectTest, AHealthyQueue) {
  auto queue = Queue<int>::create("jobs", 3, {.overflow = Overflow::drop_oldest});
  for (int i = 0; i < 5; ++i) ASSERT_EQ(queue.push(i), Status::ok);
  ObjectInfo object = describe("jobs");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(object.kind(), "queue");
  EXPECT_EQ(counter(object, "items"), 3U);
  EXPECT_EQ(counter(object, "bytes"), 48U);
  EXPECT_EQ(counter(object, "most items"), 3U);
  EXPECT_EQ(counter(object, "most bytes"), 48U);
  EXPECT_EQ(counter(object, "dropped"), 2U);
  EXPECT_EQ(counter(object, "closed"), 0U);
  EXPECT_THAT(object.waiting, IsEmpty());
  ASSERT_THAT(object.owners, SizeIs(2));
  EXPECT_EQ(object.owners[0].role, "push lock");
  EXPECT_EQ(object.owners[0].state, "free");
  queue.close(Remaining::dropped);
  object = describe("jobs");
  EXPECT_EQ(counter(object, "items"), 0U);
  EXPECT_EQ(counter(object, "closed"), 1U);
}

TEST_F(InspectTest, AHealthyQueueThatIsARing) {
  auto queue = Queue<int>::create("ring", 3);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(queue.push(i), Status::ok);
  ObjectInfo object = describe("ring");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(object.kind(), "queue");
  EXPECT_EQ(counter(object, "items"), 2U);
  EXPECT_EQ(counter(object, "most items"), 3U);
  EXPECT_EQ(counter(object, "bytes of an item"), 16U);
  EXPECT_EQ(counter(object, "closed"), 0U);
  EXPECT_THAT(object.waiting, IsEmpty());
  EXPECT_THAT(object.owners, IsEmpty()) << "nobody is at work";
  // As if somebody were just pushing.
  constexpr std::size_t kCells = kObjectOffset + 1152 + 256 + 384;
  overwrite(
      "ring", kCells + 2 * 16,
      internal::CellWord::claimed(0, internal::CellWord::State::writing, participant::self()));
  object = describe("ring");
  EXPECT_EQ(counter(object, "items"), 3U);
  ASSERT_THAT(object.owners, SizeIs(1));
  EXPECT_EQ(object.owners[0].role, "producer");
  EXPECT_EQ(object.owners[0].pid, getpid());
  queue.close(Remaining::dropped);
  object = describe("ring");
  EXPECT_EQ(counter(object, "items"), 0U);
  EXPECT_EQ(counter(object, "closed"), 1U);
}

TEST_F(InspectTest, ACorruptRingIsShownAsCorrupt) {
  auto queue = Queue<int>::create("bent", 3);
  constexpr std::size_t kControlAt = kObjectOffset + 1152;
  overwrite("bent", kControlAt, 7);  // its state
  EXPECT_THAT(describe("bent").faults, ElementsAre(HasSubstr("state 7")));
  overwrite("bent", kControlAt + 256, std::uint64_t{1} << 60);  // its capacity
  EXPECT_THAT(describe("bent").faults, ElementsAre(HasSubstr("1152921504606846976 cells")));
  overwrite("bent", kObjectOffset + 8, 9);  // its engine
  EXPECT_THAT(describe("bent").faults, ElementsAre(HasSubstr("engine 9")));
}

TEST_F(InspectTest, AQueueWhoseTasksAreLeased) {
  auto tasks = JoinableQueue<int>::create("tasks", 9, {.max_attempts = 1});
  for (int i = 0; i < 6; ++i) ASSERT_EQ(tasks.push(i), Status::ok);
  tasks.pop()->fail();
  const auto mine = tasks.pop();
  Process victim("victim", [] {
    auto queue = JoinableQueue<int>::open("tasks");
    const auto two = queue.pop();
    const auto three = queue.pop();
    raise(SIGKILL);
  });
  victim.join();
  const ObjectInfo object = describe("tasks");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(counter(object, "items"), 2U);
  EXPECT_EQ(counter(object, "leased"), 3U);
  EXPECT_EQ(counter(object, "dead letters"), 1U);
  EXPECT_EQ(counter(object, "bytes"), 6U * 64);
  EXPECT_EQ(counter(object, "most items"), 9U);
  EXPECT_EQ(counter(object, "most attempts"), 1U);
  EXPECT_EQ(counter(object, "closed"), 0U);
  ASSERT_THAT(object.owners, SizeIs(3));
  EXPECT_EQ(object.owners[0].role, "lock");
  EXPECT_EQ(object.owners[1].role, "consumer");
  EXPECT_EQ(object.owners[1].state, "holds 1");
  EXPECT_EQ(object.owners[1].pid, getpid());
  EXPECT_EQ(object.owners[2].state, "holds 2");
  EXPECT_EQ(object.owners[2].liveness, Liveness::dead);
}

TEST_F(InspectTest, OtherQueuesHaveTheSameParts) {
  auto lifo = LifoQueue<int>::create("lifo", 2, {.ends_with_producers = true});
  auto ranked = PriorityQueue<int>::create("ranked", 2);
  auto row = Deque<int>::create("row", 2);
  ASSERT_EQ(lifo.push(1), Status::ok);
  ASSERT_EQ(ranked.push(1), Status::ok);
  ASSERT_EQ(row.push_back(1), Status::ok);
  row.close();
  for (const std::string name : {"lifo", "ranked", "row"}) {
    const ObjectInfo object = describe(name);
    EXPECT_THAT(object.faults, IsEmpty()) << name;
    EXPECT_EQ(counter(object, "items"), 1U) << name;
    EXPECT_EQ(counter(object, "closed"), name == "row" ? 1U : 0U);
    EXPECT_THAT(object.owners, SizeIs(name == "lifo" ? 2 : 1)) << "its producer has a seat";
  }
}

TEST_F(InspectTest, ACorruptQueueOfItemsIsShownAsCorrupt) {
  auto row = Deque<int>::create("torn", 3);
  constexpr std::size_t kControlAt = kObjectOffset + 1152;
  overwrite("torn", kControlAt + 128, 7);  // its state
  EXPECT_THAT(describe("torn").faults, ElementsAre(HasSubstr("state 7")));
  overwrite("torn", kControlAt, 12345);  // its units
  EXPECT_THAT(describe("torn").faults, ElementsAre(HasSubstr("12345 units")));
}

TEST_F(InspectTest, TheProducersOfAQueue) {
  auto queue = Queue<int>::create("fed", 3, {.ends_with_producers = true});
  ASSERT_EQ(queue.push(1), Status::ok);
  tests::ChildParty([] {
    EXPECT_EQ(Queue<int>::open("fed").announce_producer(), Status::ok);
  }).finish();
  Process victim("victim", [] {
    auto mine = Queue<int>::open("fed");
    EXPECT_EQ(mine.push(2), Status::ok);
    raise(SIGKILL);
  });
  victim.join();
  const ObjectInfo object = describe("fed");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(counter(object, "producers"), 1U);
  EXPECT_EQ(counter(object, "dead producers"), 1U);
  ASSERT_THAT(object.owners, SizeIs(2));
  EXPECT_EQ(object.owners[0].role, "producer");
  EXPECT_EQ(object.owners[0].pid, getpid());
  EXPECT_EQ(object.owners[1].liveness, Liveness::dead);
}

TEST_F(InspectTest, ACorruptQueueIsShownAsCorrupt) {
  auto queue = Queue<int>::create("broken", 3, {.overflow = Overflow::drop_oldest});
  ASSERT_EQ(queue.push(1), Status::ok);
  constexpr std::size_t kTailAt = kObjectOffset + 1152 + 384;
  for (const std::uint64_t tail : {~std::uint64_t{0}, std::uint64_t{5}}) {
    overwrite("broken", kTailAt, tail);
    const ObjectInfo object = describe("broken");
    ASSERT_THAT(object.faults, SizeIs(1)) << tail;
    EXPECT_THAT(object.faults[0], HasSubstr("impossible positions"));
    EXPECT_TRUE(is_printable(details(object)));
  }
  overwrite("broken", kObjectOffset + 1152 + 16, 12345);  // the storage's size
  EXPECT_THAT(describe("broken").faults, ElementsAre(HasSubstr("a storage of 12345 bytes")));
}

TEST_F(InspectTest, LooksWithoutTakingPart) {
  const Receiver rx = Receiver::create("observed", kCapacity);
  Process observer([] {
    Domain domain(Domain::current_path(), Domain::Access::look);
    const bool found =
        list_objects(domain).size() == 1 && describe_object(domain, "observed").owners.size() == 2;
    _exit(found && participant::self_if_attached() == participant::kNobody ? 0 : 1);
  });
  observer.join();
  EXPECT_EQ(observer.exit_code(), 0);
}

TEST_F(InspectTest, AnObjectThatIsWrittenToIsNeverCalledFaulty) {
  Receiver rx = Receiver::create("busy", kCapacity);
  Sender tx = Sender::open("busy");
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (std::size_t n = 0; !stop; ++n) {
      static_cast<void>(tx.try_send(std::string(n % 100, 'x')));
      if (n % 3 == 0) static_cast<void>(rx.skip());
    }
  });
  for (int i = 0; i < 2000; ++i) EXPECT_THAT(describe("busy").faults, IsEmpty());
  stop = true;
  writer.join();
}

// -------------------------------------------------------------------------------------------------
// Owners that are gone

/// An end that this process never closes.
template <class End>
End& leak(End end) {
  return *new End(std::move(end));
}

/// Runs `body` in a child, waits until it has come to its end, and lets it die there.
template <class Body>
pid_t run_and_kill(Body body) {
  Pipe done = Pipe::create(kCapacity);
  Process child([&] {
    body();
    static_cast<void>(done.sender.send("here"));
    for (;;) pause();
  });
  std::string text;
  EXPECT_EQ(done.receiver.recv(text), Status::ok);
  child.kill();
  child.join();
  EXPECT_EQ(child.exit_code(), -SIGKILL);
  return child.pid();
}

TEST_F(InspectTest, AnOwnerThatWasKilled) {
  const Receiver rx = Receiver::create("killed", kCapacity);
  const pid_t pid =
      run_and_kill([] { static_cast<void>(leak(Sender::open("killed")).send("last words")); });
  const ObjectInfo object = describe("killed");
  EXPECT_THAT(object.faults, IsEmpty()) << "a dead owner is no damage";
  ASSERT_THAT(object.owners, SizeIs(2));
  EXPECT_EQ(object.owners[1].state, "open");
  EXPECT_EQ(object.owners[1].liveness, Liveness::dead);
  EXPECT_EQ(object.owners[1].pid, pid);
  EXPECT_FALSE(object.owners[1].left);
  EXPECT_EQ(counter(object, "messages to be received"), 1U);
  EXPECT_THAT(details(object), HasSubstr("dead"));
}

TEST_F(InspectTest, AnOwnerThatLeft) {
  const Receiver rx = Receiver::create("left", kCapacity);
  Process child([] { leak(Sender::open("left")); });
  child.join();
  const ObjectInfo object = describe("left");
  EXPECT_EQ(object.owners[1].liveness, Liveness::dead);
  EXPECT_TRUE(object.owners[1].left);
  EXPECT_THAT(details(object), HasSubstr("ended in good order"));
}

TEST_F(InspectTest, AStaleObject) {
  run_and_kill([] { leak(Receiver::create("stale")); });
  const ObjectInfo object = describe("stale");
  EXPECT_EQ(object.usage, Usage::unused);
  EXPECT_TRUE(object.is_stale());
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_THAT(one_line(object), HasSubstr("stale"));
  EXPECT_TRUE(std::filesystem::exists(path_of("stale"))) << "looking removes nothing";
  EXPECT_TRUE(Segment::remove("stale"));
}

TEST_F(InspectTest, AnUnusedObjectThatStaysIsNotStale) {
  Receiver::create("stays", kCapacity, Lifetime::until_removed).close();
  const ObjectInfo object = describe("stays");
  EXPECT_EQ(object.usage, Usage::unused);
  EXPECT_FALSE(object.is_stale());
  EXPECT_THAT(one_line(object), HasSubstr("until removed"));
  EXPECT_TRUE(Segment::remove("stays"));
}

// -------------------------------------------------------------------------------------------------
// Damage

TEST_F(InspectTest, EachByteOfTheStampCounts) {
  const Receiver rx = Receiver::create("stamp", kCapacity);
  const Stamp stamp = *describe("stamp").stamp;
  const auto bytes = std::as_bytes(std::span(&stamp, 1));
  for (std::size_t i = 0; i < sizeof stamp; ++i) {
    const std::byte damaged = bytes[i] ^ std::byte{0x10};
    overwrite("stamp", i, std::span(&damaged, 1));
    const ObjectInfo object = describe("stamp");
    EXPECT_THAT(object.faults, SizeIs(1)) << "byte " << i;
    EXPECT_FALSE(object.stamp.has_value());
    EXPECT_EQ(object.kind(), "?");
    EXPECT_THAT(object.owners, IsEmpty()) << "nothing behind a bad stamp is believed";
    overwrite("stamp", i, bytes.subspan(i, 1));
  }
  EXPECT_THAT(describe("stamp").faults, IsEmpty());
}

TEST_F(InspectTest, ATruncatedFile) {
  run_and_kill([] { leak(Receiver::create("short")); });
  for (const std::size_t size : {4096U + 8192U, 4096U + 100U, 4096U, 4095U, 88U, 10U, 0U}) {
    std::filesystem::resize_file(path_of("short"), size);
    const ObjectInfo object = describe("short");
    EXPECT_EQ(object.file_size, size);
    EXPECT_THAT(object.faults, SizeIs(1));
    EXPECT_THAT(object.faults.front(), HasSubstr(std::to_string(size)));
    EXPECT_FALSE(object.stamp.has_value());
  }
  EXPECT_TRUE(Segment::remove("short"));
}

TEST_F(InspectTest, AValidStampBeforeTooLittle) {
  constexpr std::size_t kSize = kObjectOffset + 100;
  const Planted file(path_of("little"), kSize);
  const Stamp stamp = make_stamp(internal::kPipeKind, Lifetime::while_used, kSize);
  overwrite("little", 0, std::as_bytes(std::span(&stamp, 1)));
  EXPECT_THAT(describe("little").faults, ElementsAre(HasSubstr("too few for a pipe")));
}

struct Damage {
  std::size_t offset;
  std::uint64_t word;
  const char* told;
};

TEST_F(InspectTest, HostileWords) {
  const std::array<Damage, 14> damages = {{
      {kRing, 0, "capacity of 0"},
      {kRing, 4095, "capacity of 4095"},
      {kRing, 64, "capacity of 64"},
      {kRing, 8192, "capacity of 8192"},
      {kRing, std::uint64_t{1} << 63, "capacity of"},
      {kTail, 1, "impossible positions"},
      {kTail, 8000, "impossible positions"},
      {kTail, ~std::uint64_t{7}, ""},  // behind the head by one header: what a crash may leave
      {kHead, 9, "impossible positions"},
      {kHead, std::uint64_t{1} << 62, "impossible positions"},
      {kFirstHeader, 1, "no message"},
      {kFirstHeader, std::uint64_t{3} << 62, "no message"},
      {kFirstHeader, ~std::uint64_t{0}, "no message"},
      {kReceiverWord, std::uint64_t{77} << 32, "receiver's end"},
  }};
  for (const Damage& damage : damages) {
    const Receiver rx = Receiver::create("hostile", kCapacity);
    overwrite("hostile", damage.offset, damage.word);
    const ObjectInfo object = describe("hostile");
    if (*damage.told == '\0') {
      EXPECT_THAT(object.faults, IsEmpty()) << damage.offset << ' ' << damage.word;
    } else {
      EXPECT_THAT(object.faults, ElementsAre(HasSubstr(damage.told))) << damage.word;
    }
    EXPECT_THAT(object.owners, SizeIs(2)) << "the rest is described all the same";
    EXPECT_THAT(object.counters, Not(IsEmpty()));
  }
}

TEST_F(InspectTest, AnOwnerThatNeverWas) {
  const Receiver rx = Receiver::create("nobody", kCapacity);
  overwrite("nobody", kReceiverWord, std::uint64_t{2} << 32 | 0xfffffff0);
  const ObjectInfo object = describe("nobody");
  EXPECT_EQ(object.owners[0].liveness, Liveness::dead);
  EXPECT_EQ(object.owners[0].pid, 0);
}

TEST_F(InspectTest, ARingOfRecordsWithoutAnEnd) {
  const Receiver rx = Receiver::create("round", 128);
  for (std::size_t at = 0; at < 128; at += 8) {
    overwrite("round", kFirstHeader + at, std::uint64_t{1} << 63);  // committed, no payload
  }
  EXPECT_THAT(describe("round").faults, ElementsAre(HasSubstr("no message")));
}

TEST_F(InspectTest, RandomBytes) {
  const Receiver rx = Receiver::create("random", kCapacity);
  std::mt19937_64 random(20240607);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t words = random() % 8 + 1;
    for (std::size_t i = 0; i < words; ++i) {
      const std::uint64_t word = random() >> random() % 64 << random() % 64;
      overwrite("random", kObjectOffset + random() % 160 * 8, word);
    }
    const ObjectInfo object = describe("random");
    EXPECT_TRUE(is_printable(details(object)));
    EXPECT_TRUE(is_printable(one_line(object)));
  }
}

// -------------------------------------------------------------------------------------------------
// Arenas

constexpr std::size_t kArenaClasses = kObjectOffset + 12;
constexpr std::size_t kArenaSizes = kObjectOffset + 16;
constexpr std::size_t kChunkWords = kObjectOffset + 192;

Arena ten_chunks(const std::string& name) {
  return Arena::create(name, {{.chunk_bytes = 64, .count = 7}, {.chunk_bytes = 1000, .count = 3}});
}

TEST_F(InspectTest, AnArenasChunksAndWhoseTheyAre) {
  const Arena arena = ten_chunks("frames");
  run_and_kill([] {
    const Arena mine = Arena::open("frames");
    mine->allocate(1);
    mine->allocate(1000);
    mine->send(mine->allocate(1));
  });
  arena->allocate(1);
  arena->allocate(1);
  arena->send(arena->allocate(500));
  const ObjectInfo object = describe("frames");
  EXPECT_THAT(object.faults, IsEmpty()) << "deaths are no damage";
  EXPECT_EQ(object.kind(), "arena");
  EXPECT_EQ(counter(object, "chunks of 64 bytes"), 7U);
  EXPECT_EQ(counter(object, "chunks of 64 bytes, free"), 3U);
  EXPECT_EQ(counter(object, "chunks of 64 bytes, owned"), 2U);
  EXPECT_EQ(counter(object, "chunks of 64 bytes, of dead owners"), 1U);
  EXPECT_EQ(counter(object, "chunks of 1024 bytes"), 3U);
  EXPECT_EQ(counter(object, "chunks of 1024 bytes, free"), 1U);
  EXPECT_EQ(counter(object, "chunks of 1024 bytes, of dead owners"), 1U);
  EXPECT_EQ(counter(object, "in transit"), 2U);
  EXPECT_EQ(counter(object, "in transit, from the dead"), 1U);
  ASSERT_THAT(object.owners, SizeIs(2));
  const bool mine_first = object.owners[0].tag == participant::self();
  const OwnerInfo& mine = object.owners[mine_first ? 0 : 1];
  const OwnerInfo& dead = object.owners[mine_first ? 1 : 0];
  EXPECT_EQ(mine.state, "2, 1 sent");
  EXPECT_EQ(mine.liveness, Liveness::alive);
  EXPECT_EQ(mine.pid, getpid());
  EXPECT_EQ(dead.state, "2, 1 sent");
  EXPECT_EQ(dead.liveness, Liveness::dead);
  EXPECT_THAT(details(object), HasSubstr("chunks: 2, 1 sent, tag"));
}

TEST_F(InspectTest, AnArenasHostileSizes) {
  const std::array<std::pair<std::size_t, std::uint64_t>, 5> damages = {{
      {kObjectOffset, 0},                                      // no magic
      {kArenaClasses - 4, std::uint64_t{17} << 32},            // too many classes
      {kArenaClasses - 4, 0},                                  // none
      {kArenaSizes, std::uint64_t{1} << 60 | 64},              // too many chunks
      {kArenaSizes + 8, std::uint64_t{1000} << 32 | 1 << 20},  // larger than the file
  }};
  for (const auto& [offset, word] : damages) {
    const Arena damaged = ten_chunks("damaged");
    overwrite("damaged", offset, word);
    const ObjectInfo object = describe("damaged");
    EXPECT_THAT(object.faults, ElementsAre(HasSubstr("no arena's"))) << offset;
    EXPECT_THAT(object.counters, IsEmpty());
  }
}

TEST_F(InspectTest, AnArenasHostileWords) {
  const Arena arena = ten_chunks("words");
  overwrite("words", kChunkWords, std::uint64_t{3} << 32);
  overwrite("words", kChunkWords + 8, std::uint64_t{5});
  EXPECT_THAT(describe("words").faults, ElementsAre(HasSubstr("2 chunks with words")));
  std::mt19937_64 random(11);  // NOLINT(cert-msc51-cpp): the same each time
  for (int round = 0; round < 500; ++round) {
    overwrite("words", kChunkWords + 8 * (random() % 10), random() >> random() % 64);
    const ObjectInfo object = describe("words");
    EXPECT_TRUE(is_printable(details(object)));
    EXPECT_EQ(counter(object, "chunks of 64 bytes") + counter(object, "chunks of 1024 bytes"), 10U);
  }
}

TEST_F(InspectTest, AnArenaOfManyOwnersListsSome) {
  const Arena arena = Arena::create("many", {{.chunk_bytes = 64, .count = 100}});
  for (std::uint64_t i = 0; i < 100; ++i) {
    overwrite("many", kChunkWords + 8 * i, std::uint64_t{1} << 32 | (4'000'000'000 + i));
  }
  const ObjectInfo object = describe("many");
  EXPECT_THAT(object.owners, SizeIs(64));
  EXPECT_EQ(counter(object, "of owners that are not listed"), 36U);
  EXPECT_EQ(counter(object, "chunks of 64 bytes, of dead owners"), 100U);
}

// -------------------------------------------------------------------------------------------------
// Boost's containers: the segment is laid out by hand, so that this needs no Boost

constexpr std::size_t kBoostSize = 8000;

struct BoostLike {
  explicit BoostLike(const std::string& name)
      : segment(Segment::create(
            name,
            {.name = internal::kBoostKind, .version = internal::kBoostVersion, .fingerprint = 7},
            kBoostSize, Lifetime::while_used, [](std::span<std::byte>) {})) {}

  [[nodiscard]] internal::BoostControl& control() const {
    return *internal::attach_object<internal::BoostControl>(segment.object());
  }

  Segment segment;
};

TEST_F(InspectTest, ABoostSegment) {
  const BoostLike boost("containers");
  // Relaxed: it is read by a system call.
  internal::RealEnv::store(boost.control().free_bytes, std::uint64_t{4321},
                           std::memory_order_relaxed);
  ObjectInfo object = describe("containers");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(counter(object, "size"), boost.segment.object().size() - 64);
  EXPECT_EQ(counter(object, "free when last unlocked"), 4321U);
  ASSERT_THAT(object.owners, SizeIs(1));
  EXPECT_EQ(object.owners[0].role, "lock");
  EXPECT_EQ(object.owners[0].state, "free");

  const std::scoped_lock hold(boost.control().mutex);
  object = describe("containers");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_EQ(object.owners[0].state, "held");
  EXPECT_EQ(object.owners[0].pid, getpid());
}

TEST_F(InspectTest, ABoostSegmentWhoseWriterDied) {
  const BoostLike boost("half");
  run_and_kill([&] { boost.control().mutex.lock(); });
  for (const char* const state : {"marked", "held, marked", "marked"}) {
    const ObjectInfo object = describe("half");
    EXPECT_THAT(object.faults, ElementsAre(HasSubstr("refused until repaired"))) << state;
    EXPECT_EQ(object.owners[0].state, state);
    if (object.owners[0].state == "held, marked") {
      boost.control().mutex.unlock();
    } else {
      EXPECT_EQ(boost.control().mutex.acquire(), Status::owner_died);
    }
  }
  boost.control().mutex.mark_consistent();
  boost.control().mutex.unlock();
  EXPECT_THAT(describe("half").faults, IsEmpty());
}

TEST_F(InspectTest, ABoostSegmentWhoseDeadHolderNobodyHasNoticed) {
  const BoostLike boost("unnoticed");
  overwrite("unnoticed", kObjectOffset, std::uint64_t{4'000'000'000} << 32 | 77);
  const ObjectInfo object = describe("unnoticed");
  EXPECT_EQ(object.owners[0].state, "held");
  EXPECT_EQ(object.owners[0].liveness, Liveness::dead);
  EXPECT_THAT(object.faults, ElementsAre(HasSubstr("refused until repaired")));
}

TEST_F(InspectTest, ABoostSegmentsHostileWords) {
  const BoostLike boost("hostile");
  overwrite("hostile", kObjectOffset + 16, ~std::uint64_t{0});
  EXPECT_THAT(describe("hostile").faults, ElementsAre(HasSubstr("bytes free of fewer")));
  std::mt19937_64 random(12);  // NOLINT(cert-msc51-cpp): the same each time
  for (int round = 0; round < 500; ++round) {
    overwrite("hostile", kObjectOffset + 8 * (random() % 3), random() >> random() % 64);
    EXPECT_TRUE(is_printable(details(describe("hostile"))));
  }
}

// -------------------------------------------------------------------------------------------------
// Things that are no objects of this domain

TEST_F(InspectTest, WhatIsNotAFile) {
  const Planted link(path_of("a-link"));
  const Planted fifo(path_of("a-pipe"));
  const Planted directory(path_of("a-tree"));
  std::filesystem::create_symlink("/etc/passwd", path_of("a-link"));
  ASSERT_EQ(mkfifo(path_of("a-pipe").c_str(), 0600), 0);
  std::filesystem::create_directory(path_of("a-tree"));
  const std::vector<ObjectInfo> objects = list();
  ASSERT_THAT(objects, SizeIs(3));
  EXPECT_THAT(objects[0].faults, ElementsAre(HasSubstr("symbolic link")));
  EXPECT_THAT(objects[1].faults, ElementsAre(HasSubstr("special file")));
  EXPECT_THAT(objects[2].faults, ElementsAre(HasSubstr("directory")));
  EXPECT_THAT(describe("a-link").faults, ElementsAre(HasSubstr("symbolic link")));
}

TEST_F(InspectTest, AFileForEverybody) {
  const Planted file(path_of("open"), 5000, 0644);
  EXPECT_THAT(describe("open").faults,
              ElementsAre(HasSubstr("mode 0644"), HasSubstr("not a sluice segment")));
}

TEST_F(InspectTest, AnUnknownKindIsDescribedByItsStamp) {
  const Segment other = Segment::create(
      "other", {.name = "telescope", .version = 9, .fingerprint = 0xabc, .type = "acme.Lens\x1b"},
      100, Lifetime::while_used, [](std::span<std::byte>) {});
  const ObjectInfo object = describe("other");
  EXPECT_EQ(object.kind(), "telescope");
  EXPECT_THAT(object.faults, IsEmpty());
  EXPECT_THAT(object.owners, IsEmpty());
  EXPECT_EQ(object.type, "acme.Lens?");
  EXPECT_THAT(details(object),
              AllOf(HasSubstr("telescope version 9"), HasSubstr("type acme.Lens? 0xabc")));
}

TEST_F(InspectTest, AnotherVersionOfAKnownKind) {
  const Segment other = Segment::create("newer", {.name = "pipe", .version = 2, .fingerprint = 0},
                                        8192, Lifetime::while_used, [](std::span<std::byte>) {});
  EXPECT_THAT(describe("newer").faults, ElementsAre(HasSubstr("layout version 2")));
}

TEST_F(InspectTest, AnObjectOfAnotherRegistry) {
  const Receiver rx = Receiver::create("foreign", kCapacity);
  const std::string elsewhere = Domain::current_path() + "-elsewhere";
  {
    const Domain created(elsewhere);
  }
  std::filesystem::copy_file(path_of("foreign"), elsewhere + "/obj-foreign");
  Domain domain(elsewhere, Domain::Access::look);
  const ObjectInfo object = describe_object(domain, "foreign");
  EXPECT_THAT(object.faults, ElementsAre(HasSubstr("made under registry")));
  ASSERT_THAT(object.owners, SizeIs(2));
  EXPECT_EQ(object.owners[0].liveness, Liveness::unknown) << "its tags mean nothing here";
  EXPECT_EQ(object.owners[0].pid, 0);
  EXPECT_THAT(list_domains(), testing::Contains(elsewhere));
  std::filesystem::remove_all(elsewhere);
}

TEST_F(InspectTest, NamesAreShownPrintable) {
  const Planted file(path_of("\x1b[31mred"), 10);
  const std::vector<ObjectInfo> objects = list();
  ASSERT_THAT(objects, SizeIs(1));
  EXPECT_TRUE(is_printable(one_line(objects[0])));
  EXPECT_THROW(static_cast<void>(describe("\x1b[31mred")), Error);
  EXPECT_THROW(static_cast<void>(describe("../registry-v1")), Error);
}

// -------------------------------------------------------------------------------------------------
// Lists

TEST_F(InspectTest, ListsByName) {
  const Receiver b = Receiver::create("b", kCapacity);
  const Receiver a = Receiver::create("a", kCapacity);
  const Planted broken(path_of("c"), 17);
  const std::vector<ObjectInfo> objects = list();
  ASSERT_THAT(objects, SizeIs(3)) << "the registry's own files are no objects";
  EXPECT_EQ(objects[0].name, "a");
  EXPECT_EQ(objects[1].name, "b");
  EXPECT_EQ(objects[2].name, "c");
  EXPECT_EQ(objects[0].usage, Usage::in_use);
  EXPECT_THAT(objects[2].faults, SizeIs(1));
}

TEST_F(InspectTest, AnEmptyDomain) {
  EXPECT_THAT(list(), IsEmpty());
  try {
    static_cast<void>(describe("absent"));
    FAIL() << "described an absent object";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), std::errc::no_such_file_or_directory);
    EXPECT_THAT(e.what(), HasSubstr("absent"));
  }
}

TEST_F(InspectTest, NoDomainStaysNoDomain) {
  const std::string path = Domain::current_path() + "-absent";
  EXPECT_THROW(Domain(path, Domain::Access::look), Error);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(InspectTest, ADirectoryWithoutARegistryStaysOne) {
  const std::string path = Domain::current_path() + "-bare";
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  EXPECT_THROW(Domain(path, Domain::Access::look), Error);
  EXPECT_TRUE(std::filesystem::is_empty(path));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sluice
