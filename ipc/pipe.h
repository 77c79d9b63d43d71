// SPDX-License-Identifier: Apache-2.0
//
// Pipe: a one-way stream of whole messages from a Sender to a Receiver, between threads, forked
// processes, or processes that meet by name. Not for several senders or receivers at a time (that
// is a queue), not for both directions (ipc/connection.h, which also takes messages longer than its
// storage), and not for a peer that is not trusted with the memory.
//
//   auto [rx, tx] = sluice::Pipe::create(1 << 20);          // anonymous; a forked child has both
//   tx.send("hello");                                       // in one process or thread
//   std::string text;
//   while (rx.recv(text) == sluice::Status::ok) use(text);  // in another; ends when tx closes or
//   dies
//
//   auto rx = sluice::Receiver::create("ticks", 1 << 20);   // named: the other side says
//   auto tx = sluice::Sender::open("ticks");                // open, in any process of the domain
//   tx.send(Tick{...});                                     // any type that travels: ipc/codec.h
//   Tick tick; rx.recv(tick, 5ms);
//
// In memory: ipc/pipe_layout.h and lockfree/byte_ring.h, behind the stamp of ipc/segment.h.
//
// Units: bytes; a Deadline says how long. A message holds at most max_message() bytes, a little
// under half of the capacity; zero is a message too. A message is bytes, or a value of type T:
// recv(T&) wants exactly what send(const T&) sent, recv of bytes takes either.
//
// Errors, from the data path as Status:
//   full, empty    a try_ form would have had to wait
//   timeout        the deadline passed; nothing was sent or taken
//   closed         the stream has ended: the peer closed its end or exited, or nobody is left who
//                  could use it, or this end was closed. What was sent before is received first
//   peer_died      as closed, but the peer's process was killed
//   too_large      send: above max_message(); nothing was sent, and refusal() tells both sizes, as
//                  the Error of send_or_throw() does. recv_into, recv_at_most: above the room
//                  given; the message stays: the next call with room gets it, or skip() drops it
//   mismatch       recv(T&) found bytes or another type; the message stays
//   corrupt        recv(T&) found the right type and bytes that are none; the message stays
//   busy           another living process uses this end
//   corrupt        the shared bytes make no sense; nothing was acted upon
// Misuse throws std::logic_error: a value that has no encoding, bytes that a buffer does not have,
// sending while a reservation is open. Set-up throws Error; see ipc/segment.h. A descriptor of
// something else is refused when attaching.
//
// Threads and processes: each end is used by one thread at a time, the two ends overlap freely;
// close() may be called from any thread and wakes who waits there. An end belongs to the process
// that first uses it. After a fork, copies that were inherited and never used do not count: no
// child has to close "the other end", and closing an unused copy changes nothing for who uses it.
// The process that made the pipe may itself use an end for the first time as long as it has not
// closed its own copy: so it closes the copy of an end that it left to a child, lest it wait for
// itself if the child dies before its first use.
//
// If a process dies here: sending is committed by one store (byte_ring.h); what was committed is
// received, what was not does not exist. recv acknowledges before it returns: a receiver killed
// between the two loses that message. The peer learns of the death before its next sleep, at the
// latest when its current slice ends (10 to 80 ms). An end whose owner died, or closed, can be
// taken over: by open(), or by the first use of an inherited copy.
//
// Cost: no system call and no allocation per message while neither side sleeps: a send is the
// ring's stores and two loads.

#ifndef SLUICE_IPC_PIPE_H_
#define SLUICE_IPC_PIPE_H_

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include "sluice/ipc/pipe_calls.h"
#include "sluice/ipc/pipe_end.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// The writing end.
class Sender : public internal::Sending<internal::PipeEnd> {
 public:
  /// In bytes, of a pipe for which nothing else was said.
  static constexpr std::size_t kDefaultCapacity = std::size_t{1} << 20;

  /// Makes the pipe `name`, which must be free, and claims its writing end. Throws Error.
  static Sender create(std::string_view name, std::size_t capacity = kDefaultCapacity,
                       Lifetime lifetime = Lifetime::while_used);
  /// Opens it and claims its writing end. Throws Error, with Status::busy if another living process
  /// uses that end.
  static Sender open(std::string_view name);
  /// Makes it, or opens it if it is there, with the capacity it has; claims its writing end as
  /// open() does.
  static Sender open_or_create(std::string_view name, std::size_t capacity = kDefaultCapacity,
                               Lifetime lifetime = Lifetime::while_used);
  /// As open(), by a descriptor that another process obtained with fd(), or fd_to_hand_on().
  static Sender from_fd(UniqueFd fd);

  /// As space_handle(): an end that only sends waits for room.
  [[nodiscard]] WaitHandle wait_handle() { return space_handle(); }

 private:
  friend struct Pipe;
  explicit Sender(std::shared_ptr<internal::PipeChannel> channel);
  static Sender claimed(std::shared_ptr<internal::PipeChannel> channel);
};

/// The reading end.
class Receiver : public internal::Receiving<internal::PipeEnd> {
 public:
  /// In bytes, of a pipe for which nothing else was said.
  static constexpr std::size_t kDefaultCapacity = Sender::kDefaultCapacity;

  /// Makes the pipe `name`, which must be free, and claims its reading end. Throws Error.
  static Receiver create(std::string_view name, std::size_t capacity = kDefaultCapacity,
                         Lifetime lifetime = Lifetime::while_used);
  /// Opens it and claims its reading end. Throws Error, with Status::busy if another living process
  /// uses that end.
  static Receiver open(std::string_view name);
  /// Makes it, or opens it if it is there, with the capacity it has; claims its reading end as
  /// open() does.
  static Receiver open_or_create(std::string_view name, std::size_t capacity = kDefaultCapacity,
                                 Lifetime lifetime = Lifetime::while_used);
  /// As open(), by a descriptor that another process obtained with fd(), or fd_to_hand_on().
  static Receiver from_fd(UniqueFd fd);

 private:
  friend struct Pipe;
  explicit Receiver(std::shared_ptr<internal::PipeChannel> channel);
  static Receiver claimed(std::shared_ptr<internal::PipeChannel> channel);
};

/// Both ends of a new pipe, for structured bindings.
struct Pipe {
  Receiver receiver;  ///< nobody's until its first use
  Sender sender;      ///< nobody's until its first use

  /// An anonymous pipe of at least `capacity` bytes.
  static Pipe create(std::size_t capacity = Sender::kDefaultCapacity);
};

}  // namespace sluice

#endif  // SLUICE_IPC_PIPE_H_
