// SPDX-License-Identifier: Apache-2.0
//
// Status: how a call on the data path ended. The data path does not throw; set-up calls throw
// sluice::Error (sync/error.h), which carries a Status where no errno fits.
//
//   if (Status s = tx.send(order, 5ms); s != Status::ok) std::cerr << "not sent: " << s << '\n';
//
// Not for reporting misuse by the caller: that is a std::logic_error.
//
// Threads, processes, death: a plain value; the numbers never go into shared memory.

#ifndef SLUICE_SYNC_STATUS_H_
#define SLUICE_SYNC_STATUS_H_

#include <cstdint>
#include <ostream>
#include <string_view>
#include <system_error>

namespace sluice {

/// How a call on the data path ended. Which of them a call can return is said at the call.
enum class [[nodiscard]] Status : std::uint8_t {
  ok,                ///< done
  full,              ///< a try_ form found no room; nothing was written
  empty,             ///< a try_ form found nothing
  timeout,           ///< the deadline passed; nothing was taken or written
  closed,            ///< the stream has ended: the peer closed its end, or this end was closed
  peer_died,         ///< the stream has ended: the kernel says that the peer's process is dead
  too_large,         ///< larger than the structure, or than the buffer given, can ever hold
  mismatch,          ///< of another kind, version or type than was asked for
  corrupt,           ///< shared bytes that no correct process writes; nothing was acted upon
  busy,              ///< another living process holds what can be held once
  stale,             ///< a named object whose users are all gone
  foreign_registry,  ///< made under another registry: whose owners live cannot be known
  registry_lost,     ///< this process's registry was removed from its directory while in use
  owner_died,        ///< who held the lock died with it: what it protects may be half changed
  broken,            ///< the barrier's round will not come about: a party died, gave up, or failed
  interrupted,       ///< a signal asked for the end of the wait (pool/interrupt.h)
};

/// The enumerator's own name, such as "peer_died"; "unknown" for a number outside the enumeration.
[[nodiscard]] std::string_view to_string(Status status) noexcept;

/// Writes what to_string() gives.
std::ostream& operator<<(std::ostream& out, Status status);

/// The category of error codes made from a Status; its name is "sluice".
[[nodiscard]] const std::error_category& status_category() noexcept;

/// A code of status_category(), so that a Status compares with the code() of an Error.
[[nodiscard]] std::error_code make_error_code(Status status) noexcept;

}  // namespace sluice

template <>
struct std::is_error_code_enum<sluice::Status> : std::true_type {};

#endif  // SLUICE_SYNC_STATUS_H_
