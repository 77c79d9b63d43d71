// SPDX-License-Identifier: Apache-2.0
//
// What a thread knows of itself as an owner of locks: the word by which it signs, the locks that it
// holds, and its kernel's promise to speak for it when it dies. Internal.
//
// A thread signs with `tag << 32 | thread id`. The low half is what the kernel's robust futexes
// expect in a lock word, so that the kernel can mark the word of a thread that dies
// (get_robust_list(2), Documentation/locking/robust-futex-ABI). The list itself belongs to the C
// library, and its links would have to lie in shared memory; but one more address, that of the lock
// which is just being taken or released ("pending"), is private to the thread and read at its death
// as well. HeldLocks keeps the lock that was taken last there for as long as it is held. So one
// lock per thread is marked at once; those further down in a nest are found by their waiters, who
// ask the kernel for the holder's life at the end of each slice.
//
// The thread id means nothing to a kernel that counts in another pid namespace than the registry's:
// there the low half is a number that is nobody's thread id, and nothing is ever pending.
//
// If a process dies here: everything here is private memory, but for the lock words that the list
// refers to. If a thread ends in good order while it holds locks, a destructor of the thread marks
// all of them as the kernel would; if the process ends by exit(3), so does the thread that calls
// it. A forked child holds nothing.
//
// Cost: thread() one thread-local load and one compare; taking and giving back a lock four stores.

#ifndef SLUICE_SYNC_THREAD_STATE_H_
#define SLUICE_SYNC_THREAD_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sluice/sync/process_state.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// A lock word: who holds it, and what the kernel has to know of that. Diagram in sync/mutex.h.
struct LockWord {
  static constexpr std::uint64_t kFree = 0;
  static constexpr std::uint64_t kWaiters = std::uint64_t{1} << 31;    ///< FUTEX_WAITERS
  static constexpr std::uint64_t kOwnerDied = std::uint64_t{1} << 30;  ///< FUTEX_OWNER_DIED
  static constexpr std::uint64_t kThread = kOwnerDied - 1;             ///< FUTEX_TID_MASK
  /// Above every thread id (PID_MAX_LIMIT): added to it where the kernel must not recognise it.
  static constexpr std::uint64_t kForeignThread = std::uint64_t{1} << 22;

  static constexpr std::uint32_t tag_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
  }
  static constexpr std::uint32_t futex_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }
  /// The thread id, as the owner knows it; 0 in a free word.
  static constexpr std::uint32_t thread_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word & kThread & ~kForeignThread);
  }
  static constexpr bool is_held(std::uint64_t word) noexcept { return (word & kThread) != 0; }
  static constexpr std::uint64_t owner_of(std::uint64_t word) noexcept {
    return word & ~(kWaiters | kOwnerDied);
  }
  /// The word of a lock that nobody may use any more: a thread id and a tag that nobody has.
  static constexpr std::uint64_t kDestroyed = ~(kWaiters | kOwnerDied);

  /// What the owner makes of its word when it gives the lock back: free, or with waiters free and
  /// still with its tag, or still marked.
  static constexpr std::uint64_t given_back(std::uint64_t word) noexcept {
    if ((word & kOwnerDied) != 0) return word & (kOwnerDied | kWaiters);
    return (word & kWaiters) != 0 ? word & ~kThread : kFree;
  }
  static constexpr std::uint64_t consistent(std::uint64_t word) noexcept {
    return word & ~kOwnerDied;
  }
  /// Whether the word's tag is that of a dead owner.
  static constexpr bool is_abandoned(std::uint64_t word) noexcept {
    return !is_held(word) && (word & kOwnerDied) != 0 && tag_of(word) != 0;
  }

  /// What the kernel makes of the word of a thread that dies.
  static constexpr std::uint64_t abandoned(std::uint64_t word) noexcept {
    return (word & ~kThread) | kOwnerDied;
  }
};

struct HeldLock {
  Word<std::uint64_t>* word;
  std::uint32_t depth;  ///< how often a recursive lock is held
};

/// The locks of one thread, in the order in which they were taken.
class HeldLocks {
 public:
  /// Before the first attempt to take `lock`: its death is to be noticed from then on. Throws
  /// std::bad_alloc; then nothing has changed.
  void want(Word<std::uint64_t>& lock) {
    make_room();
    pending(&lock);
  }

  /// After want(): the lock was not taken.
  void give_up() noexcept { pending(count_ != 0 ? locks_[count_ - 1].word : nullptr); }

  /// After want() or make_room(): the lock was taken.
  void add(Word<std::uint64_t>& lock) noexcept {
    // A signal handler that takes a lock in between, and gives it back, is to use the next place.
    const std::uint32_t place = count_++;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // as above
    locks_[place] = {&lock, 1};
  }

