// SPDX-License-Identifier: Apache-2.0
//
// One of two programs that meet in each kind of object, to be built by different compilers. Run by
// meet.sh:
//
//   party serve      makes the objects, says "ready", and waits for its visitor
//   party visit      opens them and uses them; dies with locks in its hands
//   party which      says by which compiler it was built
//
// Scene by scene, one does what the other expects: contents, locks that one holds and the other
// waits for, permits that one takes and the other gives back, waiting and waking. Exit code 0 if
// each found what the other had put there.

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "sluice/ipc/array.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe.h"
#include "sluice/ipc/shareable_list.h"
#include "sluice/ipc/shared.h"
#include "sluice/ipc/value.h"
#include "sluice/sync/barrier.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/event.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/once.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"

namespace {

using sluice::Status;

#if defined(__clang__)
constexpr const char* kCompiler = "clang";
#else
constexpr const char* kCompiler = "gcc";
#endif

/// Members of many sizes, for each compiler to lay out.
struct Mixed {
  static constexpr std::string_view kTypeName = "test.Mixed/1";
  std::int8_t a = 1;
  double b = 2;
  std::int16_t c = 3;
  std::array<char, 3> d = {'x', 'y', 'z'};
  sluice::Mutex mutex;
  std::int32_t visits = 0;
  sluice::ConditionVariable changed;
  bool done = false;
  static constexpr auto kMembers =
      std::tuple(&Mixed::a, &Mixed::b, &Mixed::c, &Mixed::d, &Mixed::mutex, &Mixed::visits,
                 &Mixed::changed, &Mixed::done);

