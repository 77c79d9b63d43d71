// SPDX-License-Identifier: Apache-2.0
//
// Internal: makes a process die with another one, however that one ends, and not before.
//
// A pipe of which the parent holds the writing end and never writes. The child has the kernel send
// it SIGKILL when something happens on the reading end (O_ASYNC with F_SETSIG): the only thing that
// can is that the last writing end is closed, which the kernel does at the parent's end, whatever
// ended it. The kernel does all of it: nothing in the child runs, no mask or handler is in the way,
// and it lasts across exec as long as the descriptor is open.
//
// Not PR_SET_PDEATHSIG: that means the end of the thread that forked, not of its process. Where
// O_ASYNC is refused (a seccomp filter) a thread in the child watches the pipe instead; it is
// then the child's second thread.
//
// What the pipe can't tell apart: whoever inherits the writing end keeps the child alive, so every
// fork closes it in the child (child.cc), and exec does; only a raw clone(2) does not. And a parent
// that closes descriptors which are not its own (closefrom) ends its daemons; a child that does
// cuts itself loose.
//
// If a process dies here: that is what it is for.

#ifndef SLUICE_POOL_LIFELINE_H_
#define SLUICE_POOL_LIFELINE_H_

#include <array>
#include <cstdint>

#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

/// pipe2(2) with O_CLOEXEC: reading end, writing end. Throws Error, which says for what.
std::array<UniqueFd, 2> make_pipe(const char* purpose);

/// In the child: from now on it is killed when the writing end of `watched` is closed, also if that
/// has happened before the call. False if the kernel refuses. Async-signal-safe.
bool tie_to_lifeline(int watched) noexcept;

/// The same by a thread. Throws std::system_error.
void watch_lifeline_by_thread(int watched);

}  // namespace sluice::internal

#endif  // SLUICE_POOL_LIFELINE_H_
