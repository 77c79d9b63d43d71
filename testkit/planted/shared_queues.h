// SPDX-License-Identifier: Apache-2.0
//
// Queues in memory that processes share with a bug in them, for who uses the crash tests and the
// fuzzing of this kit or works on them.
//
//   template <class T> using Broken = testkit::StuckAfterKill<T>;
//   template <class T> using Whole = testkit::GoesOnAfterKill<T>;
//
//   bug                what it does                                   found by, in less than
//   PublishesEarly     a ring whose producer moves the tail, and      exactly once, 10 s;
//                      then writes the item                           step-kill, 10 s
//   StuckAfterKill     a lock of one bit: who dies with it, keeps it  step-kill, 10 s (the kill
//                                                                     stress: if it is lucky)
//   TrustsLength       copies as many bytes as a record says          hostile bytes, 10 s
//
// Units: items; bytes. Errors: as testkit/queue_adapter.h. Threads and processes: of the rings
// without a lock one that pushes and one that pops. If a process dies here: see above; those
// without the bug keep what was pushed. Cost: that of such queues.

#ifndef SLUICE_TESTKIT_PLANTED_SHARED_QUEUES_H_
#define SLUICE_TESTKIT_PLANTED_SHARED_QUEUES_H_

#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>

#include "sluice/sync/mutex.h"
#include "sluice/testkit/planted/bug.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// Memory of a queue made for threads alone: zeroed, aligned to a page.
class PlantedMemory {
 public:
  explicit PlantedMemory(std::size_t bytes)
      : memory_(operator new(bytes, std::align_val_t{kAlign})) {
    std::memset(memory_.get(), 0, bytes);
  }
  explicit PlantedMemory(void* memory) : given_(memory) {}
  [[nodiscard]] void* get() const { return given_ != nullptr ? given_ : memory_.get(); }

 private:
  static constexpr std::size_t kAlign = 4096;
  struct Free {
    void operator()(void* memory) const { operator delete(memory, std::align_val_t{kAlign}); }
  };
  std::unique_ptr<void, Free> memory_;
  void* given_ = nullptr;
};

// -------------------------------------------------------------------------------------------------
// Publishes before it writes

/// A ring between one producer and one consumer.
template <class T, Bug kBug>
  requires std::is_trivially_copyable_v<T>
class TailFirstRing {
  struct alignas(128) Head {
    std::atomic<std::uint64_t> head = 0;
    alignas(128) std::atomic<std::uint64_t> tail = 0;
  };

 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{
      .order = QueueOrder::fifo, .bounded = true, .producers = 1, .consumers = 1};

  static std::size_t bytes(std::size_t capacity) { return sizeof(Head) + capacity * sizeof(T); }
  static void make(void* memory, std::size_t capacity) {
    std::memset(memory, 0, bytes(capacity));
    ::new (memory) Head;
  }

  explicit TailFirstRing(std::size_t capacity) : memory_(bytes(capacity)), capacity_(capacity) {
    make(memory_.get(), capacity);
  }
  TailFirstRing(void* memory, std::size_t capacity) : memory_(memory), capacity_(capacity) {}

  bool try_push(T item) {
    const std::uint64_t at = control().tail.load();
    if (at - control().head.load() >= capacity_) return false;
    if constexpr (kBug == Bug::planted) {
      control().tail.store(at + 1);
      place(at) = item;
    } else {
      place(at) = item;
      control().tail.store(at + 1);
    }
    return true;
  }
  bool try_pop(T& item) {
    const std::uint64_t at = control().head.load();
    if (at >= control().tail.load()) return false;
    item = place(at);
    control().head.store(at + 1);
    return true;
  }

 private:
  [[nodiscard]] Head& control() const { return *static_cast<Head*>(memory_.get()); }
  [[nodiscard]] T& place(std::uint64_t at) const {
    return reinterpret_cast<T*>(&control() + 1)[at % capacity_];
  }

  PlantedMemory memory_;
  std::size_t capacity_;
};

template <class T>
  requires std::is_trivially_copyable_v<T>
using PublishesEarly = TailFirstRing<T, Bug::planted>;
template <class T>
  requires std::is_trivially_copyable_v<T>
using PublishesLast = TailFirstRing<T, Bug::mended>;

// -------------------------------------------------------------------------------------------------
// Stuck once a process was killed

/// One bit. Its owner has no name, so nobody can find out that he is dead.
class BitLock {
 public:
  void lock() {
    while (taken_.exchange(1) != 0) sched_yield();
  }
  void unlock() { taken_.store(0); }

 private:
  std::atomic<std::uint32_t> taken_ = 0;
};

/// A lock that outlives its owner. What it protects is whole at every instant.
class HeirLock {
 public:
  void lock() {
    mutex_.lock([] {});
  }
  void unlock() { mutex_.unlock(); }

