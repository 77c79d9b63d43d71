// SPDX-License-Identifier: Apache-2.0
//
// What a version of sluice has written, this one reads: an image of each kind of object, per
// version of its format, and what must be found in it. And what this one writes is what the image
// of its version shows, so that no byte moves unless the version says so.

#include "sluice/tests/ipc/golden.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ios>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <shared_mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "sluice/ipc/arena.h"
#include "sluice/ipc/array.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/deque.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/lifo_queue.h"
#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/priority_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/sealed_memory.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/value.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/barrier.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/once.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A kind of object, in one version of its format.
struct Kind {
  const char* image;
  void (*make)(const std::string& name);  ///< leaves the object of the image, until removed
  void (*use)(const std::string& name);   ///< expects to find in it what make() has put there
  void (*open)(const std::string& name);  ///< only that, to see an error
  std::vector<Range> owners;           ///< besides the stamp's: tags, and their registry's number
  bool is_file = false;                ///< it has a path, rather than a name
  std::vector<Range> registries = {};  ///< in locks that are free: the number of theirs
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.image; }

// -------------------------------------------------------------------------------------------------
// The kinds

struct Tick {
  static constexpr std::string_view kTypeName = "test.Tick";
  std::int64_t price;
  std::int32_t size, venue;
};

void make_pipe(const std::string& name) {
  Sender tx = Sender::create(name, 4096, Lifetime::until_removed);
  EXPECT_EQ(tx.send("hello"), Status::ok);
  EXPECT_EQ(tx.send(42), Status::ok);
  EXPECT_EQ(tx.send(Tick{.price = -7, .size = 3, .venue = 9}), Status::ok);
  EXPECT_EQ(tx.send(""), Status::ok);
}

void use_pipe(const std::string& name) {
  Receiver rx = Receiver::open(name);
  EXPECT_EQ(rx.capacity(), 4096U);
  std::string text;
  EXPECT_EQ(rx.recv(text, Deadline::now()), Status::ok);
  EXPECT_EQ(text, "hello");
  int number = 0;
  EXPECT_EQ(rx.recv(number, Deadline::now()), Status::ok);
  EXPECT_EQ(number, 42);
  Tick tick = {};
  EXPECT_EQ(rx.recv(tick, Deadline::now()), Status::ok);
  EXPECT_EQ(std::tuple(tick.price, tick.size, tick.venue), std::tuple(-7, 3, 9));
  EXPECT_EQ(rx.recv(text, Deadline::now()), Status::ok);
  EXPECT_EQ(text, "");
  EXPECT_EQ(rx.recv(text, Deadline::now()), Status::closed) << "as its sender left it";
  Sender tx = Sender::open(name);
  EXPECT_EQ(tx.send("again"), Status::ok);
  EXPECT_EQ(rx.recv(text, Deadline::now()), Status::ok);
}

struct Office {
  static constexpr std::string_view kTypeName = "test.Office";
  Mutex mutex;
  ConditionVariable changed;
  std::int64_t count = 0x0102030405060708;
  double share = 0.5;
  std::array<char, 8> text = {"sluice"};
  static constexpr auto kMembers =
      std::tuple(&Office::mutex, &Office::changed, &Office::count, &Office::share, &Office::text);
};

void make_shared(const std::string& name) {
  Shared<Office>::create(name, {.lifetime = Lifetime::until_removed});
}

void use_shared(const std::string& name) {
  const auto office = Shared<Office>::open(name);
  EXPECT_EQ(office->count, 0x0102030405060708);
  EXPECT_EQ(office->share, 0.5);
  EXPECT_STREQ(office->text.data(), "sluice");
  const std::scoped_lock hold(office->mutex);
  office->changed.notify_all();
}

/// Each lock and signal, as it is made or, if it has no owner, as it was used.
struct Locks {
  static constexpr std::string_view kTypeName = "test.Locks";
  Mutex mutex;
  RecursiveMutex recursive;
  ConditionVariable condition;
  EventCount count;
  Semaphore semaphore = Semaphore(5);
  BoundedSemaphore bounded = BoundedSemaphore(4);
  OwnedSemaphore<8> owned = OwnedSemaphore<8>(3);
  Event event;
  AutoResetEvent auto_reset;
  Latch latch = Latch(7);
  Once once;
  Barrier<4> barrier = Barrier<4>(3, {.timeout = 5s});
  SharedMutex<4> shared;
  static constexpr auto kMembers =
      std::tuple(&Locks::mutex, &Locks::recursive, &Locks::condition, &Locks::count,
                 &Locks::semaphore, &Locks::bounded, &Locks::owned, &Locks::event,
                 &Locks::auto_reset, &Locks::latch, &Locks::once, &Locks::barrier, &Locks::shared);
};

