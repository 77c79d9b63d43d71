// SPDX-License-Identifier: Apache-2.0
//
// Pipe: a one-way stream of whole messages from a Sender to a Receiver, between threads, forked
// processes, or processes that meet by name. Not for several senders or receivers at a time (that
// is a queue), and not for a peer that is not trusted with the memory.
//
//   auto [rx, tx] = sluice::Pipe::create(1 << 20);          // anonymous; a forked child has both
//   tx.send("hello");                                       // in one process or thread
//   std::string text;
//   while (rx.recv(text) == sluice::Status::ok) use(text);  // in another; ends when tx closes or
//   dies
//
//   auto rx = sluice::Receiver::create("ticks", 1 << 20);   // named: the other side says
//   auto tx = sluice::Sender::open("ticks");                // open, in any process of the domain
//   tx.send(Tick{...});                                     // any trivially copyable type
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
//   too_large      send: above max_message(). recv_into, recv(T&): above the room given; the
//                  message stays, and the next call with room gets it, or skip() drops it
//   mismatch       recv(T&) found bytes or another type; the message stays
//   busy           another living process uses this end
//   corrupt        the shared bytes make no sense; nothing was acted upon
// Set-up throws Error; see ipc/segment.h. A descriptor of something else is refused when attaching.
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
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/ready_descriptor.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

namespace internal {

class PipeChannel;
enum class PipeSide : std::uint8_t;

template <class T>
inline constexpr bool kIsReference = false;
template <class T>
inline constexpr bool kIsReference<std::reference_wrapper<T>> = true;

/// What may be sent as a value: bytes that mean the same in another process. Pointers and views are
/// refused; a struct of yours that holds one can't be.
template <class T>
concept PipeValue =
    std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> && !std::is_member_pointer_v<T> &&
    !std::is_null_pointer_v<T> && !kIsReference<T> && !std::ranges::enable_view<T> &&
    !std::ranges::enable_borrowed_range<T> && !std::is_convertible_v<const T&, std::string_view> &&
    !std::is_convertible_v<const T&, std::span<const std::byte>>;

/// Record type of a value in the byte ring; plain bytes have type 0.
template <class T>
constexpr std::uint32_t message_type() {
  return static_cast<std::uint32_t>(type_fingerprint<T>()) | 1;
}

/// What both ends have in common.
class PipeEnd {
 public:
  PipeEnd(PipeEnd&&) noexcept;
  PipeEnd& operator=(PipeEnd&&) noexcept;

  /// Ends this process's part, and the stream if this process uses this end. Idempotent.
  void close() noexcept;

  [[nodiscard]] bool closed() const noexcept;

  /// How the stream stands for this end: ok, or closed, peer_died, corrupt. Looks at the peer, with
  /// a system call or two. For a receiver, ok as long as messages are left.
  [[nodiscard]] Status status() noexcept;

  /// Bytes of storage, and the longest message in bytes.
  [[nodiscard]] std::size_t capacity() const;
  [[nodiscard]] std::size_t max_message() const;

  /// A new descriptor, for another process's from_fd().
  [[nodiscard]] UniqueFd fd() const;

  /// For people: kind, name, side, state, holder.
  friend std::ostream& operator<<(std::ostream& out, const PipeEnd& end);

 protected:
  PipeEnd(std::shared_ptr<PipeChannel> channel, PipeSide side);
  ~PipeEnd();

  /// True if this process has claimed this end and not closed it: then the ring may be used.
  /// A call on this end under way. close() by another thread leaves to it what must not happen
  /// while it works in the ring.
  class Call {
   public:
    explicit Call(PipeEnd& end) noexcept;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();

   private:
    PipeEnd& end_;
  };

