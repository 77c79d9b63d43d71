// SPDX-License-Identifier: Apache-2.0
//
// A value that processes share, as subjects of the value benchmarks: sluice's Latest, std::atomic,
// a struct under a lock, a seqlock, and plain memory.

#ifndef SLUICE_BENCH_RIVALS_SHARED_VALUE_H_
#define SLUICE_BENCH_RIVALS_SHARED_VALUE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "sluice/lockfree/latest.h"
#include "sluice/sync/participant.h"

namespace sluice::bench {

template <std::size_t kSize>
struct Words {
  std::array<std::uint64_t, kSize / 8> at;
  bool operator==(const Words&) const = default;
};

/// T of kSize bytes: a number if it fits.
template <std::size_t kSize>
using ValueOf = std::conditional_t<kSize == 8, std::uint64_t, Words<kSize>>;

inline void count_up(std::uint64_t& value) { ++value; }
template <std::size_t kSize>
void count_up(Words<kSize>& value) {
  for (std::uint64_t& word : value.at) ++word;
}

template <std::size_t kSize>
class SluiceValue {
 public:
  using T = ValueOf<kSize>;
  static void begin() { attach(); }
  void load(T& to) const { static_cast<void>(latest_.try_load(to)); }
  void store(const T& value) { latest_.store(value); }
  void update() {
    latest_.update([](T& value) { count_up(value); });
  }
  void add_one()
    requires(kSize == 8)
  {
    latest_.fetch_add(1);
  }

 private:
  Latest<T> latest_;
};

/// Of 8 bytes: what the language has.
template <std::size_t kSize>
class AtomicValue {
 public:
  using T = ValueOf<kSize>;
  static void begin() {}
  void load(T& to) const { to = value_.load(); }
  void store(const T& value) { value_.store(value); }
  void update() {
    T found = value_.load();
    while (!value_.compare_exchange_weak(found, found + 1)) continue;
  }
  void add_one() { value_.fetch_add(1); }

 private:
  std::atomic<T> value_ = 0;
};

template <std::size_t kSize, class Lock>
class LockedValue {
 public:
  using T = ValueOf<kSize>;
  static void begin() {}
  void load(T& to) {
    lock_.lock();
    to = value_;
    lock_.unlock();
  }
  void store(const T& value) {
    lock_.lock();
    value_ = value;
    lock_.unlock();
  }
  void update() {
    lock_.lock();
    count_up(value_);
    lock_.unlock();
  }
  void add_one() { update(); }

 private:
  Lock lock_;
  T value_ = {};
};

/// A seqlock as it is often written: one writer, no help if it dies (then all readers spin for
/// ever), and a data race by the letter of the language. What speed costs nothing else.
template <std::size_t kSize>
class SeqlockValue {
 public:
  using T = ValueOf<kSize>;
  static void begin() {}
  void load(T& to) const {
    std::uint64_t before = 0;
    do {
      // Acquire: pairs with the release of the second count in store().
      before = count_.load(std::memory_order_acquire);
      to = value_;
      // Acquire fence: pairs with the release fence in store().
      std::atomic_thread_fence(std::memory_order_acquire);
      // Relaxed: the fence above orders.
    } while (before % 2 != 0 || count_.load(std::memory_order_relaxed) != before);
  }
  void store(const T& value) {
    // Relaxed: the only writer; and the fence orders.
    const std::uint64_t count = count_.load(std::memory_order_relaxed);
    count_.store(count + 1, std::memory_order_relaxed);  // as above
    // Release fence: pairs with the acquire fence in load().
    std::atomic_thread_fence(std::memory_order_release);
    value_ = value;
    count_.store(count + 2, std::memory_order_release);  // release: as said in load()
  }
  void update() {
    T value = value_;
    count_up(value);
    store(value);
  }

 private:
  std::atomic<std::uint64_t> count_ = 0;
  T value_ = {};
};

/// No protection at all: what the copy alone takes.
template <std::size_t kSize>
class CopiedValue {
 public:
  using T = ValueOf<kSize>;
  static void begin() {}
  void load(T& to) const { std::memcpy(&to, &value_, kSize); }
  void store(const T& value) { std::memcpy(&value_, &value, kSize); }
  void update() { count_up(value_); }

 private:
  T value_ = {};
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_SHARED_VALUE_H_