void make_locks(const std::string& name) {
  const auto locks = Shared<Locks>::create(name, {.lifetime = Lifetime::until_removed});
  locks->semaphore.acquire();
  locks->bounded.acquire();
  locks->event.set();
  locks->auto_reset.set();
  locks->latch.count_down(2);
  locks->once.call([] {});
}

void use_locks(const std::string& name) {
  const auto locks = Shared<Locks>::open(name);
  EXPECT_EQ(std::tuple(locks->semaphore.value(), locks->bounded.value(), locks->owned.value()),
            std::tuple(4U, 3U, 3U));
  locks->bounded.release();
  EXPECT_THROW(locks->bounded.release(), std::logic_error) << "its bound is 4";
  EXPECT_TRUE(locks->event.is_set());
  EXPECT_EQ(locks->auto_reset.wait(Deadline::now()), Status::ok);
  EXPECT_EQ(locks->auto_reset.wait(Deadline::now()), Status::timeout);
  EXPECT_FALSE(locks->latch.try_wait());
  locks->latch.count_down(5);
  EXPECT_TRUE(locks->latch.try_wait());
  EXPECT_TRUE(locks->once.done());
  EXPECT_EQ(locks->barrier.parties(), 3U);
  EXPECT_EQ(locks->barrier.wait(Deadline::now()).status, Status::timeout);
  EXPECT_TRUE(locks->owned.try_acquire());
  const std::scoped_lock hold(locks->mutex, locks->recursive);
  locks->condition.notify_all();
  const std::shared_lock reading(locks->shared);
}

void make_array(const std::string& name) {
  const std::array<Tick, 3> ticks = {{{1, 2, 3}, {-4, 5, 6}, {7, 8, 9}}};
  Array<Tick>::create(name, ticks, {.lifetime = Lifetime::until_removed});
}

void use_array(const std::string& name) {
  const auto array = Array<Tick>::open(name);
  ASSERT_EQ(array.size(), 3U);
  const auto held = array.lock();
  EXPECT_EQ(std::tuple(held[1].price, held[1].size, held[1].venue), std::tuple(-4, 5, 6));
}

void make_raw_array(const std::string& name) {
  const std::array<Tick, 2> ticks = {{{1, 2, 3}, {-4, 5, 6}}};
  RawArray<Tick>::create(name, ticks, {.lifetime = Lifetime::until_removed});
}

void use_raw_array(const std::string& name) {
  const auto array = RawArray<Tick>::open(name);
  ASSERT_EQ(array.size(), 2U);
  EXPECT_EQ(std::tuple(array[1].price, array[1].size, array[1].venue), std::tuple(-4, 5, 6));
}

/// Whose thread has ended with the lock in its hands.
void make_file(const std::string& path) {
  const std::array<Tick, 3> ticks = {{{1, 2, 3}, {-4, 5, 6}, {7, 8, 9}}};
  const auto array = Array<Tick>::map_file(path, ticks);
  std::thread([&] { array.mutex().lock(); }).join();
}

std::uint64_t registry_of_file(const std::string& path) {
  std::uint64_t number = 0;
  std::memcpy(&number, &read_bytes(path).at(MappedFile::kRegistryOffset), sizeof number);
  return number;
}

void use_file(const std::string& path) {
  EXPECT_NE(registry_of_file(path), Domain::current().incarnation()) << "as after a reboot";
  const auto array = Array<Tick>::open_file(path);
  EXPECT_EQ(registry_of_file(path), Domain::current().incarnation()) << "it has been taken over";
  ASSERT_EQ(array.size(), 3U);
  EXPECT_THROW(static_cast<void>(array.lock()), OwnerDied);
  const auto held = array.lock([](std::span<Tick>) {});
  EXPECT_EQ(std::tuple(held[1].price, held[1].size, held[1].venue), std::tuple(-4, 5, 6));
}

