// SPDX-License-Identifier: Apache-2.0
//
// Bounded queues of 1024 items in shared memory, as bench/mpmc_cases.cc wants them:
//
//   auto producer(); bool push(const Item&);   auto consumer(); bool pop(Item&);
//
// each made in the process that uses it, and each never waiting.

#ifndef SLUICE_BENCH_RIVALS_MPMC_QUEUES_H_
#define SLUICE_BENCH_RIVALS_MPMC_QUEUES_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/lockfree/queue.hpp>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"

namespace sluice::bench {

inline constexpr std::size_t kMpmcCapacity = 1024;

template <class Item>
class SluiceMpmc {
  using Ring = MpmcRing<Item>;

 public:
  struct Producer {
    bool push(const Item& item) { return side.try_push(item) == Status::ok; }
    std::size_t push_n(std::span<const Item> items) { return side.try_push_n(items); }
    typename Ring::Producer side;
  };
  struct Consumer {
    bool pop(Item& item) { return side.try_pop(item) == Status::ok; }
    std::size_t pop_n(std::span<Item> items) { return side.try_pop_n(items); }
    typename Ring::Consumer side;
  };

  SluiceMpmc() : memory_(Ring::bytes_for(kMpmcCapacity)) {
    Ring::format(memory_.bytes(), kMpmcCapacity);
  }
  [[nodiscard]] Producer producer() { return {typename Ring::Producer(memory_.bytes())}; }
  [[nodiscard]] Consumer consumer() { return {typename Ring::Consumer(memory_.bytes())}; }

 private:
  SharedMemory memory_;
};

/// Dmitry Vyukov's bounded queue (1024cores.net), in shared memory. A process that is killed
/// between its claim of an index and its commit of the cell stops all others for ever.
template <class Item, std::size_t kCellAlign>
class VyukovQueue {
  struct alignas(std::max(kCellAlign, alignof(std::uint64_t))) Cell {
    std::atomic<std::uint64_t> turn;
    alignas(sizeof(Item) >= 2 * kCacheLine ? kCacheLine : alignof(Item)) Item item;
  };
  struct Shared {
    alignas(kNoSharing) std::atomic<std::uint64_t> tail = 0;
    alignas(kNoSharing) std::atomic<std::uint64_t> head = 0;
    alignas(kNoSharing) std::array<Cell, kMpmcCapacity> cells;
  };

 public:
  struct Producer {
    bool push(const Item& item) {
      // Relaxed: a guess, which the cell and the compare-and-swap put right.
      std::uint64_t at = shared->tail.load(std::memory_order_relaxed);
      for (;;) {
        Cell& cell = shared->cells[at % kMpmcCapacity];
        // Acquire: pairs with the release of who emptied the cell.
        const std::uint64_t turn = cell.turn.load(std::memory_order_acquire);
        const auto ahead = static_cast<std::int64_t>(turn - at);
        if (ahead == 0) {
          // Relaxed: the cell's turn orders.
          if (shared->tail.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
            cell.item = item;
            // Release: pairs with the acquire of who takes the item.
            cell.turn.store(at + 1, std::memory_order_release);
            return true;
          }
        } else if (ahead < 0) {
          return false;
        } else {
          at = shared->tail.load(std::memory_order_relaxed);  // as above
        }
      }
    }
    Shared* shared;
  };
  struct Consumer {
    bool pop(Item& item) {
      // Relaxed: as in push().
      std::uint64_t at = shared->head.load(std::memory_order_relaxed);
      for (;;) {
        Cell& cell = shared->cells[at % kMpmcCapacity];
        // Acquire: pairs with the release of who filled the cell.
        const std::uint64_t turn = cell.turn.load(std::memory_order_acquire);
        const auto ahead = static_cast<std::int64_t>(turn - (at + 1));
        if (ahead == 0) {
          // Relaxed: as in push().
          if (shared->head.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) {
            item = cell.item;
            // Release: pairs with the acquire of who fills it next.
            cell.turn.store(at + kMpmcCapacity, std::memory_order_release);
            return true;
          }
        } else if (ahead < 0) {
          return false;
        } else {
          at = shared->head.load(std::memory_order_relaxed);  // as above
        }
      }
    }
    Shared* shared;
  };

