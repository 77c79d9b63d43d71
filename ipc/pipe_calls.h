// SPDX-License-Identifier: Apache-2.0
//
// The calls by which an end sends and receives, for Sender, Receiver (ipc/pipe.h) and Connection
// (ipc/connection.h), which say what they promise. Internal but for what they inherit from here.
// (Some lines more than 300: one short call after the other, each with what it promises.)
//
// If a process dies here: see those headers.

#ifndef SLUICE_IPC_PIPE_CALLS_H_
#define SLUICE_IPC_PIPE_CALLS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/codec_refusal.h"
#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/pipe_end.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// What is sent as a value, not as the bytes or the characters that it is. Whether it can be is
/// said by Travels; sending one that can't does not compile, with a message that says why.
template <class T>
concept SentAsValue = !std::is_convertible_v<const T&, std::string_view> &&
                      !std::is_convertible_v<const T&, std::span<const std::byte>>;

/// Record type of a value; plain bytes have type 0.
template <class T>
inline constexpr std::uint32_t kMessageType =
    static_cast<std::uint32_t>(codec_fingerprint<T>()) | 1;

/// The sending half of an end.
template <class Base>
class Sending : public Base {
 public:
  /// Sends one message of bytes: waits for room until the deadline.
  Status send(std::span<const std::byte> message, Deadline deadline = Deadline::never()) {
    return this->send_record(0, message, deadline);
  }
  /// The same, of characters: bytes to the receiver, without a zero behind them.
  Status send(std::string_view text, Deadline deadline = Deadline::never()) {
    return this->send_record(0, std::as_bytes(std::span(text)), deadline);
  }
  /// Sends `size` bytes of `buffer` from `offset` on. Throws std::out_of_range, and sends nothing,
  /// if it does not have them.
  Status send(std::span<const std::byte> buffer, std::size_t offset, std::size_t size,
              Deadline deadline = Deadline::never()) {
    if (offset > buffer.size() || size > buffer.size() - offset) {
      throw std::out_of_range("sluice: sending " + std::to_string(size) + " bytes from offset " +
                              std::to_string(offset) + " of a buffer of " +
                              std::to_string(buffer.size()));
    }
    return send(buffer.subspan(offset, size), deadline);
  }
  /// Sends a value of any type that travels (ipc/codec.h).
  template <SentAsValue T>
  Status send(const T& value, Deadline deadline = Deadline::never()) {
    return send_value<true>(value, deadline);
  }

  /// As send(), but throws Error for all but ok: a message that is too large with both sizes.
  void send_or_throw(std::span<const std::byte> buffer, std::size_t offset, std::size_t size,
                     Deadline deadline = Deadline::never()) {
    this->throw_unless_sent(send(buffer, offset, size, deadline));
  }
  /// The same, of whatever send() takes by itself.
  template <class T>
  void send_or_throw(const T& message, Deadline deadline = Deadline::never()) {
    this->throw_unless_sent(send(message, deadline));
  }

  /// As send(), but full instead of waiting, and too_large for what does not fit in place.
  Status try_send(std::span<const std::byte> message) { return this->try_send_record(0, message); }
  /// The same, of characters.
  Status try_send(std::string_view text) {
    return this->try_send_record(0, std::as_bytes(std::span(text)));
  }
  /// The same, of a value of any type that travels.
  template <SentAsValue T>
  Status try_send(const T& value) {
    return send_value<false>(value, Deadline::now());
  }

  /// Sends each of `messages`, until the deadline. Those that were sent stay sent.
  template <std::ranges::input_range Messages>
  BatchResult send_each(const Messages& messages, Deadline deadline = Deadline::never()) {
    BatchResult result{Status::ok, 0};
    for (const auto& message : messages) {
      result.status = send(message, deadline);
      if (result.status != Status::ok) break;
      ++result.count;
    }
    return result;
  }