  [[nodiscard]] bool is_right() const { return a == 1 && b == 2 && c == 3 && d[2] == 'z'; }
};

struct Tick {
  static constexpr std::string_view kTypeName = "test.Tick";
  std::int64_t price;
  std::int16_t size;
  float weight;
};

/// Generous: who waits for so long waits in vain.
constexpr auto kLong = std::chrono::seconds(20);

void expect(bool truth, const char* what) {
  if (truth) return;
  std::cerr << kCompiler << ": wrong: " << what << '\n';
  std::exit(EXIT_FAILURE);
}

// -------------------------------------------------------------------------------------------------
// The objects

/// With padding, and more than a word.
struct Quote {
  static constexpr std::string_view kTypeName = "test.Quote";
  std::int8_t venue = 0;
  double bid = 0;
  std::int16_t size = 0;
  std::int64_t number = 0;
  bool operator==(const Quote&) const = default;
};

/// All locks and signals, for each compiler to lay out.
struct Locks {
  static constexpr std::string_view kTypeName = "test.Locks";
  sluice::RecursiveMutex recursive;
  sluice::Semaphore semaphore = sluice::Semaphore(0);
  sluice::BoundedSemaphore bounded = sluice::BoundedSemaphore(1);
  sluice::OwnedSemaphore<2> owned;
  sluice::Event event;
  sluice::AutoResetEvent auto_reset;
  sluice::Latch latch = sluice::Latch(2);
  sluice::Barrier<4> barrier = sluice::Barrier<4>(2);
  sluice::Once once;
  sluice::SharedMutex<4> shared;
  std::int32_t calls = 0;
  static constexpr auto kMembers =
      std::tuple(&Locks::recursive, &Locks::semaphore, &Locks::bounded, &Locks::owned,
                 &Locks::event, &Locks::auto_reset, &Locks::latch, &Locks::barrier, &Locks::once,
                 &Locks::shared, &Locks::calls);
};

std::string path_of_file() { return sluice::Domain::current_path() + "/levels"; }

/// One party's handles: made by the host, opened by the visitor.
struct Objects {
  sluice::Shared<Mixed> mixed;
  sluice::Shared<Locks> locks;
  sluice::Sender tx;
  sluice::Receiver rx;
  sluice::Connection line;
  sluice::Value<std::uint64_t> word;
  sluice::Value<Quote> quote;
  sluice::Array<Tick> array;
  sluice::RawArray<std::uint64_t> raw;
  sluice::Array<std::int64_t> levels;
  sluice::ShareableList list;
};

Objects make_all() {
  return {.mixed = sluice::Shared<Mixed>::create("mixed"),
          .locks = sluice::Shared<Locks>::create("locks"),
          .tx = sluice::Sender::create("there"),
          .rx = sluice::Receiver::create("back"),
          .line = sluice::Connection::create("line", {.capacity = 1024, .max_message = 1 << 20}),
          .word = sluice::Value<std::uint64_t>::create("word", 0),
          .quote = sluice::Value<Quote>::create("quote", Quote()),
          .array = sluice::Array<Tick>::create("array", 3),
          .raw = sluice::RawArray<std::uint64_t>::create("raw", 2),
          .levels = sluice::Array<std::int64_t>::map_file(path_of_file(), 4),
          .list = sluice::ShareableList::create("list", {"text", 5, 0.5, sluice::Bytes(3), true})};
}

Objects open_all() {
  return {.mixed = sluice::Shared<Mixed>::open("mixed"),
          .locks = sluice::Shared<Locks>::open("locks"),
          .tx = sluice::Sender::open("back"),
          .rx = sluice::Receiver::open("there"),
          .line = sluice::Connection::open("line"),
          .word = sluice::Value<std::uint64_t>::open("word"),
          .quote = sluice::Value<Quote>::open("quote"),
          .array = sluice::Array<Tick>::open("array"),
          .raw = sluice::RawArray<std::uint64_t>::open("raw"),
          .levels = sluice::Array<std::int64_t>::open_file(path_of_file()),
          .list = sluice::ShareableList::open("list")};
}

void tell(Objects& o, const char* what) { expect(o.tx.send(what) == Status::ok, what); }
void hear(Objects& o, const char* what) {
  std::string text;
  expect(o.rx.recv(text, kLong) == Status::ok && text == what, what);
}

// -------------------------------------------------------------------------------------------------
// The scenes, each for the host and for its visitor

void pipe_of_host(Objects& o) {
  tell(o, "hello");
  expect(o.tx.send(Tick{.price = 5, .size = 6, .weight = 0.5F}) == Status::ok, "send a value");
  hear(o, "HELLO");
  const auto tick = o.rx.recv<Tick>();
  expect(tick && tick->price == 10 && tick->size == 12 && tick->weight == 1, "the value in return");
}
void pipe_of_visitor(Objects& o) {
  hear(o, "hello");
  const auto tick = o.rx.recv<Tick>();
  expect(tick && tick->price == 5 && tick->size == 6 && tick->weight == 0.5F, "the value");
  tell(o, "HELLO");
  expect(o.tx.send(Tick{.price = 10, .size = 12, .weight = 1}) == Status::ok, "send a value");
}

const std::string kInParts(100'000, 'p');

void connection_of_host(Objects& o) {
  std::string text;
  expect(o.line.send("forth") == Status::ok, "send over the connection");
  expect(o.line.recv(text, kLong) == Status::ok && text == "back", "the connection's answer");
  expect(o.line.send(kInParts, kLong) == Status::ok, "send a long message");
  expect(o.line.recv(text, kLong) == Status::ok && text == kInParts, "the long message in return");
}
void connection_of_visitor(Objects& o) {
  std::string text;
  expect(o.line.recv(text, kLong) == Status::ok && text == "forth", "over the connection");
  expect(o.line.send("back") == Status::ok, "send back over the connection");
  expect(o.line.recv(text, kLong) == Status::ok && text == kInParts, "the long message");
  expect(o.line.send(kInParts, kLong) == Status::ok, "send a long message back");
}

const Quote kFirst = {.venue = 1, .bid = 2.5, .size = 3, .number = 4};
const Quote kSecond = {.venue = 1, .bid = 3.5, .size = 3, .number = 5};

void values_of_host(Objects& o) {
  o.word.store(1);
  o.quote.store(kFirst);
  std::uint64_t word = 0;
  Quote quote;
  expect(o.word.wait(1, word, kLong) == Status::ok && word == 42, "the word");
  expect(o.quote.wait(kFirst, quote, kLong) == Status::ok && quote == kSecond, "the quote");
}
void values_of_visitor(Objects& o) {
  Quote quote;
  expect(o.quote.wait(Quote(), quote, kLong) == Status::ok && quote == kFirst, "the first quote");
  expect(o.word.fetch_add(41) == 1, "the first word");
  o.quote.update([](Quote& q) {
    q.bid += 1;
    ++q.number;
  });
}

void arrays_of_host(Objects& o) {
  {
    const auto held = o.array.lock();
    const auto levels = o.levels.lock();
    tell(o, "locked");
    hear(o, "found locked");
    held[2] = {.price = 7, .size = 8, .weight = 9};
    levels[3] = -1;
    o.raw.atomic(1).fetch_add(5);
  }
  hear(o, "has locked");
  expect(o.array.lock()[0].price == 70 && o.levels.lock()[0] == -10, "elements of the other");
  expect(o.raw.atomic(1).load() == 6, "both have added");
}
void arrays_of_visitor(Objects& o) {
  hear(o, "locked");
  expect(!o.array.mutex().try_lock() && !o.levels.mutex().try_lock(), "locks of the other");
  tell(o, "found locked");
  {
    const auto held = o.array.lock();  // as soon as the host lets go
    const auto levels = o.levels.lock();
    expect(held[2].price == 7 && held[2].size == 8 && held[2].weight == 9, "the last element");
    expect(levels[3] == -1, "the last level");
    held[0].price = 70;
    levels[0] = -10;
    o.raw.atomic(1).fetch_add(1);
  }
  tell(o, "has locked");
}

std::vector<sluice::ListItem> items_of(Objects& o) { return {o.list.begin(), o.list.end()}; }

void list_of_host(Objects& o) {
  o.list.set(0, "TEXT");
  tell(o, "set");
  hear(o, "set again");
  const std::vector<sluice::ListItem> expected = {-5, 5, 2.5, sluice::Bytes(2, std::byte{7}),
                                                  false};
  expect(items_of(o) == expected, "the list");
}
void list_of_visitor(Objects& o) {
  hear(o, "set");
  const std::vector<sluice::ListItem> expected = {"TEXT", 5, 0.5, sluice::Bytes(3), true};
  expect(items_of(o) == expected, "the list of the host");
  o.list.set(0, -5);
  o.list.set(2, 2.5);
  o.list.set(3, sluice::Bytes(2, std::byte{7}));
  o.list.set(4, false);
  tell(o, "set again");
}

void signals_of_host(Objects& o) {
  Locks& l = *o.locks;
  expect(l.event.wait(kLong) == Status::ok, "the event");
  l.semaphore.release();  // the visitor acquires it
  expect(l.bounded.acquire(kLong) == Status::ok, "the bounded semaphore, which the visitor took");
  l.auto_reset.set();
  l.latch.count_down();
  expect(l.latch.wait(kLong) == Status::ok, "the latch");
  l.once.call([&] { ++l.calls; });
  expect(l.barrier.wait(kLong).status == Status::ok, "the barrier");
  expect(l.calls == 1, "called once");
}
void signals_of_visitor(Objects& o) {
  Locks& l = *o.locks;
  l.bounded.acquire();
  l.event.set();
  expect(l.semaphore.acquire(kLong) == Status::ok, "the host's permit");
  l.bounded.release();
  expect(l.auto_reset.wait(kLong) == Status::ok, "the other event");
  expect(!l.auto_reset.is_set(), "which let one through");
  l.latch.count_down();
  expect(l.latch.wait(kLong) == Status::ok, "the latch");
  l.once.call([&] { ++l.calls; });
  expect(l.barrier.wait(kLong).status == Status::ok, "the barrier");
}

void locks_of_host(Objects& o) {
  Locks& l = *o.locks;
  l.recursive.lock();
  l.recursive.lock();
  l.shared.lock_shared();
  tell(o, "twice");
  hear(o, "tried");
  l.recursive.unlock();
  l.shared.unlock_shared();
  l.recursive.unlock();
  hear(o, "has both");
  expect(!l.recursive.try_lock() && !l.shared.try_lock_shared(), "locks of the visitor");
  expect(l.owned.value() == 1, "a permit of the visitor");
  tell(o, "die");
  // The visitor's death gives all of them back, and is told.
  std::string text;
  expect(o.rx.recv(text, kLong) == Status::peer_died, "its death");
  expect(l.recursive.acquire(kLong) == Status::owner_died, "the recursive lock");
  l.recursive.mark_consistent();
  l.recursive.unlock();
  expect(l.shared.acquire(kLong) == Status::owner_died, "the shared lock");
  l.shared.mark_consistent();
  l.shared.unlock();
  expect(l.owned.acquire(kLong) == Status::ok && l.owned.acquire(kLong) == Status::ok,
         "both permits");
}
void locks_of_visitor(Objects& o) {
  Locks& l = *o.locks;
  hear(o, "twice");
  expect(!l.recursive.try_lock() && !l.shared.try_lock(), "locks of the host");
  expect(l.shared.try_lock_shared(), "a share beside the host's");
  l.shared.unlock_shared();
  tell(o, "tried");
  l.recursive.lock();  // as soon as the host lets go
  l.shared.lock();
  l.owned.acquire();
  tell(o, "has both");
  hear(o, "die");
}

void condition_of_host(Objects& o) {
  Mixed& mixed = *o.mixed;
  std::unique_lock hold(mixed.mutex);
  tell(o, "waiting");
  while (!mixed.done) {
    expect(mixed.changed.wait_for(hold, kLong) == Status::ok, "being told of the visit");
  }
  expect(mixed.visits == 7 && mixed.is_right(), "what the visitor left");
}
void condition_of_visitor(Objects& o) {
  Mixed& mixed = *o.mixed;
  expect(mixed.is_right(), "the struct");
  hear(o, "waiting");
  const std::scoped_lock hold(mixed.mutex);
  mixed.visits = 7;
  mixed.done = true;
  mixed.changed.notify_all();
}

struct Scene {
  void (*host)(Objects&);
  void (*visitor)(Objects&);
};

constexpr Scene kScenes[] = {
    {pipe_of_host, pipe_of_visitor},       {connection_of_host, connection_of_visitor},
    {values_of_host, values_of_visitor},   {arrays_of_host, arrays_of_visitor},
    {list_of_host, list_of_visitor},       {condition_of_host, condition_of_visitor},
    {signals_of_host, signals_of_visitor}, {locks_of_host, locks_of_visitor}};

void serve() {
  std::filesystem::remove(path_of_file());
  Objects objects = make_all();
  std::cout << "ready" << std::endl;
  for (const Scene& scene : kScenes) scene.host(objects);
}

void visit() {
  Objects objects = open_all();
  for (const Scene& scene : kScenes) scene.visitor(objects);
  std::cout << kCompiler << ": visited" << std::endl;
  raise(SIGKILL);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  if (role == "which") {
    std::cout << kCompiler << std::endl;
    return EXIT_SUCCESS;
  }
  try {
    if (role == "serve") serve();
    if (role == "visit") visit();
  } catch (const std::exception& e) {
    std::cerr << kCompiler << ": " << e.what() << '\n';
    return EXIT_FAILURE;
  }
  std::cout << kCompiler << ": served" << std::endl;
  return EXIT_SUCCESS;
}
