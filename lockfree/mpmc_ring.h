// SPDX-License-Identifier: Apache-2.0
//
// MpmcRing<T>: a bounded queue of trivially copyable T between any number of producers and
// consumers, threads or processes, on memory that the caller owns. Not for one producer and one
// consumer (spsc_ring.h is several times as fast), not for variable lengths, and it never blocks.
//
//   alignas(sluice::kNoSharing) std::array<std::byte, 4096> memory = {};
//   using Ring = sluice::MpmcRing<std::uint64_t>;
//   Ring::format(memory, 100);                       // once, before anyone else sees the memory
//   Ring::Producer producer(memory);                 // one for each thread that pushes
//   Ring::Consumer consumer(memory);                 // one for each thread that pops
//   producer.try_push(42);                           // Status::ok or full
//   std::uint64_t value;
//   if (consumer.try_pop(value) == sluice::Status::ok) use(value);
//
// In memory (position-independent; offsets in bytes; who writes it):
//
//     0  capacity u64 | cell size u64 | incarnation u32     format(); the first handle
//   128  tail u64, a hint: every position below was claimed    producers, now and then
//   256  head u64, a hint: every position below is consumed    consumers, now and then
//   384  cell[0] ... cell[capacity - 1]
//        cell: word u64 (cell_word.h) | T                   who has claimed it
//
// Position p is cell p % capacity in its lap p / capacity. What is shared of an operation is the
// cell alone: a compare-and-swap of its word claims it and names the claimer, a store of the word
// commits it. A batch claims a run of up to 64 cells, no more than a page, by the word of the
// first, and commits that one last. Each handle walks the cells with a cursor of its own, and looks
// at the shared hints only where others have been faster.
//
// Units: capacity in items, exact. Errors: set-up throws Error; calls return full, empty, corrupt,
// or foreign_registry if this process's registry is not the one that knows who else lives. A pop
// returns empty also while the push of the oldest item is under way: what came after it waits.
// Threads and processes: any number of handles at a time, each used by one thread at a time. A
// forked child may use those that it inherits.
//
// If a process dies here: the commit of a push is the store of full, that of a pop the store of
// empty; of a run, one store in its first cell. A killed producer's unfinished items leave holes
// that are passed over; a killed consumer's unacknowledged items are offered again, at their old
// place. Who has found nothing to do 64 times in a row asks the kernel about each claim that he
// meets in the next call, and undoes those of the dead by compare-and-swap, which the next may
// repeat; so does a consumer to whom the oldest item seems to be in another's hands for long.
// Somebody about to sleep asks at once: suspect_claims(). A process that is stopped is alive:
// behind its unfinished push nothing comes out, and before its unfinished pop no more than
// `capacity` goes in.
//
// Order: the items of one producer come out in the order in which they went in, but for those
// offered again. Of what two consumers get at a time, either may be done first.
//
// Hostile bytes: capacity and cell size are copied to private memory and checked when attaching;
// positions are taken modulo that capacity; what no correct process writes is `corrupt`, and so is
// a walk that takes 64 rounds of the ring and more without an end.
//
// To wait for room or items (an EventCount beside the ring): after a push, or a batch of them,
// notify who waits for items; after a pop, or release(), who waits for room; after put_back(),
// abort() and at the end of a handle with a claim, both. A death notifies nobody, so sleep in
// slices, and call suspect_claims() before each look.
//
// To end it (a word beside the ring; all of it sequentially consistent): who ends it stores that;
// producers push by try_push_if(), with a load of it; and a consumer that has loaded that, and then
// finds MpmcView::is_drained(), is at the end. ipc/queue.h is made of that.
//
// Cost: push and pop each one compare-and-swap and one store on the item's own line, a batch one
// compare-and-swap for each run and a store for each item; no system call. After several items in a
// row a look in vain rests, as in spsc_ring.h. Source: Vyukov's bounded queue, with the claim moved
// from the index into the cell.

#ifndef SLUICE_LOCKFREE_MPMC_RING_H_
#define SLUICE_LOCKFREE_MPMC_RING_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "sluice/lockfree/mpmc_consumer.h"
#include "sluice/lockfree/mpmc_layout.h"
#include "sluice/lockfree/mpmc_producer.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/platform.h"

namespace sluice {

/// What MpmcRing is over an environment, the machine or a test.
template <class T, class Env>
class BasicMpmcRing {
  static_assert(std::is_trivially_copyable_v<T>, "items are copied as bytes between processes");
  static_assert(alignof(T) <= kNoSharing, "alignments above 128 are not supported");

  using View = internal::MpmcView<T, Env>;

 public:
  static constexpr std::size_t kMaxCapacity = View::kMaxCapacity;  ///< 2^30 items

  /// A writing side: try_push(), try_push_n(), try_claim() with commit() or abort().
  using Producer = internal::MpmcProducer<T, Env>;
  /// A reading side: try_pop(), try_pop_n(), try_peek() with release() or put_back().
  using Consumer = internal::MpmcConsumer<T, Env>;

  /// Bytes that a ring of `capacity` items needs. The memory must be aligned to kNoSharing.
  /// Throws Error if capacity is 0 or above kMaxCapacity.
  static std::size_t bytes_for(std::size_t capacity) { return View::bytes_for(capacity); }

  /// Makes an empty ring in `memory`, before anyone else can see it. Throws Error if it is too
  /// small or not aligned.
  static void format(std::span<std::byte> memory, std::size_t capacity) {
    View::format(memory, capacity);
  }
  /// The same, in memory that is all zero: the cells are not touched.
  static void format_zeroes(std::span<std::byte> memory, std::size_t capacity) {
    View::format_zeroes(memory, capacity);
  }

  // Snapshots. What is being pushed counts as in the ring, what is being popped too, and so do the
  // places between the oldest and the newest item that others have emptied already.

  /// 0 to capacity.
  [[nodiscard]] static std::size_t size(std::span<std::byte> memory) { return View(memory).size(); }
  /// False as soon as a push has returned whose item nobody has got.
  [[nodiscard]] static bool empty(std::span<std::byte> memory) { return size(memory) == 0; }
  /// Whether a push would find no place; some may be emptied already, behind one that is not.
  [[nodiscard]] static bool full(std::span<std::byte> memory) {
    const View view(memory);
    return view.size() == view.capacity();
  }
};

/// The ring that ships.
template <class T>
using MpmcRing = BasicMpmcRing<T, internal::RealLockEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_MPMC_RING_H_
