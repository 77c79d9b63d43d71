// SPDX-License-Identifier: Apache-2.0
//
// The structures of lockfree/ as subjects of the kit.
//
//   SpscRingSubject         SpscRing: one thread or process that pushes, one that pops
//   MpmcRingSubject         MpmcRing; each party has a producer and a consumer of its own
//   IndexStackSubject       values in a pool, with one IndexStack of its free places and one of
//                           those that are full: a stack of values, of threads
//   UnboundedQueueSubject   UnboundedQueue: of threads; blocks and closes
//
// The rings are tested by threads on memory of their own, and by processes in memory that is given.
//
// Units: items. Errors: false is full, empty or closed; corrupt and the like are thrown as Error.
// Threads and processes: as those headers say; of what has parties, a party is of one thread, and
// who does without goes through a lock of the adapter. If a process dies here: as those headers
// say. Cost: theirs.

#ifndef SLUICE_TESTKIT_SUBJECTS_LOCKFREE_SUBJECTS_H_
#define SLUICE_TESTKIT_SUBJECTS_LOCKFREE_SUBJECTS_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/lockfree/spsc_ring.h"
#include "sluice/lockfree/stack.h"
#include "sluice/lockfree/unbounded_queue.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/subjects/outcome.h"

namespace sluice::internal {

/// The memory of a structure of lockfree/: its own, or given.
template <class Structure>
class StructureMemory {
 public:
  explicit StructureMemory(std::size_t capacity)
      : owned_(allocate(Structure::bytes_for(capacity))),
        bytes_(owned_.get(), Structure::bytes_for(capacity)) {
    Structure::format(bytes_, capacity);
  }
  StructureMemory(void* memory, std::size_t capacity)
      : bytes_(static_cast<std::byte*>(memory), Structure::bytes_for(capacity)) {}

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const {
      operator delete(memory, std::align_val_t{kNoSharing});
    }
  };
  using Owned = std::unique_ptr<std::byte, Free>;
  static Owned allocate(std::size_t bytes) {
    return Owned(static_cast<std::byte*>(operator new(bytes, std::align_val_t{kNoSharing})));
  }

  Owned owned_;
  std::span<std::byte> bytes_;
};

}  // namespace sluice::internal

namespace sluice::testkit {

/// What lies in a ring.
template <class T>
concept RingItem =
    std::is_trivially_copyable_v<T> && std::is_copy_assignable_v<T> && alignof(T) <= kNoSharing;

template <RingItem T>
class SpscRingSubject {
  using Ring = SpscRing<T>;

 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{
      .order = QueueOrder::fifo, .bounded = true, .producers = 1, .consumers = 1};

  explicit SpscRingSubject(std::size_t capacity) : memory_(capacity) {}

  static std::size_t bytes(std::size_t capacity) { return Ring::bytes_for(capacity); }
  static void make(void* memory, std::size_t capacity) {
    Ring::format({static_cast<std::byte*>(memory), bytes(capacity)}, capacity);
  }
  SpscRingSubject(void* memory, std::size_t capacity) : memory_(memory, capacity) {}

  bool try_push(const T& item) { return internal::outcome_for_kit(producer().try_push(item)); }
  bool try_pop(T& item) { return internal::outcome_for_kit(consumer().try_pop(item)); }
  std::size_t try_push_n(std::span<const T> items) { return producer().try_push_n(items); }
  std::size_t try_pop_n(std::span<T> items) { return consumer().try_pop_n(items); }

 private:
  // Made by who uses them: another process may have the other side, or the same one till it dies.

  typename Ring::Producer& producer() {
    return producer_ ? *producer_ : producer_.emplace(memory_.bytes());
  }
  typename Ring::Consumer& consumer() {
    return consumer_ ? *consumer_ : consumer_.emplace(memory_.bytes());
  }

  internal::StructureMemory<Ring> memory_;
  std::optional<typename Ring::Producer> producer_;
  std::optional<typename Ring::Consumer> consumer_;
};

template <RingItem T>
class MpmcRingSubject {
  using Ring = MpmcRing<T>;

 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = true};

  class Party {
   public:
    using value_type = T;
    static constexpr QueueTraits kTraits = MpmcRingSubject::kTraits;

    explicit Party(std::span<std::byte> memory) : producer_(memory), consumer_(memory) {}

