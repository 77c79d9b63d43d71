// SPDX-License-Identifier: Apache-2.0
//
// WeakMemory: what each of some virtual threads may see of a few words, as C++20 allows it.
// Internal to testkit/scheduler.h, which has the limits of the model.
//
// Every word has a history: the values that were stored in it, in the order in which they were
// stored, the last few kept. What a thread knows is a View: for each word the oldest entry of the
// history that it may still read, and for each thread how far in that one's life everything
// happened before now. A store leaves a view with its value: a release store all that its thread
// knows, a relaxed one what its thread knew at its last fence; a read-modify-write adds the view of
// what it replaced (release sequence). An acquire load takes the view over, a relaxed one keeps it
// for the next fence. Sequentially consistent fences meet in one more view.
//
// Threads: one. If a process dies here: private memory only.
// Cost: a store copies a view: 4 bytes for each word and thread.

#ifndef SLUICE_TESTKIT_WEAK_MEMORY_H_
#define SLUICE_TESTKIT_WEAK_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace sluice::internal {

/// Says which of n possibilities is taken, 0 being the one that a sequential machine would take.
class Chooser {
 public:
  virtual ~Chooser() = default;
  virtual std::size_t choose(std::size_t n) = 0;
};

/// A word of at most 64 bits.
struct WordAt {
  void* address;
  unsigned bytes;
};

class WeakMemory {
 public:
  /// Forgets all words. `history` entries of each are kept; 1 makes every load read the latest.
  void reset(unsigned threads, unsigned history);

  std::uint64_t load(unsigned thread, WordAt word, std::memory_order order, Chooser& chooser);
  void store(unsigned thread, WordAt word, std::uint64_t value, std::memory_order order);

  /// What the word holds; a load by nobody.
  std::uint64_t latest(WordAt word);

  /// Strong. A failure may be due to an older value, as of any load.
  bool cas(unsigned thread, WordAt word, std::uint64_t& expected, std::uint64_t desired,
           std::memory_order order, Chooser& chooser);

  /// Replaces the latest value by `desired`, after latest(): the second half of a
  /// read-modify-write.
  void exchange(unsigned thread, WordAt word, std::uint64_t desired, std::memory_order order);

  void fence(unsigned thread);

  /// futex_wait: the load that is compared. Sees what was stored before any futex_wake of the word.
  std::uint64_t futex_load(unsigned thread, WordAt word, Chooser& chooser);
  void futex_woke(unsigned thread, WordAt word);
  /// `thread` is woken: it sees of the word what its waker knew, as the kernel's wake-ups promise.
  void futex_resume(unsigned thread, WordAt word);

  /// Everything that `other`, which is dead, did has happened before what `thread` does next.
  void observe_death(unsigned thread, unsigned other);

  /// Plain memory: what is wrong with this access, or nullptr.
  const char* read_data(unsigned thread, const void* cell);
  const char* write_data(unsigned thread, const void* cell);

 private:
  /// Clocks of all threads, then an index into the history of each word; what is missing is 0.
  using View = std::vector<std::uint32_t>;

  struct Entry {
    std::uint64_t value = 0;
    View view;
  };
  struct Location {
    std::vector<Entry> ring;  ///< entry i of the history is ring[i % ring.size()]
    std::uint32_t newest = 0;
    std::uint32_t woken = 0;  ///< the oldest that a futex_wait may compare
  };
  struct Thread {
    View now;       ///< what it knows
    View acquired;  ///< what its relaxed loads have seen besides, until the next fence
    View released;  ///< what it knew at the last fence
  };
  struct Cell {
    View reads;  ///< by thread: its clock then
    std::uint32_t writer = 0;
    std::uint32_t write = 0;  ///< the writer's clock then; 0 if nobody has written
  };

  std::size_t locate(WordAt word);
  Entry& entry(std::size_t location, std::uint32_t index);
  [[nodiscard]] std::uint32_t oldest(unsigned thread, std::size_t location,
                                     std::memory_order order) const;
  void saw(unsigned thread, std::size_t location, std::uint32_t index, std::memory_order order);
  void append(unsigned thread, std::size_t location, WordAt word, std::uint64_t value,
              std::memory_order order, bool continues);
  [[nodiscard]] static std::uint32_t at(const View& view, std::size_t index);
  static void raise(View& view, std::size_t index, std::uint32_t value);
  static void join(View& into, const View& from, std::size_t first = 0);
  [[nodiscard]] bool happened(unsigned thread, std::uint32_t other, std::uint32_t clock) const;

  unsigned threads_ = 0;
  unsigned history_ = 1;
  std::vector<Thread> thread_;
  std::vector<Location> locations_;  ///< the first `used_` are in use
  std::size_t used_ = 0;
  std::unordered_map<const void*, std::size_t> index_;
  std::unordered_map<const void*, Cell> cells_;
  View in_order_;  ///< of each word: what a sequentially consistent fence or operation has met
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_WEAK_MEMORY_H_