constexpr std::uint32_t kSmall = 0xCAFE;
constexpr Tick kBefore = {.price = 1, .size = 2, .venue = 3};
constexpr Tick kNewest = {.price = -1, .size = -2, .venue = -3};

template <class T>
void make_value(const std::string& name, const T& before, const T& newest) {
  Value<T>::create(name, before, Lifetime::until_removed).store(newest);
}

template <class T>
void use_value(const std::string& name, const T& newest) {
  const auto value = Value<T>::open(name);
  const T found = value.load();
  EXPECT_EQ(std::memcmp(&found, &newest, sizeof newest), 0);
}

void make_connection(const std::string& name) {
  Connection first = Connection::create(
      name, {.capacity = 256, .max_message = 1000, .lifetime = Lifetime::until_removed});
  EXPECT_EQ(first.send("forth"), Status::ok);
  EXPECT_EQ(first.send(std::string(150, 'x')), Status::ok) << "which travels in parts";
  Connection second = Connection::open(name);
  EXPECT_EQ(second.send(42), Status::ok);
}

void use_connection(const std::string& name) {
  Connection first = Connection::open(name, ConnectionEnd::first);
  Connection second = Connection::open(name);
  EXPECT_EQ(std::tuple(first.capacity(), first.max_message()), std::tuple(256U, 1000U));
  std::string text;
  EXPECT_EQ(second.try_recv(text), Status::ok);
  EXPECT_EQ(text, "forth");
  EXPECT_EQ(second.try_recv(text), Status::ok);
  EXPECT_EQ(text, std::string(150, 'x'));
  int number = 0;
  EXPECT_EQ(first.try_recv(number), Status::ok);
  EXPECT_EQ(number, 42);
}

std::vector<ListItem> list_items() {
  return {"sluice", Bytes(9, std::byte{0xab}), -2.5, 42, ListItem(), true};
}

void make_list(const std::string& name) {
  ShareableList::create(name, list_items(), {.lifetime = Lifetime::until_removed});
}

void use_list(const std::string& name) {
  const auto list = ShareableList::open(name);
  EXPECT_EQ(std::vector<ListItem>(list.begin(), list.end()), list_items());
}

void make_arena(const std::string& name) {
  Arena::create(name, {{.chunk_bytes = 64, .count = 2}, {.chunk_bytes = 1000, .count = 1}},
                {.lifetime = Lifetime::until_removed});
}

void use_arena(const std::string& name) {
  const auto arena = Arena::open(name);
  EXPECT_EQ(arena->capacity(), 3U);
  EXPECT_EQ(arena->bytes(arena->allocate(100)).size(), 1024U);
  EXPECT_EQ(arena->bytes(arena->allocate(64)).size(), 64U);
}

/// How far a side has read, which it has in memory of its own; not on the stack, whose alignment
/// asan does not keep.
struct alignas(kNoSharing) Progress {
  std::array<std::byte, ByteRing::kProgressBytes> bytes = {};
};

/// A memfd has no name: the file holds its bytes.
void make_sealed(const std::string& path) {
  auto memory = internal::SealedMemory::make(256, 1000);
  const auto peer = std::make_unique<Progress>();
  const std::string text = "hello";
  EXPECT_EQ(
      ByteRing::Producer(memory.ring(), peer->bytes).try_write(7, std::as_bytes(std::span(text))),
      Status::ok);
  std::filesystem::copy_file("/proc/self/fd/" + std::to_string(memory.fd().get()), path);
}

/// As in ipc/sealed_memory.cc, for older headers.
constexpr int kSealFutureWrite = 0x0010;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | kSealFutureWrite;