  VyukovQueue() {
    // Relaxed: before the fork.
    for (std::size_t i = 0; i < kMpmcCapacity; ++i) {
      queue_->cells[i].turn.store(i, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] Producer producer() { return {&*queue_}; }
  [[nodiscard]] Consumer consumer() { return {&*queue_}; }

 private:
  InShared<Shared> queue_;
};

/// A ticket from one counter per side, and in each slot the number of the turn that it is at, as
/// Erik Rigtorp describes his MPMCQueue (rigtorp.se). Whoever is killed with a ticket stops all
/// others.
template <class Item>
class TurnRing {
  struct alignas(kCacheLine) Slot {
    std::atomic<std::uint64_t> turn = 0;
    Item item;
  };
  struct Shared {
    alignas(kNoSharing) std::atomic<std::uint64_t> head = 0;
    alignas(kNoSharing) std::atomic<std::uint64_t> tail = 0;
    alignas(kNoSharing) std::array<Slot, kMpmcCapacity> slots;
  };

  /// Takes the next ticket whose slot is at the turn that `wanted` says; false if it is not yet.
  template <class Wanted, class Use>
  static bool take(std::atomic<std::uint64_t>& tickets, Shared& shared, Wanted wanted, Use use) {
    // Acquire, here and below: not for data, but so that the second look below is a later one.
    std::uint64_t ticket = tickets.load(std::memory_order_acquire);
    for (;;) {
      Slot& slot = shared.slots[ticket % kMpmcCapacity];
      // Acquire: pairs with the release of who used the slot last.
      if (slot.turn.load(std::memory_order_acquire) == wanted(ticket / kMpmcCapacity)) {
        // Relaxed would do as well: the slot's turn orders.
        if (tickets.compare_exchange_strong(ticket, ticket + 1)) {
          use(slot, ticket / kMpmcCapacity);
          return true;
        }
        continue;
      }
      const std::uint64_t before = ticket;
      ticket = tickets.load(std::memory_order_acquire);  // as above
      if (ticket == before) return false;
    }
  }

 public:
  struct Producer {
    bool push(const Item& item) {
      return take(
          shared->head, *shared, [](std::uint64_t lap) { return 2 * lap; },
          [&](Slot& slot, std::uint64_t lap) {
            slot.item = item;
            // Release: pairs with the acquire of who takes the item.
            slot.turn.store(2 * lap + 1, std::memory_order_release);
          });
    }
    Shared* shared;
  };
  struct Consumer {
    bool pop(Item& item) {
      return take(
          shared->tail, *shared, [](std::uint64_t lap) { return 2 * lap + 1; },
          [&](Slot& slot, std::uint64_t lap) {
            item = slot.item;
            // Release: pairs with the acquire of who fills the slot next.
            slot.turn.store(2 * lap + 2, std::memory_order_release);
          });
    }
    Shared* shared;
  };

  [[nodiscard]] Producer producer() { return {&*queue_}; }
  [[nodiscard]] Consumer consumer() { return {&*queue_}; }

 private:
  InShared<Shared> queue_;
};

/// With a capacity fixed at compile time it holds no pointer.
template <class Item>
class BoostQueue {
  using Queue = boost::lockfree::queue<Item, boost::lockfree::capacity<kMpmcCapacity>>;

 public:
  struct Producer {
    bool push(const Item& item) { return queue->bounded_push(item); }
    Queue* queue;
  };
  struct Consumer {
    bool pop(Item& item) { return queue->pop(item); }
    Queue* queue;
  };

  [[nodiscard]] Producer producer() { return {&*queue_}; }
  [[nodiscard]] Consumer consumer() { return {&*queue_}; }

 private:
  InShared<Queue> queue_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_MPMC_QUEUES_H_