  /// Room in the ring, to be filled in place. It becomes a message with commit(), and does not
  /// exist without it. Nothing else may be sent meanwhile, nor may the end be moved: the first is
  /// a std::logic_error.
  class [[nodiscard]] Reservation {
   public:
    /// For reserve(): waits for room until the deadline.
    Reservation(Sending& end, std::size_t size, Deadline deadline)
        : end_(end), call_(end, Way::out), status_(end.claim_room(size, room_, deadline)) {
      if (status_ == Status::ok) end_.held(Way::out) = true;
    }
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;
    /// What was not committed is no message; the room is free again.
    ~Reservation() {
      if (status_ == Status::ok) end_.held(Way::out) = false;
    }

    /// ok if there is room; else why not: timeout, too_large (above max_in_place()), closed, ...
    [[nodiscard]] Status status() const { return status_; }
    /// Whether there is room to fill.
    explicit operator bool() const { return status_ == Status::ok; }
    /// The room, in shared memory; empty if there is none.
    [[nodiscard]] std::span<std::byte> bytes() const { return room_; }

    /// Sends all of the room, filled or not.
    void commit() { commit(room_.size()); }
    /// The same, of the first `size` bytes. Throws std::logic_error without room, or the second
    /// time; std::out_of_range for more than was reserved.
    void commit(std::size_t size) {
      if (status_ != Status::ok || committed_) {
        throw std::logic_error("sluice: a reservation is committed once, if it has room");
      }
      if (size > room_.size()) throw std::out_of_range("sluice: more than was reserved");
      committed_ = true;
      end_.commit_record(0, size);
    }

   private:
    Sending& end_;
    typename Base::Call call_;
    std::span<std::byte> room_;
    Status status_;
    bool committed_ = false;
  };

  /// For wait_any() and event loops: ready when there is room for a message of `size` bytes, at
  /// most max_in_place(), or the stream has ended: a try_send() would not be full. Refers to this
  /// object, which must stay where it is; the size is that of the last call.
  [[nodiscard]] WaitHandle space_handle(std::size_t size) { return this->sending_handle(size); }
  /// For any message that lies in the ring in one piece.
  [[nodiscard]] WaitHandle space_handle() { return space_handle(this->max_in_place()); }

  /// Waits for room for a message of `size` bytes, at most max_in_place().
  Reservation reserve(std::size_t size, Deadline deadline = Deadline::never()) {
    return Reservation(*this, size, deadline);
  }

 protected:
  using Base::Base;

 private:
  template <bool kWaits, class T>
  Status send_value(const T& value, Deadline deadline) {
    static_assert(explain_why_not<T>());
    if constexpr (Travels<T>) {
      if constexpr (kInBulk<T>) {
        return send_bytes<kWaits>(kMessageType<T>, std::as_bytes(std::span(&value, 1)), deadline);
      } else {
        if constexpr (TellsItsSize<T>) {
          const std::size_t size = encoded_size(value);
          if (size <= this->max_in_place()) return encode_in_place<kWaits>(value, size, deadline);
        }
        auto& bytes = this->scratch();
        encode(value, bytes);
        return send_bytes<kWaits>(kMessageType<T>, bytes, deadline);
      }
    }
    return Status::mismatch;
  }

  template <bool kWaits>
  Status send_bytes(std::uint32_t type, std::span<const std::byte> bytes, Deadline deadline) {
    if constexpr (kWaits) return this->send_record(type, bytes, deadline);
    return this->try_send_record(type, bytes);
  }

  template <bool kWaits, class T>
  Status encode_in_place(const T& value, std::size_t size, Deadline deadline) {
    const typename Base::Call call(*this, Way::out);
    std::span<std::byte> room;
    const Status status =
        kWaits ? this->claim_room(size, room, deadline) : this->try_claim_room(size, room);
    if (status != Status::ok) return status;
    const EncodeResult result = encode_into(room, value);
    if (result.status != Status::ok || result.size != size) {
      throw std::logic_error("sluice: a value changed while it was being sent");
    }
    this->commit_record(kMessageType<T>, size);
    return Status::ok;
  }
};

