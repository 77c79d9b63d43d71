// SPDX-License-Identifier: Apache-2.0
//
// Connection: one of the two ends of a two-way stream of whole messages, of bytes or of values of
// any type that travels (ipc/codec.h), between threads, forked processes, or processes that meet by
// name. Not for several senders or receivers at an end (that is a queue), and not for a peer that
// is not trusted with the memory. For one direction ipc/pipe.h is smaller.
//
//   auto [a, b] = sluice::Connection::pair(1 << 16);          // anonymous; a forked child has both
//   a.send(Person{"Ada", {"Countess"}});                      // in one process or thread
//   while (auto person = b.recv<Person>()) greet(*person);    // in another; ends when a closes or
//                                                             // dies
//   auto server = sluice::Connection::create("ticks");        // named: the first end; a process of
//   auto client = sluice::Connection::open("ticks");          // the domain opens the second
//   if (auto room = client.reserve(n)) { fill(room.bytes()); room.commit(); }       // no copy
//   if (auto message = server.peek()) { use(message.bytes()); message.release(); }  // no copy
//
// In memory: ipc/pipe_layout.h, two rings of lockfree/byte_ring.h, behind the stamp of
// ipc/segment.h.
//
// Units: bytes; a Deadline says how long. A message has at most max_message() bytes, as chosen when
// the connection was made; zero is a message too. Up to max_in_place() it is written and read at
// once; a longer one travels in parts, while its receiver takes them, and send() returns when the
// last of them is in the ring.
//
// Errors, as Status: those of ipc/pipe.h, with these differences
//   too_large      send: above max_message(); nothing was sent, and refusal() tells both sizes, as
//                  the Error of send_or_throw() does. try_send, reserve: above max_in_place()
//                  recv_into, recv_at_most: above the room given; peek: the message travels in
//                  parts. It stays, and the next call with room gets it, or skip() drops it
//   timeout        of a long message parts may be on their way: the receiver drops them
// Misuse throws std::logic_error, set-up throws Error.
//
// Threads and processes: at each end one thread may send while another one receives; otherwise as
// for a pipe. An end belongs to the process that first uses it, for both directions.
//
// If a process dies here: sending is committed by one store, for a long message by that of its last
// part; what was committed is received, what was not does not exist. recv() acknowledges before it
// returns: a receiver killed in between, or while it puts a long message together, loses that one.
// What lies in place (peek) is delivered again, until release(). The peer learns of the death
// before its next sleep, at the latest when its current slice ends (10 to 80 ms). The end of a dead
// or closed owner can be taken over, in both directions at once, by open_or_create() for the first
// end, open() for the second, open(name, which), or the first use of an inherited copy. Its
// successor never sees the rest of a message whose beginning was lost.
//
// Cost: as a pipe. A long message is copied once more on its way, into memory of the receiver's.

#ifndef SLUICE_IPC_CONNECTION_H_
#define SLUICE_IPC_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "sluice/ipc/pipe_calls.h"
#include "sluice/ipc/pipe_end.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

struct ConnectionPair;

/// What is chosen when a connection is made.
struct ConnectionOptions {
  std::size_t capacity = std::size_t{1} << 16;     ///< of each direction, in bytes
  std::size_t max_message = std::size_t{1} << 30;  ///< at most 2^32-1
  Lifetime lifetime = Lifetime::while_used;        ///< of the name
};

/// Who makes a connection has its first end, who opens it the second.
enum class ConnectionEnd : std::uint8_t { first, second };

/// One of the two ends, for sending and receiving; its calls wait for messages and for room.
class Connection : public internal::Receiving<internal::Sending<internal::PipeEnd>> {
 public:
  /// Both ends of an anonymous connection.
  static ConnectionPair pair(const ConnectionOptions& options = {});
  /// The same, with a capacity in bytes for each direction, and the other defaults.
  static ConnectionPair pair(std::size_t capacity);

  /// Makes the connection `name`, which must be free, and claims its first end. Throws Error.
  static Connection create(std::string_view name, const ConnectionOptions& options = {});
  /// Makes it, or opens it if it is there, and claims its first end. Throws Error, with
  /// Status::busy if another living process uses that end.
  static Connection open_or_create(std::string_view name, const ConnectionOptions& options = {});

  /// Opens it and claims the second end, or the one wanted. Throws Error, with Status::busy if
  /// another living process uses that end.
  static Connection open(std::string_view name, ConnectionEnd end = ConnectionEnd::second);
  /// As open(), by a descriptor that another process obtained with fd(), or fd_to_hand_on().
  static Connection from_fd(UniqueFd fd, ConnectionEnd end = ConnectionEnd::second);

  /// Which of the two this is.
  [[nodiscard]] ConnectionEnd which() const noexcept;

 private:
  explicit Connection(std::shared_ptr<internal::PipeChannel> channel, ConnectionEnd end);
  static Connection claimed(std::shared_ptr<internal::PipeChannel> channel, ConnectionEnd end);
};

/// For structured bindings.
struct ConnectionPair {
  Connection first;   ///< as who makes a named one has
  Connection second;  ///< as who opens a named one has
};

}  // namespace sluice

#endif  // SLUICE_IPC_CONNECTION_H_