internal::SealedMemory open_sealed(const std::string& path) {
  UniqueFd fd(memfd_create("golden", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const Image image = read_bytes(path);
  if (write(fd.get(), image.data(), image.size()) != static_cast<ssize_t>(image.size()) ||
      fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    throw std::runtime_error("make sealed memory of " + path);
  }
  return internal::SealedMemory::attach(std::move(fd), 1 << 20);
}

void use_sealed(const std::string& path) {
  const auto memory = open_sealed(path);
  // Relaxed: nobody writes.
  EXPECT_EQ(internal::RealEnv::load(memory.control().max_message, std::memory_order_relaxed),
            1000U);
  const auto mine = std::make_unique<Progress>();
  ByteRing::Consumer peer(memory.ring(), mine->bytes);
  const auto record = peer.try_peek();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->type, 7U);
  EXPECT_EQ(record->payload.size(), 5U);
  EXPECT_EQ(std::memcmp(record->payload.data(), "hello", 5), 0);
}

void make_queue(const std::string& name) {
  auto queue = Queue<std::string>::create(
      name, {5, 200},
      {.overflow = Overflow::drop_oldest, .segment = {.lifetime = Lifetime::until_removed}});
  for (const char* text : {"gone", "first", ""}) EXPECT_EQ(queue.push(text), Status::ok);
  EXPECT_EQ(queue.pop(), "gone");
}

void use_queue(const std::string& name) {
  auto queue = Queue<std::string>::open(name);
  EXPECT_EQ(queue.capacity(), 5U);
  EXPECT_EQ(queue.capacity_bytes(), 200U);
  EXPECT_EQ(queue.pop(), "first");
  EXPECT_EQ(queue.pop(), "");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(queue.push(std::to_string(i)), Status::ok);
  EXPECT_EQ(queue.dropped(), 1U);
  EXPECT_EQ(queue.pop(), "1");
}

/// The same kind: a ring, gone around once.
void make_ring_queue(const std::string& name) {
  auto queue = Queue<Tick>::create(name, 3, {.segment = {.lifetime = Lifetime::until_removed}});
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(queue.push({.price = i, .size = 1, .venue = 2}), Status::ok);
  EXPECT_EQ(queue.pop()->price, 0);
  EXPECT_EQ(queue.push({.price = -7, .size = 3, .venue = 9}), Status::ok);
}

void use_ring_queue(const std::string& name) {
  auto queue = Queue<Tick>::open(name);
  EXPECT_EQ(queue.capacity(), 3U);
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_EQ(queue.try_push({}), Status::full);
  EXPECT_EQ(queue.pop()->price, 1);
  EXPECT_EQ(queue.pop()->price, 2);
  const auto last = queue.pop();
  EXPECT_EQ(std::tuple(last->price, last->size, last->venue), std::tuple(-7, 3, 9));
  EXPECT_EQ(queue.push({}), Status::ok);
  queue.close();
  EXPECT_TRUE(queue.pop());
  EXPECT_FALSE(queue.pop());
}

/// Of a queue's items (ipc/item_layout.h): the registry of its lock.
constexpr std::size_t kItemsRegistry = kObjectOffset + 1152 + 256 + 8;

/// As if this registry's processes had used it.
void take_over_items(const std::string& name) {
  std::fstream file(Domain::current().path() + "/obj-" + name,
                    std::ios::binary | std::ios::in | std::ios::out);
  const auto registry = static_cast<std::uint32_t>(Domain::current().incarnation());
  file.seekp(kItemsRegistry);
  file.write(reinterpret_cast<const char*>(&registry), sizeof registry);
}

const SegmentOptions kUntilRemoved = {.lifetime = Lifetime::until_removed};

void make_lifo(const std::string& name) {
  auto queue = LifoQueue<std::string>::create(name, {5, 640}, {.segment = kUntilRemoved});
  for (const std::size_t n : {3, 100, 24}) EXPECT_EQ(queue.push(std::string(n, 'l')), Status::ok);
}

void use_lifo(const std::string& name) {
  take_over_items(name);
  auto queue = LifoQueue<std::string>::open(name);
  EXPECT_EQ(std::tuple(queue.capacity(), queue.capacity_bytes()), std::tuple(5U, 640U));
  for (const std::size_t n : {24, 100, 3}) EXPECT_EQ(queue.pop(), std::string(n, 'l'));
  EXPECT_EQ(queue.bytes(), 0U);
}

void make_priority(const std::string& name) {
  auto queue = PriorityQueue<int>::create(name, 5, {.segment = kUntilRemoved});
  for (const int item : {4, 2, 5, 1, 3}) EXPECT_EQ(queue.push(item), Status::ok);
}

void use_priority(const std::string& name) {
  take_over_items(name);
  auto queue = PriorityQueue<int>::open(name);
  EXPECT_EQ(queue.try_push(6), Status::full);
  for (const int item : {1, 2, 3, 4, 5}) EXPECT_EQ(queue.pop(), item);
}

void make_deque(const std::string& name) {
  auto row = Deque<int>::create(name, 5, {.segment = kUntilRemoved});
  EXPECT_EQ(row.push_back(2), Status::ok);
  EXPECT_EQ(row.push_front(1), Status::ok);
  EXPECT_EQ(row.push_back(3), Status::ok);
  row.close();
}

void use_deque(const std::string& name) {
  take_over_items(name);
  auto row = Deque<int>::open(name);
  EXPECT_EQ(row.push_back(9), Status::closed);
  EXPECT_EQ(row.pop_back(), 3);
  EXPECT_EQ(row.pop_front(), 1);
  EXPECT_EQ(row.pop_front(), 2);
  EXPECT_EQ(row.pop_front(), std::nullopt);
}

using Texts = JoinableQueue<std::string>;

void make_tasks(const std::string& name) {
  auto tasks = Texts::create(name, {5, 640}, {.segment = kUntilRemoved, .max_attempts = 2});
  for (const std::string text : {"poison", "once more", "new"}) {
    EXPECT_EQ(tasks.push(text), Status::ok);
  }
  for (int attempt = 0; attempt < 3; ++attempt) tasks.pop()->fail();
}

void use_tasks(const std::string& name) {
  take_over_items(name);
  auto tasks = Texts::open(name);
  EXPECT_EQ(tasks.unfinished(), 2U);
  for (const std::uint32_t attempt : {2U, 1U}) {
    auto task = tasks.pop();
    EXPECT_EQ(**task, attempt == 2 ? "once more" : "new");
    EXPECT_EQ(task->attempt(), attempt);
    task->done();
  }
  const auto letters = tasks.dead_letters();
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(std::tuple(letters[0].item, letters[0].attempts), std::tuple("poison", 2U));
}

std::vector<Kind> kinds() {
  return {
      {"sealed_v1",
       make_sealed,
       use_sealed,
       [](const std::string& path) { open_sealed(path); },
       {},
       true},
      {"lifo_queue_v1",
       make_lifo,
       use_lifo,
       [](const std::string& name) { LifoQueue<std::string>::open(name); },
       {{kItemsRegistry, 4}}},
      {"priority_queue_v1",
       make_priority,
       use_priority,
       [](const std::string& name) { PriorityQueue<int>::open(name); },
       {{kItemsRegistry, 4}}},
      {"deque_v1",
       make_deque,
       use_deque,
       [](const std::string& name) { Deque<int>::open(name); },
       {{kItemsRegistry, 4}}},
      {"joinable_queue_v1",
       make_tasks,
       use_tasks,
       [](const std::string& name) { Texts::open(name); },
       {{kItemsRegistry, 4}}},
      {"arena_v1", make_arena, use_arena, [](const std::string& name) { Arena::open(name); }, {}},
      {"array_v1",
       make_array,
       use_array,
       [](const std::string& name) { Array<Tick>::open(name); },
       {}},
      {"shareable_list_v1",
       make_list,
       use_list,
       [](const std::string& name) { ShareableList::open(name); },
       {}},
      {"queue_v2",
       make_queue,
       use_queue,
       [](const std::string& name) { Queue<std::string>::open(name); },
       {},
       false,
       {{kObjectOffset + 0x588, 4}, {kObjectOffset + 0x688, 4}}},
      {"queue_ring_v2",
       make_ring_queue,
       use_ring_queue,
       [](const std::string& name) { Queue<Tick>::open(name); },
       {},
       false,
       {{kObjectOffset + 1152 + 256 + 16, 4}}},
      {"pipe_v1",
       make_pipe,
       use_pipe,
       [](const std::string& name) { Receiver::open(name); },
       // The tags of its ends, which are the low halves of their words.
       {{kObjectOffset, 4}, {kObjectOffset + 8, 4}}},
      {"connection_v1",
       make_connection,
       use_connection,
       [](const std::string& name) { Connection::open(name); },
       {{kObjectOffset, 4}, {kObjectOffset + 8, 4}}},
      {"raw_array_v1",
       make_raw_array,
       use_raw_array,
       [](const std::string& name) { RawArray<Tick>::open(name); },
       {}},
      {"array_file_v1",
       make_file,
       use_file,
       [](const std::string& path) { Array<Tick>::open_file(path); },
       // The file's registry; the tag of the lock's owner, and the lock's registry.
       {{MappedFile::kRegistryOffset, 8}, {kObjectOffset + 4, 4}, {kObjectOffset + 8, 4}},
       true},
      {"value_word_v1",
       [](const std::string& name) { make_value<std::uint32_t>(name, 1, kSmall); },
       [](const std::string& name) { use_value<std::uint32_t>(name, kSmall); },
       [](const std::string& name) { Value<std::uint32_t>::open(name); },
       {}},
      {"value_slots_v1",
       [](const std::string& name) { make_value(name, kBefore, kNewest); },
       [](const std::string& name) { use_value(name, kNewest); },
       [](const std::string& name) { Value<Tick>::open(name); },
       // The writers' registry.
       {{kObjectOffset + 72, 4}}},
      {"shared_locks_v1",
       make_locks,
       use_locks,
       [](const std::string& name) { Shared<Locks>::open(name); },
       {{kObjectOffset + offsetof(Locks, once) + 8, 4}}},
      {"shared_v1",
       make_shared,
       use_shared,
       [](const std::string& name) { Shared<Office>::open(name); },
       {}},
  };
}

// -------------------------------------------------------------------------------------------------

std::string path_of(const Kind& kind) {
  return std::string("tests/ipc/testdata/") + kind.image + ".hex";
}

/// What the object `name` is called by its kind's functions.
std::string called(const Kind& kind, const std::string& name) {
  return kind.is_file ? Domain::current().path() + "/" + name : name;
}

std::string file_of(const Kind& kind, const std::string& name) {
  return kind.is_file ? called(kind, name) : Domain::current().path() + "/obj-" + name;
}

void remove(const Kind& kind, const std::string& name) {
  EXPECT_TRUE(std::filesystem::remove(file_of(kind, name)));
}

Image made_now(const Kind& kind) {
  const std::string name = std::string("now-") + kind.image;
  kind.make(called(kind, name));
  Image image = read_bytes(file_of(kind, name));
  remove(kind, name);
  return image;
}

class Golden : public testing::TestWithParam<Kind> {};

TEST_P(Golden, WhatIsWrittenNowHasTheSameBytes) {
  const Image image = made_now(GetParam());
  if (const char* directory = std::getenv("SLUICE_WRITE_GOLDEN"); directory != nullptr) {
    write_golden(std::string(directory) + "/" + GetParam().image + ".hex", image);
  }
  std::vector<Range> differ = GetParam().owners;
  differ.insert(differ.end(), GetParam().registries.begin(), GetParam().registries.end());
  EXPECT_EQ(difference(masked(read_golden(path_of(GetParam())), differ), masked(image, differ)), "")
      << "the format of " << GetParam().image
      << " has changed: give the kind a new version, and that an image of its own";
}

TEST_P(Golden, WhatWasWrittenThenIsReadNow) {
  const Kind& kind = GetParam();
  Image image = read_golden(path_of(kind));
  // As if they had not been used: theirs is gone.
  for (const Range& range : kind.registries) std::fill_n(&image[range.begin], range.size, 0);
  put_object(file_of(kind, "then"), image, [](Stamp&) {});
  kind.use(called(kind, "then"));
  remove(kind, "then");
}

TEST_P(Golden, AnotherVersionIsRefusedWithBothNumbers) {
  const Kind& kind = GetParam();
  std::uint32_t version = 0;
  put_object(file_of(kind, "later"), read_golden(path_of(kind)),
             [&](Stamp& stamp) { version = stamp.kind_version++; });
  try {
    kind.open(called(kind, "later"));
    ADD_FAILURE() << "it was opened";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::mismatch);
    EXPECT_THAT(e.text().expected, HasSubstr("version " + std::to_string(version)));
    EXPECT_THAT(e.text().found, HasSubstr("version " + std::to_string(version + 1)));
  }
  remove(kind, "later");
}

INSTANTIATE_TEST_SUITE_P(Kinds, Golden, testing::ValuesIn(kinds()),
                         [](const auto& info) { return std::string(info.param.image); });

}  // namespace
}  // namespace sluice::tests
