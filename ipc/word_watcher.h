// SPDX-License-Identifier: Apache-2.0
//
// WordWatcher: threads of this process that sleep on futex words for others, who sleep in poll(2)
// or epoll_wait(2) meanwhile. Internal: wait_any() and the descriptors for epoll stand on it.
//
//   auto bell = WordWatcher::new_bell();
//   const auto watch = WordWatcher::of_this_process().watch(words, bell);
//   poll({bell->get(), ...});                       // readable once a word has changed
//   WordWatcher::of_this_process().forget(watch);   // before the words' memory goes
//
// One thread, started at the first use, named sluice-watcher, serves up to 127 words; more words
// have more threads. A change is told once, by a write to the bell, and its word is watched no
// more. To the peer that notifies, the thread is one more sleeper.
//
// Threads: all calls may overlap. Processes: a forked child has a watcher of its own, without the
// parent's words.
//
// If a process dies here: its threads die with it; nothing of theirs is shared.
//
// Cost: watch() and forget() one wake-up of the thread each; nothing while no word changes. Where
// the kernel has no futex_waitv(2) the threads look every millisecond instead.

#ifndef SLUICE_IPC_WORD_WATCHER_H_
#define SLUICE_IPC_WORD_WATCHER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "sluice/sync/futex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

class WordWatcher {
 public:
  /// An eventfd: whoever is told by it holds it as long as the watcher may write to it.
  using Bell = std::shared_ptr<const UniqueFd>;
  /// Names what one call of watch() began.
  enum class Watch : std::uint64_t { none = 0 };

  static WordWatcher& of_this_process();

  /// Throws Error if the process has no descriptor left.
  static Bell new_bell();
  static void ring(const UniqueFd& bell) noexcept;
  static void silence(const UniqueFd& bell) noexcept;

  /// Rings `bell` once any of `words` holds something else than expected, also if it does already.
  Watch watch(std::span<const WatchedWord> words, const Bell& bell);

  /// Ends a watch; its words are not read any more.
  void forget(Watch watch) noexcept;

 private:
  class Thread;

  explicit WordWatcher(Tag owner) : owner_(owner) {}

  const Tag owner_;
  std::mutex mutex_;
  std::uint64_t last_watch_ = 0;
  std::vector<Thread*> threads_;  ///< never destroyed: they sleep until the process ends
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_WORD_WATCHER_H_
