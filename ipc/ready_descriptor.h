// SPDX-License-Identifier: Apache-2.0
//
// ReadyDescriptor: makes an object with a WaitHandle fit for poll(2), epoll(7) and the event loops
// built on them. Internal: users ask the object for its descriptor().
//
//   ReadyDescriptor ready;
//   epoll_ctl(loop, EPOLL_CTL_ADD, ready.get(), ...);
//   // in the object's own calls, when one finds nothing:
//   ready.rearm(rx.wait_handle());
//
// The descriptor is an epoll instance of this process with two members: the bell of the word
// watcher (word_watcher.h), and the peer's pidfd once there is a peer. It stays readable from the
// moment on at which the object may be ready until a call of the object's finds nothing: so a loop
// takes items until there are none, or is called again. After the peer's death it stays readable.
//
// Errors: the constructor throws Error (no descriptor left). Threads: as the object's calls.
// Processes: it belongs to the one that made it; a forked child's copy does nothing.
//
// If a process dies here: the peer's wake-ups find one sleeper less.
//
// Cost: rearm() when nothing has come: one system call; after a wake-up five, and one wake-up of
// the watcher's thread. As long as there is no peer, or no pidfd for it, the descriptor becomes
// readable every 80 ms, so that a call looks.

#ifndef SLUICE_IPC_READY_DESCRIPTOR_H_
#define SLUICE_IPC_READY_DESCRIPTOR_H_

#include "sluice/ipc/wait_handle.h"
#include "sluice/ipc/word_watcher.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

class ReadyDescriptor {
 public:
  ReadyDescriptor();
  ReadyDescriptor(const ReadyDescriptor&) = delete;
  ReadyDescriptor& operator=(const ReadyDescriptor&) = delete;
  ~ReadyDescriptor();

  [[nodiscard]] int get() const noexcept { return epoll_.get(); }

  /// False in a forked child.
  [[nodiscard]] bool is_of_this_process() const noexcept {
    return owner_ == participant::self_if_attached();
  }

  /// A call of the object's has found nothing: from now on the descriptor is readable only once
  /// that may have changed. The memory of the object's words outlives this descriptor.
  void rearm(const WaitHandle& handle);

 private:
  void add(const UniqueFd& fd);
  /// False if the peer is not known to live.
  bool watch_peer(const WaitHandle& handle);

  Tag owner_;
  UniqueFd epoll_;
  UniqueFd peer_;   ///< its pidfd
  UniqueFd timer_;  ///< in the place of that
  WordWatcher::Bell bell_;
  WordWatcher::Watch watch_ = WordWatcher::Watch::none;
  EventCount::Key key_{};
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_READY_DESCRIPTOR_H_