 private:
  Mutex mutex_;
};

/// A ring behind a lock. Each call is committed by one store, of the tail or of the head.
template <class T, class Lock>
  requires std::is_trivially_copyable_v<T>
class LockedSharedRing {
  struct alignas(128) Head {
    Lock lock;
    std::atomic<std::uint64_t> head = 0, tail = 0;
  };

 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = true};

  static std::size_t bytes(std::size_t capacity) { return sizeof(Head) + capacity * sizeof(T); }
  static void make(void* memory, std::size_t capacity) {
    std::memset(memory, 0, bytes(capacity));
    ::new (memory) Head;
  }

  explicit LockedSharedRing(std::size_t capacity) : memory_(bytes(capacity)), capacity_(capacity) {
    make(memory_.get(), capacity);
  }
  LockedSharedRing(void* memory, std::size_t capacity) : memory_(memory), capacity_(capacity) {}

  bool try_push(T item) {
    const Holding hold(control().lock);
    const std::uint64_t at = control().tail.load();
    if (at - control().head.load() >= capacity_) return false;
    place(at) = item;
    control().tail.store(at + 1);
    return true;
  }
  bool try_pop(T& item) {
    const Holding hold(control().lock);
    const std::uint64_t at = control().head.load();
    if (at >= control().tail.load()) return false;
    item = place(at);
    control().head.store(at + 1);
    return true;
  }

 private:
  class Holding {
   public:
    explicit Holding(Lock& lock) : lock_(lock) { lock_.lock(); }
    Holding(const Holding&) = delete;
    Holding& operator=(const Holding&) = delete;
    ~Holding() { lock_.unlock(); }

   private:
    Lock& lock_;
  };

  [[nodiscard]] Head& control() const { return *static_cast<Head*>(memory_.get()); }
  [[nodiscard]] T& place(std::uint64_t at) const {
    return reinterpret_cast<T*>(&control() + 1)[at % capacity_];
  }

  PlantedMemory memory_;
  std::size_t capacity_;
};

template <class T>
  requires std::is_trivially_copyable_v<T>
using StuckAfterKill = LockedSharedRing<T, BitLock>;
template <class T>
  requires std::is_trivially_copyable_v<T>
using GoesOnAfterKill = LockedSharedRing<T, HeirLock>;

// -------------------------------------------------------------------------------------------------
// Trusts a length

/// Records, each with its length before it, between one producer and one consumer.
template <class T, Bug kBug>
  requires std::is_trivially_copyable_v<T>
class LengthRing {
  struct Head {
    std::atomic<std::uint64_t> head = 0, tail = 0;
  };
  struct Record {
    std::uint32_t length;
    alignas(alignof(T)) std::byte item[sizeof(T)];
  };

 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{
      .order = QueueOrder::fifo, .bounded = true, .producers = 1, .consumers = 1};

  static std::size_t bytes(std::size_t capacity) { return kRecordsAt + capacity * sizeof(Record); }
  static void make(void* memory, std::size_t capacity) {
    std::memset(memory, 0, bytes(capacity));
    ::new (memory) Head;
  }

  explicit LengthRing(std::size_t capacity) : memory_(bytes(capacity)), capacity_(capacity) {
    make(memory_.get(), capacity);
  }
  LengthRing(void* memory, std::size_t capacity) : memory_(memory), capacity_(capacity) {}

  bool try_push(T item) {
    const std::uint64_t at = control().tail.load();
    if (at - control().head.load() >= capacity_) return false;
    std::memcpy(record(at).item, &item, sizeof item);
    record(at).length = sizeof item;
    control().tail.store(at + 1);
    return true;
  }
  bool try_pop(T& item) {
    const std::uint64_t at = control().head.load();
    if (at >= control().tail.load()) return false;
    const std::uint32_t length = record(at).length;
    if (kBug == Bug::mended && length != sizeof item) {
      throw std::runtime_error("a record that nobody has pushed");
    }
    std::memcpy(static_cast<void*>(&item), record(at).item, length);
    control().head.store(at + 1);
    return true;
  }

 private:
  static constexpr std::size_t kRecordsAt = 128;

  [[nodiscard]] Head& control() const { return *static_cast<Head*>(memory_.get()); }
  [[nodiscard]] Record& record(std::uint64_t at) const {
    auto* const records = static_cast<std::byte*>(memory_.get()) + kRecordsAt;
    return reinterpret_cast<Record*>(records)[at % capacity_];
  }

  PlantedMemory memory_;
  std::size_t capacity_;
};

template <class T>
  requires std::is_trivially_copyable_v<T>
using TrustsLength = LengthRing<T, Bug::planted>;
template <class T>
  requires std::is_trivially_copyable_v<T>
using ChecksLength = LengthRing<T, Bug::mended>;

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_PLANTED_SHARED_QUEUES_H_