    bool try_push(const T& item) { return internal::outcome_for_kit(producer_.try_push(item)); }
    bool try_pop(T& item) { return internal::outcome_for_kit(consumer_.try_pop(item)); }
    std::size_t try_push_n(std::span<const T> items) { return producer_.try_push_n(items); }
    std::size_t try_pop_n(std::span<T> items) { return consumer_.try_pop_n(items); }

   private:
    typename Ring::Producer producer_;
    typename Ring::Consumer consumer_;
  };

  explicit MpmcRingSubject(std::size_t capacity) : memory_(capacity), own_(memory_.bytes()) {}

  static std::size_t bytes(std::size_t capacity) { return Ring::bytes_for(capacity); }
  static void make(void* memory, std::size_t capacity) {
    Ring::format({static_cast<std::byte*>(memory), bytes(capacity)}, capacity);
  }
  MpmcRingSubject(void* memory, std::size_t capacity)
      : memory_(memory, capacity), own_(memory_.bytes()) {}

  [[nodiscard]] Party party() { return Party(memory_.bytes()); }

  bool try_push(const T& item) {
    return alone([&] { return own_.try_push(item); });
  }
  bool try_pop(T& item) {
    return alone([&] { return own_.try_pop(item); });
  }
  std::size_t try_push_n(std::span<const T> items) {
    return alone([&] { return own_.try_push_n(items); });
  }
  std::size_t try_pop_n(std::span<T> items) {
    return alone([&] { return own_.try_pop_n(items); });
  }

 private:
  template <class Call>
  auto alone(Call call) {
    const std::scoped_lock hold(mutex_);
    return call();
  }

  internal::StructureMemory<Ring> memory_;
  std::mutex mutex_;
  Party own_;
};

template <class T>
  requires std::movable<T> && std::default_initializable<T>
class IndexStackSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::lifo, .bounded = true};

  class Party {
   public:
    using value_type = T;
    static constexpr QueueTraits kTraits = IndexStackSubject::kTraits;

    explicit Party(IndexStackSubject& subject)
        : values_(subject.values_), free_(subject.free_.bytes()), full_(subject.full_.bytes()) {}

    bool try_push(T item) {
      std::uint32_t at = 0;
      if (!internal::outcome_for_kit(free_.try_pop(at))) return false;
      try {
        values_[at] = std::move(item);
      } catch (...) {
        internal::outcome_for_kit(free_.push(at));
        throw;
      }
      return internal::outcome_for_kit(full_.push(at));
    }
    bool try_pop(T& item) {
      std::uint32_t at = 0;
      if (!internal::outcome_for_kit(full_.try_pop(at))) return false;
      try {
        item = std::move(values_[at]);
      } catch (...) {
        internal::outcome_for_kit(full_.push(at));
        throw;
      }
      return internal::outcome_for_kit(free_.push(at));
    }

   private:
    friend IndexStackSubject;

    std::span<T> values_;
    IndexStack free_, full_;
  };

  explicit IndexStackSubject(std::size_t capacity)
      : values_(capacity), free_(capacity), full_(capacity), own_(*this) {
    // All indices of both begin in their stack: those of the full places are taken out.
    for (std::uint32_t at = 0; own_.full_.try_pop(at) == Status::ok;) {
    }
  }

  [[nodiscard]] Party party() { return Party(*this); }

  bool try_push(T item) {
    const std::scoped_lock hold(mutex_);
    return own_.try_push(std::move(item));
  }
  bool try_pop(T& item) {
    const std::scoped_lock hold(mutex_);
    return own_.try_pop(item);
  }

 private:
  std::vector<T> values_;
  internal::StructureMemory<IndexStack> free_, full_;
  std::mutex mutex_;
  Party own_;
};

template <std::movable T>
class UnboundedQueueSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::per_producer_fifo, .bounded = false};

  explicit UnboundedQueueSubject(std::size_t /*capacity*/) {}

  bool try_push(T item) { return internal::outcome_for_kit(inner_.push(std::move(item))); }
  bool try_pop(T& item) { return internal::outcome_for_kit(inner_.try_pop(item)); }
  bool push(T item) { return internal::outcome_for_kit(inner_.push(std::move(item))); }
  bool pop(T& item) { return internal::outcome_for_kit(inner_.pop(item)); }
  void close() { inner_.close(); }

 private:
  UnboundedQueue<T> inner_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SUBJECTS_LOCKFREE_SUBJECTS_H_