  [[nodiscard]] bool is_mine() const noexcept;
  /// Makes this end this process's: ok, busy, closed, corrupt. Throws Error if the process can't
  /// become a participant.
  Status claim();
  /// For set-up calls, which claim at once, so that who can't have the end is told so there.
  void claim_or_throw();
  template <class End>
  static End claimed(std::shared_ptr<PipeChannel> channel) {
    End end(std::move(channel));
    end.claim_or_throw();
    return end;
  }
  [[nodiscard]] Status peer_status() const noexcept;
  /// For a call that finds nothing to do: `otherwise`, or how the stream has ended. Looks at the
  /// peer every so often, so that who only polls learns of a death as well.
  Status peer_or(Status otherwise) noexcept;
  /// `otherwise` if `peer` is ok; else `peer`, remembered as an end that was seen.
  Status ended_or(Status peer, Status otherwise) noexcept;

  static constexpr std::uint32_t kLooks = 1024;

  /// Says in the end's word that it is closed, if it is this process's.
  void end_stream() noexcept;

  std::shared_ptr<PipeChannel> channel_;
  std::uint32_t fruitless_ = 0;  // calls in a row, about, that found nothing to do
  PipeSide side_;
  // The one that this side needs, from its first use on.
  std::optional<ByteRing::Producer> producer_;
  std::optional<ByteRing::Consumer> consumer_;
};

}  // namespace internal

/// The writing end.
class Sender : public internal::PipeEnd {
 public:
  static constexpr std::size_t kDefaultCapacity = std::size_t{1} << 20;

  /// Makes the pipe `name`, or opens it, and claims its writing end; Status::busy if another living
  /// process uses that end.
  static Sender create(std::string_view name, std::size_t capacity = kDefaultCapacity,
                       Lifetime lifetime = Lifetime::while_used);
  static Sender open(std::string_view name);
  static Sender open_or_create(std::string_view name, std::size_t capacity = kDefaultCapacity,
                               Lifetime lifetime = Lifetime::while_used);
  static Sender from_fd(UniqueFd fd);

  /// Sends one message of bytes: waits for room until the deadline.
  Status send(std::span<const std::byte> message, Deadline deadline = Deadline::never()) {
    return send_record(0, message, deadline);
  }
  Status send(std::string_view text, Deadline deadline = Deadline::never()) {
    return send_record(0, std::as_bytes(std::span(text)), deadline);
  }
  /// Sends a value. Its padding bytes are sent as they are: zero them if they could tell secrets.
  template <internal::PipeValue T>
  Status send(const T& value, Deadline deadline = Deadline::never()) {
    return send_record(internal::message_type<T>(), std::as_bytes(std::span(&value, 1)), deadline);
  }

  /// As send(), but full instead of waiting.
  Status try_send(std::span<const std::byte> message) { return try_send_record(0, message); }
  Status try_send(std::string_view text) {
    return try_send_record(0, std::as_bytes(std::span(text)));
  }
  template <internal::PipeValue T>
  Status try_send(const T& value) {
    return try_send_record(internal::message_type<T>(), std::as_bytes(std::span(&value, 1)));
  }

 private:
  friend struct Pipe;
  friend class internal::PipeEnd;
  explicit Sender(std::shared_ptr<internal::PipeChannel> channel);

  Status send_record(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline);
  Status try_send_record(std::uint32_t type, std::span<const std::byte> payload);
  Status write(std::uint32_t type, std::span<const std::byte> payload) noexcept;
};

/// How recv_into() ended.
struct RecvResult {
  Status status;
  std::size_t size;  ///< of the message, in bytes; also when it was too_large
};

/// The reading end.
class Receiver : public internal::PipeEnd {
 public:
  static constexpr std::size_t kDefaultCapacity = Sender::kDefaultCapacity;

  /// As for Sender, with the reading end.
  static Receiver create(std::string_view name, std::size_t capacity = kDefaultCapacity,
                         Lifetime lifetime = Lifetime::while_used);
  static Receiver open(std::string_view name);
  static Receiver open_or_create(std::string_view name, std::size_t capacity = kDefaultCapacity,
                                 Lifetime lifetime = Lifetime::while_used);
  static Receiver from_fd(UniqueFd fd);

  Receiver(Receiver&&) noexcept = default;
  Receiver& operator=(Receiver&& other) noexcept;
  ~Receiver() = default;

