// SPDX-License-Identifier: Apache-2.0
//
// What a call of a record queue (ipc/record_queue.h) does at its end, also if a callback throws:
// commits, unlocks, notifies, in this order. Internal.
//
//   const Notifying notifying(popped, done, true);
//   const PassingOn passing_on(pushed, left);
//   Held held(lock, deadline);
//   if (held.status() != Status::ok) return held.status();
//   const Committing<Env> committing(word, mark, done);     // moves `mark`, counts `done`
//
// If a process dies here: before the commit nothing has happened; between it and the notification
// sleepers find out at the end of their slice. Cost: none of their own.

#ifndef SLUICE_IPC_RECORD_GUARDS_H_
#define SLUICE_IPC_RECORD_GUARDS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

#include "sluice/ipc/record_layout.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// A lock for a scope.
template <class Lock>
class Held {
 public:
  Held(Lock& lock, Deadline deadline)
      : lock_(lock),
        status_(lock.acquire(deadline)),
        taken_(status_ == Status::ok || status_ == Status::owner_died) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (!taken_) return;
    try {
      lock_.unlock();
    } catch (const std::exception&) {
      // Overwritten by somebody without rules: not this thread's any more, and it must not believe
      // so for longer than the memory is mapped.
      return;
    }
  }
  [[nodiscard]] Status status() const { return status_; }
  /// An owner had died; `outcome` of putting things in order.
  void mended(Status outcome) {
    status_ = outcome;
    if (outcome == Status::ok) lock_.mark_consistent();
  }

 private:
  Lock& lock_;
  Status status_;
  bool taken_;
};

/// At the end of a call, after the unlock: wakes those who wait for what it has done: one for one,
/// unless they differ in what they need.
template <class Event>
class Notifying {
 public:
  Notifying(Event& event, const std::size_t& done, bool alike)
      : event_(event), done_(done), one_for_one_(alike ? 1 : 0) {}
  Notifying(const Notifying&) = delete;
  Notifying& operator=(const Notifying&) = delete;
  ~Notifying() {
    if (done_ == 0) return;
    if (done_ == one_for_one_) {
      event_.notify_one();
    } else {
      event_.notify_all();
    }
  }

 private:
  Event& event_;
  const std::size_t& done_;
  std::size_t one_for_one_;
};

/// At the end of a call, after the unlock, also if a callback threw: if it leaves what it had been
/// woken for, the next who waits for it is woken instead.
template <class Event>
class PassingOn {
 public:
  PassingOn(Event& event, const bool& left) : event_(event), left_(left) {}
  PassingOn(const PassingOn&) = delete;
  PassingOn& operator=(const PassingOn&) = delete;
  ~PassingOn() {
    if (left_) [[unlikely]]
      event_.notify_one();
  }

 private:
  Event& event_;
  const bool& left_;
};

/// At the end of a call, before the unlock, also if a callback threw: commits what was done.
template <class Env>
class Committing {
 public:
  Committing(Word<std::uint64_t>& word, const RecordMark& mark, const std::size_t& done)
      : word_(word), mark_(mark), done_(done) {}
  Committing(const Committing&) = delete;
  Committing& operator=(const Committing&) = delete;
  ~Committing() {
    // Release: of the tail, pairs with the acquire in fresh_tail(): the records are whole; of the
    // head, with that in fresh_head(), whose caller overwrites what was read.
    if (done_ != 0) Env::store(word_, mark_.packed(), std::memory_order_release);
  }

 private:
  Word<std::uint64_t>& word_;
  const RecordMark& mark_;
  const std::size_t& done_;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_RECORD_GUARDS_H_
