// SPDX-License-Identifier: Apache-2.0
//
// What a call of a record queue (ipc/record_queue.h) does at its end, also if a callback throws:
// commits, unlocks, notifies, in this order. Internal.
//
//   const Notifying notifying(popped, done);
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

#include "sluice/ipc/record_layout.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// A lock for a scope.
template <class Lock>
class Held {
 public:
  Held(Lock& lock, Deadline deadline) : lock_(lock), status_(lock.acquire(deadline)) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (lock_.is_owned()) lock_.unlock();
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
};

/// At the end of a call, after the unlock: wakes those who wait for what it has done.
template <class Event>
class Notifying {
 public:
  Notifying(Event& event, const std::size_t& done) : event_(event), done_(done) {}
  Notifying(const Notifying&) = delete;
  Notifying& operator=(const Notifying&) = delete;
  ~Notifying() {
    if (done_ == 1) event_.notify_one();
    if (done_ > 1) event_.notify_all();
  }

 private:
  Event& event_;
  const std::size_t& done_;
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