/// The receiving half of an end.
template <class Base>
class Receiving : public Base {
  using Message = typename Base::Message;

 public:
  /// Receives the next message into `message`, which is resized. Waits until the deadline.
  Status recv(std::vector<std::byte>& message, Deadline deadline = Deadline::never()) {
    return wait_and_take(message, deadline);
  }
  /// The same, as characters.
  Status recv(std::string& text, Deadline deadline = Deadline::never()) {
    return wait_and_take(text, deadline);
  }
  /// Receives a value sent as a T.
  template <SentAsValue T>
  Status recv(T& value, Deadline deadline = Deadline::never()) {
    if constexpr (kTakenAtOnce<T>) {
      const auto found = this->receive_at_once(kMessageType<T>, &value, sizeof(T));
      if (found == Base::Found::message) [[likely]]
        return Status::ok;
    }
    return wait_and_take(value, deadline);
  }

  /// The next T, or nothing when the stream has ended: status() tells whether the peer closed or
  /// died. Anything else throws Error.
  template <class T>
  [[nodiscard]] std::optional<T> recv() {
    std::optional<T> value(std::in_place);
    const Status status = recv(*value);
    if (status == Status::ok) return value;
    throw_unless_ended(status);
    return std::nullopt;
  }

  /// Receives into the caller's memory; the bytes behind the message stay as they were.
  RecvResult recv_into(std::span<std::byte> room, Deadline deadline = Deadline::never()) {
    const typename Base::Call call(*this, Way::in);
    Message message;
    const Status status = this->wait_for_message(message, deadline, room.size());
    if (status != Status::ok) return refused(status);
    std::copy(message.payload.begin(), message.payload.end(), room.begin());
    this->release();
    return {Status::ok, message.payload.size()};
  }

  /// As recv(), but too_large if the message has more than `most` bytes; it stays.
  template <class Bytes>
    requires std::is_same_v<Bytes, std::string> || std::is_same_v<Bytes, std::vector<std::byte>>
  RecvResult recv_at_most(std::size_t most, Bytes& bytes, Deadline deadline = Deadline::never()) {
    const typename Base::Call call(*this, Way::in);
    Message message;
    const Status status = this->wait_for_message(message, deadline, most);
    if (status != Status::ok) return refused(status);
    const Status taken = take(message, bytes);
    return {taken, bytes.size()};
  }

  /// As recv(), but empty instead of waiting.
  Status try_recv(std::vector<std::byte>& message) { return try_and_take(message); }
  /// The same, as characters.
  Status try_recv(std::string& text) { return try_and_take(text); }
  /// The same, of a value sent as a T.
  template <SentAsValue T>
  Status try_recv(T& value) {
    if constexpr (kTakenAtOnce<T>) {
      const auto found = this->receive_at_once(kMessageType<T>, &value, sizeof(T));
      if (found != Base::Found::unclear) [[likely]]
        return found == Base::Found::message ? Status::ok : Status::empty;
    }
    return try_and_take(value);
  }

  /// Appends the next message to `messages`, waiting for it until the deadline, and what is there
  /// behind it, `most` at most. ok if there was one.
  template <class T>
  BatchResult recv_each(std::vector<T>& messages, std::size_t most,
                        Deadline deadline = Deadline::never()) {
    BatchResult result{Status::ok, 0};
    while (result.count < most && result.status == Status::ok) {
      T& message = messages.emplace_back();
      result.status = result.count == 0 ? recv(message, deadline) : try_recv(message);
      if (result.status == Status::ok) ++result.count;
    }
    if (result.status != Status::ok) messages.pop_back();
    if (result.count != 0) result.status = Status::ok;
    return result;
  }

  /// Whether a recv() would return at once, with a message or with the end of the stream, or with
  /// what has come of a long message. Takes nothing.
  bool poll(Deadline deadline = Deadline::now()) { return this->wait_for_anything(deadline); }

  /// Drops the next message: ok, or what try_recv() says of none.
  Status skip() { return this->skip_message(); }

