// SPDX-License-Identifier: Apache-2.0
//
// wait_any: waits until one of several objects is ready: pipe ends, processes, plain descriptors,
// anything with a wait_handle(). Not needed to wait for one: each object's own calls do that.
//
//   auto ready = sluice::wait_any({orders, cancels, process}, 50ms);
//   for (std::size_t i : ready) ...            // indices in the order given; none: the time passed
//
//   std::vector<WaitHandle> handles(receivers.begin(), receivers.end());
//   while (!sluice::wait_any(handles).empty()) ...
//
// In memory: nothing of its own.
//
// Ready means that a call of the object's own would return at once: with an item, or because its
// stream has ended, also by the peer's death. A wait takes nothing: another thread may take the
// item first. All that are ready are returned, so a wake-up is never lost on an object that nobody
// was told of.
//
// Units: a Deadline; without one it waits for as long as it takes, also if there is nothing to wait
// for. Errors: Error with Status::closed if an object's handle was closed by this process, before
// or meanwhile; with EBADF for a descriptor that is none; if the process has no descriptor or no
// thread left.
//
// Threads and processes: a wait uses its objects, see their headers; waits of several threads for
// different objects overlap. Signals do not end a wait.
//
// If a process dies here: see wait_handle.h. A peer's death is noticed within a slice.
//
// Cost: looks at all objects per wake-up. Asleep on up to 128 objects with words: one futex_waitv
// call per slice, no thread. With descriptors among them, or more words, this process has a helper
// thread (word_watcher.h) per 127 words, and the caller sleeps in ppoll(2). Where the kernel has no
// futex_waitv, before Linux 5.16, it looks every millisecond instead.

#ifndef SLUICE_IPC_WAIT_ANY_H_
#define SLUICE_IPC_WAIT_ANY_H_

#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"

namespace sluice {

/// The indices of those that are ready, in ascending order; none if the deadline has passed.
[[nodiscard]] std::vector<std::size_t> wait_any(std::span<const WaitHandle> handles,
                                                Deadline deadline = Deadline::never());
/// The same, of handles in braces, or of objects that have a wait_handle().
[[nodiscard]] inline std::vector<std::size_t> wait_any(std::initializer_list<WaitHandle> handles,
                                                       Deadline deadline = Deadline::never()) {
  return wait_any(std::span(handles.begin(), handles.size()), deadline);
}

}  // namespace sluice

#endif  // SLUICE_IPC_WAIT_ANY_H_