  /// Receives the next message into `message`, which is resized. Waits until the deadline.
  Status recv(std::vector<std::byte>& message, Deadline deadline = Deadline::never()) {
    return wait_and_take(message, deadline);
  }
  Status recv(std::string& text, Deadline deadline = Deadline::never()) {
    return wait_and_take(text, deadline);
  }
  /// Receives a value sent as a T.
  template <internal::PipeValue T>
  Status recv(T& value, Deadline deadline = Deadline::never()) {
    return wait_and_take(ValueRoom::of(value), deadline);
  }

  /// The next T, or nothing when the stream has ended: status() tells whether the peer closed or
  /// died. Anything else throws Error.
  template <internal::PipeValue T>
  [[nodiscard]] std::optional<T> recv() {
    T value;
    const Status status = recv(value);
    if (status == Status::ok) return value;
    throw_unless_ended(status);
    return std::nullopt;
  }

  /// Receives into the caller's memory; the bytes behind the message stay as they were.
  RecvResult recv_into(std::span<std::byte> room, Deadline deadline = Deadline::never());

  /// As recv(), but empty instead of waiting.
  Status try_recv(std::vector<std::byte>& message) { return try_and_take(message); }
  Status try_recv(std::string& text) { return try_and_take(text); }
  template <internal::PipeValue T>
  Status try_recv(T& value) {
    return try_and_take(ValueRoom::of(value));
  }

  /// Whether a recv() would return at once, with a message or with the end of the stream. Takes
  /// nothing.
  bool poll(Deadline deadline = Deadline::now());

  /// Drops the next message: ok, or empty.
  Status skip();

  /// For wait_any() and event loops: ready when a recv() would return at once. Refers to this
  /// object, which must stay where it is.
  [[nodiscard]] WaitHandle wait_handle();

  /// For poll(2) and epoll(7) in this process: readable once a recv() may return at once, until a
  /// try_recv(), or a recv() or poll() with a deadline, has found nothing. Stays this object's.
  [[nodiscard]] int descriptor();

 private:
  friend struct Pipe;
  friend class internal::PipeEnd;
  explicit Receiver(std::shared_ptr<internal::PipeChannel> channel);

  /// Where a value goes, and what it must have been sent as.
  struct ValueRoom {
    std::uint32_t type;
    std::span<std::byte> bytes;

    template <class T>
    static ValueRoom of(T& value) {
      return {internal::message_type<T>(), std::as_writable_bytes(std::span(&value, 1))};
    }
  };

  template <class Room>
  Status wait_and_take(Room&& room, Deadline deadline) {
    const Call call(*this);
    ByteRing::Record record;
    const Status found = wait_for_message(record, deadline);
    return take(found, record, room);
  }
  template <class Room>
  Status try_and_take(Room&& room) {
    const Call call(*this);
    ByteRing::Record record;
    const Status found = try_for_message(record);
    return take(found, record, room);
  }

  static Status look(void* receiver, WaitHandle::Look how);
  static UniqueFd peer_pidfd(void* receiver);
  Status look_for_message(ByteRing::Record& record);
  /// For a call that found nothing.
  void rearm_descriptor() {
    if (descriptor_ != nullptr) [[unlikely]]
      descriptor_->rearm(wait_handle());
  }

  Status peek(ByteRing::Record& record) noexcept;
  Status try_for_message(ByteRing::Record& record);
  Status wait_for_message(ByteRing::Record& record, Deadline deadline);
  Status take(Status found, const ByteRing::Record& record, std::vector<std::byte>& message);
  Status take(Status found, const ByteRing::Record& record, std::string& text);
  Status take(Status found, const ByteRing::Record& record, ValueRoom room);
  void release() noexcept;
  static void throw_unless_ended(Status status);

  std::unique_ptr<internal::ReadyDescriptor> descriptor_;
};

/// Both ends of a new pipe, for structured bindings.
struct Pipe {
  Receiver receiver;
  Sender sender;

  /// An anonymous pipe of at least `capacity` bytes.
  static Pipe create(std::size_t capacity = Sender::kDefaultCapacity);
};

}  // namespace sluice

#endif  // SLUICE_IPC_PIPE_H_
