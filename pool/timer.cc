// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/timer.h"

#include <sys/prctl.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "sluice/pool/own_thread.h"
#include "sluice/pool/uncaught.h"
#include "sluice/sync/env.h"
#include "sluice/sync/process_state.h"
#include "sluice/sync/word.h"

namespace sluice {
namespace internal {
namespace {

using TimePoint = Deadline::TimePoint;
using Nanoseconds = std::chrono::nanoseconds;

/// `after` from `start`, or the end of the clock's range.
TimePoint later(TimePoint start, Nanoseconds after) {
  return after >= TimePoint::max() - start ? TimePoint::max() : start + after;
}

}  // namespace

class TimerService;

/// Guarded by its service's lock, but for what never changes.
struct TimerEntry {
  using Queue = std::multimap<TimePoint, std::shared_ptr<TimerEntry>>;

  TimerEntry(TimerService& s, std::function<void()> f, bool p)
      : service(s), fn(std::move(f)), periodic(p) {}

  TimerService& service;
  const std::function<void()> fn;
  const bool periodic;
  Nanoseconds after{};
  Queue::iterator place = {};
  bool pending = false;  ///< in the queue, at `place`
  bool running = false;
  bool repeat = false;  ///< is to be queued again after the call that is under way
};

class TimerService {
 public:
  using Entry = std::shared_ptr<TimerEntry>;

  /// At the end of the program: handles may still come.
  void stop() {
    OwnThread thread;  // joined without the lock
    const std::lock_guard lock(mutex_);
    closing_ = true;
    thread = std::move(thread_);
    changed_.notify_one();
  }

  [[nodiscard]] bool is_of_this_process() const noexcept { return process_ == process_mark(); }

  /// With the time that it had, if none is given.
  void start(const Entry& entry, std::optional<Nanoseconds> after) {
    const std::lock_guard lock(mutex_);
    if (!thread_.runs_here() && !closing_) thread_ = OwnThread("sluice-timers", [this] { run(); });
    remove(*entry);
    entry->after = after.value_or(entry->after);
    entry->repeat = false;  // the call that may be under way is of the time before
    queue(entry, later(Deadline::Clock::now(), entry->after));
  }

  bool cancel(TimerEntry& entry) {
    const std::lock_guard lock(mutex_);
    const bool would_repeat = std::exchange(entry.repeat, false);
    const bool was_pending = remove(entry);
    if (joining_ != 0) ended_.notify_all();
    return was_pending || would_repeat;
  }

  bool join(const TimerEntry& entry, Deadline deadline) {
    std::unique_lock lock(mutex_);
    const auto is_over = [&entry] { return !entry.pending && !entry.running; };
    if (is_over()) return true;
    if (thread_.is_current()) {
      throw std::logic_error("sluice::Timer::join: in the thread that would have to call it");
    }
    ++joining_;
    const bool in_time = deadline.is_never() ? (ended_.wait(lock, is_over), true)
                                             : ended_.wait_until(lock, deadline.time(), is_over);
    --joining_;
    return in_time;
  }

  /// For the end of a handle: waits for a call that is under way in another thread.
  void leave(const TimerEntry& entry) {
    std::unique_lock lock(mutex_);
    if (thread_.is_current()) return;
    ++joining_;
    ended_.wait(lock, [&entry] { return !entry.running; });
    --joining_;
  }

  [[nodiscard]] bool is_pending(const TimerEntry& entry) {
    const std::lock_guard lock(mutex_);
    return entry.pending || entry.repeat;
  }

  [[nodiscard]] TimePoint due(const TimerEntry& entry) {
    const std::lock_guard lock(mutex_);
    return entry.pending ? entry.place->first : Deadline::Clock::now();
  }

 private:
  void queue(const Entry& entry, TimePoint due) {
    entry->place = queue_.emplace(due, entry);
    entry->pending = true;
    if (entry->place == queue_.begin()) changed_.notify_one();
  }

  bool remove(TimerEntry& entry) {
    if (!std::exchange(entry.pending, false)) return false;
    queue_.erase(entry.place);
    return true;
  }

  void run() {
    // The kernel may delay a sleeper's end to spare a wake-up: by 50 us, unless it is told.
    prctl(PR_SET_TIMERSLACK, 1);
    std::unique_lock lock(mutex_);
    while (!closing_) {
      if (queue_.empty() || queue_.begin()->first == TimePoint::max()) {
        changed_.wait(lock);
      } else if (const TimePoint due = queue_.begin()->first; due > Deadline::Clock::now()) {
        changed_.wait_until(lock, due);
      } else {
        call(lock, due);
      }
    }
  }