  /// After the lock was given back, and its waiter woken.
  void remove(const Word<std::uint64_t>& lock) noexcept {
    if (count_ != 0 && locks_[count_ - 1].word == &lock) [[likely]] {
      --count_;
    } else {
      remove_inner(lock);
    }
    give_up();
  }

  /// For a lock that nobody sleeps for, a reader's cell: the kernel goes on watching another. Call
  /// before taking it; throws std::bad_alloc.
  void make_room() {
    if (count_ == capacity_) [[unlikely]]
      grow();
  }

  /// After make_room() and add(): the lock was given back.
  void remove_unwatched(const Word<std::uint64_t>& lock) noexcept {
    if (count_ != 0 && locks_[count_ - 1].word == &lock) [[likely]] {
      --count_;
    } else {
      remove_inner(lock);
    }
    // What was taken later, and given back, has left the kernel watching this one.
    if (*pending_ == reinterpret_cast<const char*>(&lock) - offset_) [[unlikely]]
      give_up();
  }

  [[nodiscard]] HeldLock* find(const Word<std::uint64_t>* lock) noexcept {
    return find_at(reinterpret_cast<std::uintptr_t>(lock));
  }

  /// The lock at an address that may be nobody's.
  [[nodiscard]] HeldLock* find_at(std::uintptr_t address) noexcept {
    for (std::size_t i = count_; i-- != 0;) {
      if (reinterpret_cast<std::uintptr_t>(locks_[i].word) == address) return &locks_[i];
    }
    return nullptr;
  }

  /// The one of an object of many words that was taken last; nullptr if there is none.
  [[nodiscard]] HeldLock* find_within(const void* object, std::size_t bytes) noexcept {
    const auto begin = reinterpret_cast<std::uintptr_t>(object);
    for (std::size_t i = count_; i-- != 0;) {
      if (reinterpret_cast<std::uintptr_t>(locks_[i].word) - begin < bytes) return &locks_[i];
    }
    return nullptr;
  }

  [[nodiscard]] std::size_t count() const noexcept { return count_; }

  /// Has the kernel watch what is pending from now on: `head` is what get_robust_list(2) gave, or
  /// nullptr for "nobody watches".
  void watch(void* head) noexcept;

  /// As if nothing had ever been taken; the words are left alone.
  void forget() noexcept;

  /// Marks all that is held as its owner's death would, and wakes a waiter of each.
  void abandon(std::uint64_t me) noexcept;

  void free_memory() noexcept;

 private:
  /// What the kernel reads when this thread dies. It adds an offset of the C library's to it.
  void pending(Word<std::uint64_t>* lock) noexcept {
    // The kernel is the reader, in this very thread: only the compiler has to be kept in order.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    *pending_ = lock == nullptr ? nullptr : reinterpret_cast<char*>(lock) - offset_;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // as above
  }
  void grow();
  void remove_inner(const Word<std::uint64_t>& lock) noexcept;

  HeldLock* locks_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t capacity_ = 0;
  char* volatile* pending_ = nullptr;
  std::ptrdiff_t offset_ = 0;
  char* volatile unwatched_ = nullptr;  ///< what pending_ refers to where no kernel helps
};

struct ThreadState {
  /// How this thread signs; no process has this tag before the first use.
  std::uint64_t me = ~std::uint64_t{0};
  /// Of the registry that gave the tag.
  std::uint32_t incarnation = 0;
  /// Where it found a free reader's cell last (sync/shared_mutex.h): only a hint.
  std::uint32_t reader_cell = 0;
  HeldLocks held;
};

extern constinit thread_local ThreadState t_thread;

/// Fills t_thread for this thread of this process; attaches. Throws Error.
void refresh_thread();

/// The calling thread's state.
inline ThreadState& this_thread() {
  // Relaxed: a thread that has refreshed since this process attached has seen what came with the
  // tag; in a child the page is zero, and the tag is not ours.
  const std::uint32_t tag = g_process_state.tag.load(std::memory_order_relaxed);
  if (LockWord::tag_of(t_thread.me) != tag) [[unlikely]]
    refresh_thread();
  return t_thread;
}

/// How the calling thread signs; 0 if this process has not attached since it was forked.
inline std::uint64_t this_thread_if_attached() noexcept {
  // Relaxed: as in this_thread().
  const std::uint32_t tag = g_process_state.tag.load(std::memory_order_relaxed);
  return tag != 0 && LockWord::tag_of(t_thread.me) == tag ? t_thread.me : 0;
}

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_THREAD_STATE_H_
