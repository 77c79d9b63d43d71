// SPDX-License-Identifier: Apache-2.0
//
// Calls that are counted under callgrind, each by itself: one thread, nobody waits, memory warm.
//
//   instructions              prints the names
//   instructions NAME         makes 1000 calls inside counted()
//
// tests/instructions/instructions.sh runs it and compares the counts with golden.txt.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "sluice/ipc/pipe.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/value.h"
#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/lockfree/spsc_ring.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"

namespace {

using sluice::Status;
using Item = std::uint64_t;

constexpr std::size_t kCalls = 1000;
constexpr std::size_t kCapacity = 1024;

/// What callgrind counts: by its name, so it is neither inlined nor merged with another.
template <class Call>
[[gnu::noinline]] void counted(const Call& call) {
  for (std::size_t i = 0; i < kCalls; ++i) call();
}

void must(Status status) {
  if (status != Status::ok) std::abort();
}

template <class Ring>
struct InMemory {
  InMemory() : memory(Ring::bytes_for(kCapacity) / kAlign + 1) { Ring::format(bytes(), kCapacity); }
  std::span<std::byte> bytes() {
    return std::as_writable_bytes(std::span(memory)).first(Ring::bytes_for(kCapacity));
  }

  static constexpr std::size_t kAlign = sluice::kNoSharing;
  struct alignas(kAlign) Line {
    std::byte bytes[kAlign];
  };
  std::vector<Line> memory;
};

/// Both sides once before, so that what is done for the first time is done.
template <class Push, class Pop>
void count_push(const Push& push, const Pop& pop) {
  for (std::size_t i = 0; i < kCalls; ++i) push();
  for (std::size_t i = 0; i < kCalls; ++i) pop();
  counted(push);
}
template <class Push, class Pop>
void count_pop(const Push& push, const Pop& pop) {
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < kCalls; ++i) push();
    if (round == 0) {
      for (std::size_t i = 0; i < kCalls; ++i) pop();
    }
  }
  counted(pop);
}

template <class Ring>
void ring(bool counts_push) {
  InMemory<Ring> memory;
  typename Ring::Producer producer(memory.bytes());
  typename Ring::Consumer consumer(memory.bytes());
  Item item = 7;
  const auto push = [&] { must(producer.try_push(item)); };
  const auto pop = [&] { must(consumer.try_pop(item)); };
  counts_push ? count_push(push, pop) : count_pop(push, pop);
}

/// An item there, and a look for a second one: what follows a single item is no stream.
template <class Ring>
void single_item() {
  InMemory<Ring> memory;
  typename Ring::Producer producer(memory.bytes());
  typename Ring::Consumer consumer(memory.bytes());
  Item item = 7;
  counted([&] {
    must(producer.try_push(item));
    must(consumer.try_pop(item));
    if (consumer.try_pop(item) != Status::empty) std::abort();
  });
}

void pipe(bool counts_send) {
  sluice::Pipe pipe = sluice::Pipe::create();
  Item item = 7;
  const auto send = [&] { must(pipe.sender.send(item)); };
  const auto receive = [&] { must(pipe.receiver.recv(item)); };
  counts_send ? count_push(send, receive) : count_pop(send, receive);
}

void queue(bool counts_push) {
  sluice::Queue<Item> queue{sluice::Capacity(kCapacity)};
  const auto push = [&] { must(queue.push(7)); };
  const auto pop = [&] { static_cast<void>(queue.pop().value()); };
  counts_push ? count_push(push, pop) : count_pop(push, pop);
}

template <class Call>
void alone(const Call& call) {
  for (int i = 0; i < 10; ++i) call();
  counted(call);
}

void mutex() {
  sluice::Mutex lock;
  alone([&] {
    lock.lock();
    lock.unlock();
  });
}

void shared_mutex() {
  sluice::SharedMutex<> lock;
  alone([&] {
    lock.lock_shared();
    lock.unlock_shared();
  });
}

void semaphore() {
  sluice::Semaphore permits(1);
  alone([&] {
    permits.acquire();
    permits.release();
  });
}

void value(bool counts_load) {
  sluice::Value<Item> value(7);
  Item last = 0;
  if (counts_load) {
    alone([&] { last += value.load(); });
  } else {
    alone([&] { value.store(++last); });
  }
}

const std::map<std::string, std::function<void()>> kCases = {
    {"spsc_ring_push", [] { ring<sluice::SpscRing<Item>>(true); }},
    {"spsc_ring_pop", [] { ring<sluice::SpscRing<Item>>(false); }},
    {"mpmc_ring_push", [] { ring<sluice::MpmcRing<Item>>(true); }},
    {"mpmc_ring_pop", [] { ring<sluice::MpmcRing<Item>>(false); }},
    {"spsc_ring_single_item", single_item<sluice::SpscRing<Item>>},
    {"pipe_send", [] { pipe(true); }},
    {"pipe_recv", [] { pipe(false); }},
    {"queue_push", [] { queue(true); }},
    {"queue_pop", [] { queue(false); }},
    {"mutex_lock_unlock", mutex},
    {"shared_mutex_lock_unlock_shared", shared_mutex},
    {"semaphore_acquire_release", semaphore},
    {"value_load", [] { value(true); }},
    {"value_store", [] { value(false); }},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    for (const auto& [name, run] : kCases) std::cout << name << '\n';
    return 0;
  }
  const auto found = kCases.find(argv[1]);
  if (found == kCases.end()) {
    std::cerr << "there is no case " << argv[1] << '\n';
    return 1;
  }
  found->second();
  return 0;
}