  /// For wait_any() and event loops: ready when a recv() would return at once. Refers to this
  /// object, which must stay where it is.
  [[nodiscard]] WaitHandle wait_handle() { return this->receiving_handle(); }

  /// For poll(2) and epoll(7) in this process: readable once a recv() may return at once, until a
  /// try_recv(), or a recv() or poll() with a deadline, has found nothing. Stays this object's.
  [[nodiscard]] int descriptor() { return this->receiving_descriptor(); }

  /// A message where it lies in the ring, in memory that the peer can write: who does not trust
  /// the peer uses recv(). It stays until release(): without it, the next call, of this process or
  /// of its successor, gets it again. Nothing else may be received meanwhile, nor may the end be
  /// moved: the first is a std::logic_error.
  class [[nodiscard]] Lease {
   public:
    /// For peek(): waits for a message until the deadline.
    Lease(Receiving& end, Deadline deadline)
        : end_(end),
          call_(end, Way::in),
          status_(end.wait_for_message(message_, deadline, end.max_in_place())) {
      if (status_ == Status::ok) end_.held(Way::in) = true;
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    /// A message that was not released stays the next one.
    ~Lease() {
      if (status_ == Status::ok) end_.held(Way::in) = false;
    }

    /// ok if there is a message; too_large if it travels in parts, which recv() puts together;
    /// else as recv().
    [[nodiscard]] Status status() const { return status_; }
    /// Whether there is a message to read.
    explicit operator bool() const { return status_ == Status::ok; }
    /// The message, in shared memory, to be read before release(); empty if there is none.
    [[nodiscard]] std::span<const std::byte> bytes() const { return message_.payload; }

    /// Acknowledges it. The bytes are the sender's again.
    void release() {
      if (status_ != Status::ok || released_) {
        throw std::logic_error("sluice: a message read in place is released once, if there is one");
      }
      released_ = true;
      end_.release();
    }

   private:
    Receiving& end_;
    typename Base::Call call_;
    Message message_;
    Status status_;
    bool released_ = false;
  };

  /// Waits for a message, to be read in place.
  Lease peek(Deadline deadline = Deadline::never()) { return Lease(*this, deadline); }

 protected:
  using Base::Base;

 private:
  /// Copied out as it lies there, by an end that can.
  template <class T>
  static constexpr bool kTakenAtOnce = [] {
    if constexpr (Travels<T> && requires { typename Base::Found; }) return kInBulk<T>;
    return false;
  }();

  RecvResult refused(Status status) const {
    return {status, status == Status::too_large ? this->announced() : 0};
  }

  template <class To>
  Status wait_and_take(To& to, Deadline deadline) {
    const typename Base::Call call(*this, Way::in);
    Message message;
    const Status found = this->wait_for_message(message, deadline);
    return found == Status::ok ? take(message, to) : found;
  }
  template <class To>
  Status try_and_take(To& to) {
    const typename Base::Call call(*this, Way::in);
    Message message;
    const Status found = this->try_for_message(message);
    return found == Status::ok ? take(message, to) : found;
  }

  Status take(const Message& message, std::vector<std::byte>& bytes) {
    this->copy_out(message, bytes);
    this->release();
    return Status::ok;
  }
  Status take(const Message& message, std::string& text) {
    this->copy_out(message, text);
    this->release();
    return Status::ok;
  }
  template <class T>
  Status take(const Message& message, T& value) {
    static_assert(explain_why_not<T>());
    if constexpr (Travels<T>) {
      if (message.type != kMessageType<T>) return Status::mismatch;
      constexpr std::size_t kSize = fixed_size<T>();
      if (kSize != 0 && message.payload.size() != kSize) return Status::mismatch;
      if constexpr (kInBulk<T>) {
        copy_bytes(&value, message.payload.data(), kSize);
      } else if (const Status s = decode(message.payload, value); s != Status::ok) {
        return s;
      }
      this->release();
    }
    return Status::ok;
  }
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_PIPE_CALLS_H_
