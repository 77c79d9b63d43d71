// SPDX-License-Identifier: Apache-2.0
//
// WaitHandle: what it takes to wait for an object, whatever its type: for wait_any() (wait_any.h),
// and for an event loop of your own. Not a lock on the object, and it carries no item: what was
// waited for is taken by a call of the object's own.
//
//   WaitHandle h = rx.wait_handle();          // or WaitHandle(fd), for a plain descriptor
//   const EventCount::Key key = h.announce();
//   if (h.look(WaitHandle::Look::thorough) == Status::empty) {
//     sleep_for_a_slice(h.word(), key);       // FUTEX_WAIT, FUTEX_WAITV, ... then look again
//   }
//   h.retract(key);                           // unless a look follows
//
// In memory: nothing of its own; the futex word is the object's (sync/event_count.h).
//
// Units: none. Errors: look() says ok (a call of the object would return at once: with an item, or
// with how its stream ended), empty (it would wait), closed (this process has closed the object's
// handle: there is nothing to wait for).
//
// Threads and processes: a handle refers to its object, which must stay where it is; look() counts
// as a use of the object, so for a pipe's end by one thread at a time. announce(), retract() and
// word() may overlap with everything.
//
// If a process dies here: an announcement that nobody takes back costs the peer one needless wake
// call. A peer that dies wakes nobody: look(WaitHandle::Look::thorough) asks the kernel about it,
// so call it once per slice (10 to 80 ms), or watch peer_pidfd().
//
// Cost: look() as the object's try_ form. announce() one membarrier(2); retract() one load. No
// allocation.

#ifndef SLUICE_IPC_WAIT_HANDLE_H_
#define SLUICE_IPC_WAIT_HANDLE_H_

#include <poll.h>

#include <concepts>
#include <cstdint>

#include "sluice/sync/event_count.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What to wait for: an object's futex word and how to look at it, or a descriptor.
class WaitHandle {
 public:
  /// How much a look() may cost.
  enum class Look : std::uint8_t {
    quick,     ///< at the shared words
    thorough,  ///< asks the kernel as well whether the peer lives
  };

  /// How to wait for objects of one type; for the types themselves, and for types of your own.
  struct Operations {
    /// As WaitHandle::look(), of the object that the handle was made for.
    Status (*look)(void* object, Look how);
    /// A descriptor that is readable once the peer has died; may be empty, if there is no peer yet
    /// or the kernel has none.
    UniqueFd (*peer_pidfd)(void* object);
  };

  /// For an object with a futex word. It refers to all three, which must outlive it.
  WaitHandle(void* object, const Operations& operations, EventCount& event) noexcept
      : operations_(&operations), object_(object), event_(&event) {}

  /// A descriptor, of which `events` are waited for: poll(2).
  explicit WaitHandle(int descriptor, short events = POLLIN) noexcept
      : descriptor_(descriptor), events_(events) {}

  /// Anything that has a wait_handle().
  template <class T>
    requires requires(T& object) {
      { object.wait_handle() } -> std::same_as<WaitHandle>;
    }
  // NOLINTNEXTLINE(google-explicit-constructor): for wait_any({rx, process}).
  WaitHandle(T& object) : WaitHandle(object.wait_handle()) {}

  /// Whether there is something to wait for. For descriptors, poll(2) them instead.
  [[nodiscard]] Status look(Look how = Look::quick) const {
    return operations_->look(object_, how);
  }

  /// Announces a sleeper. Look once more after this call and before sleeping on word().
  [[nodiscard]] EventCount::Key announce() const noexcept { return event_->announce(); }

  /// What to sleep on: while the word holds the key, nobody has notified.
  [[nodiscard]] internal::Word<std::uint32_t>& word() const noexcept { return event_->word(); }

  /// Who announced itself and will not look again: a wake-up that it got is passed on.
  void retract(EventCount::Key key) const noexcept {
    if (!event_->stands(key)) event_->notify_one();
  }

  /// Readable once the peer has died. Empty if there is none yet, or the kernel has no pidfds.
  [[nodiscard]] UniqueFd peer_pidfd() const { return operations_->peer_pidfd(object_); }

  /// Null for a descriptor.
  [[nodiscard]] EventCount* event() const noexcept { return event_; }
  /// -1 for an object with a word.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  /// What of the descriptor is waited for, as poll(2) has it; 0 for an object with a word.
  [[nodiscard]] short events() const noexcept { return events_; }

 private:
  const Operations* operations_ = nullptr;
  void* object_ = nullptr;
  EventCount* event_ = nullptr;
  int descriptor_ = -1;
  short events_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_IPC_WAIT_HANDLE_H_