  void call(std::unique_lock<std::mutex>& lock, TimePoint due) {
    Entry entry = queue_.begin()->second;
    remove(*entry);
    entry->running = true;
    entry->repeat = entry->periodic;
    lock.unlock();
    run_reporting("a timer", entry->fn);
    lock.lock();
    entry->running = false;
    if (std::exchange(entry->repeat, false)) queue(entry, next(due, entry->after));
    if (joining_ != 0) ended_.notify_all();
    // What a detached callable holds is not let go under the lock.
    lock.unlock();
    entry.reset();
    lock.lock();
  }

  static TimePoint next(TimePoint due, Nanoseconds period) {
    const TimePoint now = Deadline::Clock::now();
    const TimePoint next = later(due, period);
    return next > now ? next : later(next, (now - next) / period * period);
  }

  const std::uint64_t process_ = process_mark();
  std::mutex mutex_;
  std::condition_variable changed_;  ///< the first in the queue is another one, or the end
  std::condition_variable ended_;
  TimerEntry::Queue queue_;
  int joining_ = 0;
  bool closing_ = false;
  OwnThread thread_;
};

namespace {

/// The address of this process's service, or of one that it inherited, or 0.
constinit Word<std::uintptr_t> g_service;

TimerService* service_at(std::uintptr_t address) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it was a pointer, a Word holds integers
  return reinterpret_cast<TimerService*>(address);
}

/// Ends the service with the program. A forked child leaves its parent's alone.
struct EndOfService {
  EndOfService() = default;
  EndOfService(const EndOfService&) = delete;
  EndOfService& operator=(const EndOfService&) = delete;
  ~EndOfService() {
    // Relaxed: at the end of the program nobody else starts timers.
    TimerService* const service = service_at(RealEnv::load(g_service, std::memory_order_relaxed));
    if (service != nullptr && service->is_of_this_process()) service->stop();
  }
};

/// Without a lock: a child may be forked while another thread is in here.
TimerService& service() {
  // Acquire: pairs with the release below: the service is seen as it was made.
  std::uintptr_t address = RealEnv::load(g_service, std::memory_order_acquire);
  while (address == 0 || !service_at(address)->is_of_this_process()) {
    auto made = std::make_unique<TimerService>();
    const auto mine = reinterpret_cast<std::uintptr_t>(made.get());
    // Acquire and release: as above, for both who wins and who loses.
    if (RealEnv::cas(g_service, address, mine, std::memory_order_acq_rel)) {
      static const EndOfService end;
      return *made.release();
    }
  }
  return *service_at(address);
}

}  // namespace
}  // namespace internal

namespace {

void check_period(std::chrono::nanoseconds period) {
  if (period > period.zero()) return;
  throw std::invalid_argument("sluice::Timer: a period must be longer than nothing");
}

}  // namespace

Timer::Timer(Nanoseconds after, bool repeat, std::function<void()> fn) {
  if (repeat) check_period(after);
  internal::TimerService& service = internal::service();
  entry_ = std::make_shared<internal::TimerEntry>(service, std::move(fn), repeat);
  service.start(entry_, after);
}

Timer& Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    end();
    entry_ = std::move(other.entry_);
  }
  return *this;
}

Timer::~Timer() { end(); }

void Timer::end() noexcept {
  if (!is_mine()) return;
  entry_->service.cancel(*entry_);
  entry_->service.leave(*entry_);
  entry_.reset();
}

bool Timer::is_mine() const noexcept {
  return entry_ != nullptr && entry_->service.is_of_this_process();
}

bool Timer::cancel() { return is_mine() && entry_->service.cancel(*entry_); }

void Timer::restart() {
  if (is_mine()) entry_->service.start(entry_, std::nullopt);
}

void Timer::restart_with(Nanoseconds after) {
  if (entry_ != nullptr && entry_->periodic) check_period(after);
  if (is_mine()) entry_->service.start(entry_, after);
}

bool Timer::join(Deadline deadline) {
  return !is_mine() || entry_->service.join(*entry_, deadline);
}

bool Timer::pending() const { return is_mine() && entry_->service.is_pending(*entry_); }

std::ostream& operator<<(std::ostream& out, const Timer& timer) {
  out << "Timer: ";
  if (timer.entry_ == nullptr) return out << "detached";
  if (!timer.pending()) return out << "nothing to come";
  using Milliseconds = std::chrono::duration<double, std::milli>;
  const internal::TimerEntry& entry = *timer.entry_;
  const auto left = entry.service.due(entry) - Deadline::Clock::now();
  out << "fires in " << Milliseconds(left).count() << " ms";
  if (entry.periodic) out << ", every " << Milliseconds(entry.after).count() << " ms";
  return out;
}

}  // namespace sluice
