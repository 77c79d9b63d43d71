// SPDX-License-Identifier: Apache-2.0
//
// SidesOfThreads: lets the threads of a process share one handle on something whose sides
// (MpmcRing's producers and consumers) are each used by one thread at a time. Internal.
//
//   SidesOfThreads<Ring::Producer, View> producers(view);
//   Status s = producers.with([&](Ring::Producer& mine) { return mine.try_push(7); });
//
// The thread that comes first has a side of its own for as long as the handle lives. Others share
// some more, each used by one of them at a time; and who finds all of these in use makes one for
// this call alone.
//
// Errors: what making a side throws. Threads and processes: private to its process; calls may
// overlap, but for making and destroying it. A forked child has the threads' sides as they were:
// the own one if it was forked by that thread, and of the shared ones those that were not in use.
// It waits for nobody.
//
// If a process dies here: nothing is shared. Cost: one thread-local load and two compares for the
// first thread, an exchange and a store for others.

#ifndef SLUICE_IPC_SIDES_OF_THREADS_H_
#define SLUICE_IPC_SIDES_OF_THREADS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "sluice/sync/platform.h"

namespace sluice::internal {

/// The calling thread's, never given to another one of this process: the same in a child that it
/// forks.
inline constinit thread_local std::uint64_t t_thread_number = 0;  ///< 0: none yet

inline std::uint64_t thread_number() noexcept {
  static constinit std::atomic<std::uint64_t> last = 0;
  if (t_thread_number == 0)
    t_thread_number = last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: a number
  return t_thread_number;
}

/// Each side is made of `Whole`, a small thing that is copied.
template <class Side, class Whole>
class SidesOfThreads {
 public:
  explicit SidesOfThreads(const Whole& whole) : whole_(whole) {}
  SidesOfThreads(const SidesOfThreads&) = delete;
  SidesOfThreads& operator=(const SidesOfThreads&) = delete;

  /// The side that is the calling thread's own, or nullptr: then with() finds another.
  Side* own() noexcept {
    // Relaxed: only this thread itself writes its own number here, and nobody's is 0.
    return owner_.load(std::memory_order_relaxed) == t_thread_number ? &*own_ : nullptr;
  }

  /// What `use(side)` returns, of a side that is the calling thread's until then.
  template <class Use>
  auto with(Use use) {
    Side* const mine = own();
    return mine != nullptr ? use(*mine) : elsewhere(use);
  }

  /// The same, of a side that is used for nothing else until then: `use` may come here again.
  template <class Use>
  [[gnu::noinline]] auto with_another(Use use) {
    for (Spare& spare : spares_) {
      if (const Borrowed mine(spare); mine) {
        if (!spare.side) spare.side.emplace(whole_);
        return use(*spare.side);
      }
    }
    Side mine(whole_);
    return use(mine);
  }

 private:
  struct alignas(kNoSharing) Spare {
    std::atomic<bool> is_used = false;
    std::optional<Side> side;
  };
  /// For as long as this lives, if nobody else had it.
  class Borrowed {
   public:
    explicit Borrowed(Spare& spare)
        // Acquire: pairs with the release below; the one before has left it whole.
        : spare_(spare), is_mine_(!spare.is_used.exchange(true, std::memory_order_acquire)) {}
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    ~Borrowed() {
      if (is_mine_) spare_.is_used.store(false, std::memory_order_release);  // release: as above
    }
    explicit operator bool() const { return is_mine_; }

   private:
    Spare& spare_;
    bool is_mine_;
  };

  template <class Use>
  [[gnu::noinline]] auto elsewhere(Use use) {
    std::uint64_t nobody = kNobody;
    // Relaxed: what belongs to the number is used by the thread with that number alone.
    if (owner_.compare_exchange_strong(nobody, kTaken, std::memory_order_relaxed))
      return first(use);
    return with_another(use);
  }

  template <class Use>
  auto first(Use use) {
    try {
      own_.emplace(whole_);
    } catch (...) {
      owner_.store(kNobody, std::memory_order_relaxed);  // relaxed: as above
      throw;
    }
    owner_.store(thread_number(), std::memory_order_relaxed);  // relaxed: as above
    return use(*own_);
  }

  // No thread's numbers.
  static constexpr std::uint64_t kTaken = ~std::uint64_t{0};
  static constexpr std::uint64_t kNobody = kTaken - 1;

  Whole whole_;
  std::atomic<std::uint64_t> owner_ = kNobody;  ///< whose own_ is
  // On lines that nobody else looks at.
  alignas(kNoSharing) std::optional<Side> own_;
  std::array<Spare, 3> spares_;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_SIDES_OF_THREADS_H_
