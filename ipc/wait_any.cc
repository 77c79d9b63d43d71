// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/wait_any.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>

#include "sluice/ipc/word_watcher.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/futex.h"
#include "sluice/sync/patience.h"

namespace sluice {
namespace {

using internal::WatchedWord;
using internal::WordWatcher;
using Look = WaitHandle::Look;
using TimePoint = Deadline::TimePoint;

/// Where the kernel can't wake us for all that we wait for.
constexpr std::chrono::milliseconds kNap{1};

/// An adaptive waiter's looks, divided among what it looks at.
constexpr std::size_t kSpinLooks = 1000;
/// A look at the descriptors is a system call.
constexpr int kLooksPerPoll = 64;

bool kernel_waits_for_many() { return internal::futex_wait_many({}, TimePoint()).has_value(); }

class AnyWait {
 public:
  explicit AnyWait(std::span<const WaitHandle> handles) : handles_(handles) {
    for (std::size_t i = 0; i < handles.size(); ++i) {
      if (EventCount* const event = handles[i].event()) {
        with_word_.push_back(i);
        events_.push_back(event);
      } else {
        with_descriptor_.push_back(i);
        polled_.push_back({handles[i].descriptor(), handles[i].events(), 0});
      }
    }
    keys_.resize(events_.size());
  }
  AnyWait(const AnyWait&) = delete;
  AnyWait& operator=(const AnyWait&) = delete;
  ~AnyWait() { forget(); }

  [[nodiscard]] std::span<const std::size_t> ready() const { return ready_; }

  [[nodiscard]] int looks() const {
    return static_cast<int>(std::max<std::size_t>(kSpinLooks / (handles_.size() + 1), 1));
  }

  /// Whether anything is ready; then ready() says what.
  bool look(Look how) {
    ready_.clear();
    for (const std::size_t i : with_word_) {
      const Status status = handles_[i].look(how);
      if (status == Status::closed) throw_closed(i);
      if (status == Status::ok) ready_.push_back(i);
    }
    if (how == Look::thorough || !ready_.empty() || ++looks_ % kLooksPerPoll == 0) {
      poll_until(TimePoint());
      collect_polled();
    }
    std::ranges::sort(ready_);
    return !ready_.empty();
  }

  void sleep(TimePoint until) {
    if (announce() && look(Look::quick)) return;
    if (polled_.empty() && events_.size() <= internal::kMostWatchedWords && !events_.empty()) {
      if (!internal::futex_wait_many(watched(), until)) {
        poll_until(std::min(until, Deadline::Clock::now() + kNap));
      }
    } else if (events_.empty()) {
      poll_until(until);
    } else if (!kernel_waits_for_many()) {
      poll_until(std::min(until, Deadline::Clock::now() + kNap));
    } else {
      sleep_beside_the_watcher(until);
    }
  }

 private:
  [[noreturn]] static void throw_closed(std::size_t index) {
    throw Error(Status::closed,
                {.tried = "wait for handle " + std::to_string(index) + " of several",
                 .expected = "an open one",
                 .found = "one that this process has closed"});
  }

  /// Makes sure that all events know of a sleeper; true if some did not, so look again.
  bool announce() {
    const bool all_stand =
        announced_ && std::ranges::equal(events_, keys_,
                                         [](auto* event, auto key) { return event->stands(key); });
    if (all_stand) return false;
    forget();
    EventCount::announce_all(events_, keys_);
    announced_ = true;
    return true;
  }

  [[nodiscard]] std::vector<WatchedWord> watched() const {
    std::vector<WatchedWord> words;
    words.reserve(events_.size());
    for (std::size_t i = 0; i < events_.size(); ++i) {
      words.push_back({&events_[i]->word(), static_cast<std::uint32_t>(keys_[i])});
    }
    return words;
  }

  void sleep_beside_the_watcher(TimePoint until) {
    if (bell_ == nullptr) {
      bell_ = WordWatcher::new_bell();
      polled_.push_back({bell_->get(), POLLIN, 0});
    }
    if (watch_ == WordWatcher::Watch::none) {
      WordWatcher::silence(*bell_);
      watch_ = WordWatcher::of_this_process().watch(watched(), bell_);
    }
    poll_until(until);
  }

  void forget() {
    if (watch_ == WordWatcher::Watch::none) return;
    WordWatcher::of_this_process().forget(watch_);
    watch_ = WordWatcher::Watch::none;
  }

  void poll_until(TimePoint until) {
    using std::chrono::nanoseconds;
    const nanoseconds left = std::max<nanoseconds>(until - Deadline::Clock::now(), nanoseconds(0));
    const timespec timeout = {
        .tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count(),
        .tv_nsec = (left % std::chrono::seconds(1)).count()};
    for (pollfd& polled : polled_) polled.revents = 0;
    if (ppoll(polled_.data(), polled_.size(), &timeout, nullptr) >= 0 || errno == EINTR) return;
    throw Error::from_errno(errno,
                            {.tried = "poll " + std::to_string(polled_.size()) + " descriptors"});
  }

  void collect_polled() {
    for (std::size_t i = 0; i < with_descriptor_.size(); ++i) {
      if ((polled_[i].revents & POLLNVAL) != 0) {
        throw Error::from_errno(EBADF,
                                {.tried = "wait for descriptor " + std::to_string(polled_[i].fd)});
      }
      if (polled_[i].revents != 0) ready_.push_back(with_descriptor_[i]);
    }
  }

  std::span<const WaitHandle> handles_;
  std::vector<std::size_t> with_word_;
  std::vector<EventCount*> events_;    ///< of those
  std::vector<EventCount::Key> keys_;  ///< their words, when this thread announced itself
  std::vector<std::size_t> with_descriptor_;
  std::vector<pollfd> polled_;  ///< of those, and the bell
  std::vector<std::size_t> ready_;
  WordWatcher::Bell bell_;
  WordWatcher::Watch watch_ = WordWatcher::Watch::none;
  int looks_ = 0;
  bool announced_ = false;
};

}  // namespace

std::vector<std::size_t> wait_any(std::span<const WaitHandle> handles, Deadline deadline) {
  AnyWait wait(handles);
  internal::BasicPatience<internal::RealEnv> patience(deadline, wait.looks());
  Look how = deadline.is_now() ? Look::thorough : Look::quick;
  while (!wait.look(how)) {
    how = Look::quick;
    switch (patience.next()) {
      case internal::Patience::look:
        break;
      case internal::Patience::ask:
        how = Look::thorough;
        break;
      case internal::Patience::sleep:
        wait.sleep(patience.slice_end());
        break;
      case internal::Patience::give_up:
        static_cast<void>(wait.look(Look::thorough));
        return {wait.ready().begin(), wait.ready().end()};
    }
  }
  return {wait.ready().begin(), wait.ready().end()};
}

}  // namespace sluice
