// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/word_watcher.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstddef>
#include <thread>
#include <utility>

#include "sluice/sync/env.h"
#include "sluice/sync/error.h"

namespace sluice::internal {

class WordWatcher::Thread {
 public:
  /// The first word is the thread's own.
  static constexpr std::size_t kMostWords = kMostWatchedWords - 1;

  Thread() {
    // Signals are the host's business: none is to be handled here.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([this] { run(); }).detach();
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  /// Takes as many of `words` as it has room for, and says how many.
  std::size_t add(std::span<const WatchedWord> words, Watch watch, const Bell& bell) {
    const std::scoped_lock hold(mutex_);
    const std::size_t count = std::min(words.size(), kMostWords - entries_.size());
    for (const WatchedWord& word : words.first(count)) entries_.push_back({word, watch, bell});
    if (count != 0) rouse();
    return count;
  }

  void forget(Watch watch) {
    const std::scoped_lock hold(mutex_);
    if (std::erase_if(entries_, [&](const Entry& entry) { return entry.watch == watch; }) != 0) {
      rouse();
    }
  }

 private:
  struct Entry {
    WatchedWord watched;
    Watch watch;
    Bell bell;
  };

  [[noreturn]] void run() {
    pthread_setname_np(pthread_self(), "sluice-watcher");
    for (;;) {
      const std::vector<WatchedWord> words = tell_and_collect();
      const auto slept = futex_wait_many(words, Deadline::TimePoint::max());
      if (!slept) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      } else if (slept->how == FutexWait::woken && slept->index != 0) {
        pass_on_unless_watched(words[slept->index]);
      }
    }
  }

  /// Rings the bells of the words that have changed, and returns those to sleep on.
  std::vector<WatchedWord> tell_and_collect() {
    const std::scoped_lock hold(mutex_);
    std::erase_if(entries_, [](const Entry& entry) {
      // Relaxed: if this load is behind the times, the futex is not.
      const std::uint32_t found = RealEnv::load(*entry.watched.word, std::memory_order_relaxed);
      if (found != entry.watched.expected) ring(*entry.bell);
      return found != entry.watched.expected;
    });
    // Relaxed: written under the mutex.
    std::vector<WatchedWord> words = {
        {&changes_, RealEnv::load(changes_, std::memory_order_relaxed)}};
    for (const Entry& entry : entries_) words.push_back(entry.watched);
    return words;
  }

  /// A wake-up for a word that was forgotten just now was meant for somebody else. Its memory may
  /// be gone, which the kernel tells us and nobody needs to know.
  void pass_on_unless_watched(const WatchedWord& woken) {
    const std::scoped_lock hold(mutex_);
    const bool watched = std::ranges::any_of(entries_, [&](const Entry& entry) {
      return entry.watched.word == woken.word && entry.watched.expected == woken.expected;
    });
    if (!watched) futex_wake(*woken.word, 1);
  }

  /// With the mutex.
  void rouse() {
    // Relaxed: the mutex orders.
    RealEnv::fetch_add(changes_, 1U, std::memory_order_relaxed);
    futex_wake(changes_, INT_MAX);
  }

  std::mutex mutex_;
  std::vector<Entry> entries_;
  Word<std::uint32_t> changes_;
};

WordWatcher& WordWatcher::of_this_process() {
  static constinit std::atomic<WordWatcher*> current = nullptr;
  const Tag me = participant::self();
  // Acquire: the watcher's members.
  WordWatcher* found = current.load(std::memory_order_acquire);
  while (found == nullptr || found->owner_ != me) {
    // A forked child inherits the parent's watcher without its threads, and perhaps with a mutex
    // that one of them holds: left alone.
    auto* const fresh = new WordWatcher(me);
    // Acquire and release: as above.
    if (current.compare_exchange_strong(found, fresh, std::memory_order_acq_rel)) return *fresh;
    delete fresh;
  }
  return *found;
}

WordWatcher::Bell WordWatcher::new_bell() {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw Error::from_errno(errno, {.tried = "make an eventfd to wait with"});
  return std::make_shared<const UniqueFd>(std::move(fd));
}

void WordWatcher::ring(const UniqueFd& bell) noexcept {
  // Full means rung already.
  static_cast<void>(eventfd_write(bell.get(), 1));
}

void WordWatcher::silence(const UniqueFd& bell) noexcept {
  eventfd_t rung = 0;
  static_cast<void>(eventfd_read(bell.get(), &rung));  // fails if it has not been rung
}

WordWatcher::Watch WordWatcher::watch(std::span<const WatchedWord> words, const Bell& bell) {
  const std::scoped_lock hold(mutex_);
  const Watch watch{++last_watch_};
  for (std::size_t next = 0; !words.empty(); ++next) {
    if (next == threads_.size()) {
      threads_.reserve(next + 1);
      threads_.push_back(new Thread);
    }
    words = words.subspan(threads_[next]->add(words, watch, bell));
  }
  return watch;
}

void WordWatcher::forget(Watch watch) noexcept {
  const std::scoped_lock hold(mutex_);
  for (Thread* const thread : threads_) thread->forget(watch);
}

}  // namespace sluice::internal
