// SPDX-License-Identifier: Apache-2.0
//
// PipeEnd: what the ends of pipes (ipc/pipe.h) and of connections (ipc/connection.h) have in
// common: who owns an end, how it ends, and messages as records of a ring or as parts of several.
// Internal; users meet its public members as those of Sender, Receiver and Connection, whose
// headers say what happens when a process dies. (What a message passes through when nobody need
// wait is in line here.)

#ifndef SLUICE_IPC_PIPE_END_H_
#define SLUICE_IPC_PIPE_END_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/ipc/message_parts.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/pipe_use.h"
#include "sluice/ipc/ready_descriptor.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/wait_policy.h"

namespace sluice {

/// How recv_into() ended.
struct RecvResult {
  Status status;     ///< ok; with any other nothing was taken
  std::size_t size;  ///< of the message, in bytes; also when it was too_large
};

/// How a batch ended: ok, or why it stopped after `count` messages.
struct BatchResult {
  Status status;      ///< of send_each() ok if all went, of recv_each() if any came
  std::size_t count;  ///< messages that were sent or received
};

/// What there is to know of the other end.
enum class PeerState : std::uint8_t {
  open,    ///< in use, or not yet
  closed,  ///< closed, or its process exited in good order, or nobody is left who could use it
  died,    ///< its process was killed
};

/// The enumerator's own name; "unknown" for a number outside the enumeration.
std::ostream& operator<<(std::ostream& out, PeerState state);

namespace internal {

/// For the forms that return a value: nothing at the end of a stream, an Error else.
void throw_unless_ended(Status status);

class PipeChannel;

/// Copies bytes: a few in line, many by a call of memcpy, which picks the instructions for the
/// machine; what the compiler puts in line for a large size that it knows is slower.
inline void copy_bytes(void* to, const void* from, std::size_t size) noexcept {
  if (__builtin_constant_p(size) && size > 256) asm("" : "+r"(size));
  if (size != 0) std::memcpy(to, from, size);
}

/// What a new pipe or connection is to be.
struct PipePlan {
  bool duplex;              ///< a ring each way: of a connection
  std::size_t capacity;     ///< of each ring
  std::size_t max_message;  ///< duplex only
};

/// An end that may be this process's: who uses it, how it ends, and its messages.
class PipeEnd {
 public:
  PipeEnd(PipeEnd&&) noexcept;
  PipeEnd& operator=(PipeEnd&&) noexcept;

  /// Ends this process's part, and the stream if this process uses this end. Idempotent.
  void close() noexcept;

  /// Whether this process has closed this end, or moved it away; status() is about the stream.
  [[nodiscard]] bool closed() const noexcept {
    // Relaxed: a flag of this process; who waits is notified after it is set.
    return noted_ == nullptr || noted_->closed.load(std::memory_order_relaxed);
  }

  /// How the stream stands for this end: ok, or closed, peer_died, corrupt. Looks at the peer, with
  /// a system call or two. For an end that receives, ok as long as messages are left.
  [[nodiscard]] Status status() noexcept;

  /// What the other end is, whatever is left to receive. Costs as status().
  [[nodiscard]] PeerState peer() const noexcept;

  /// Bytes of storage, of each direction.
  [[nodiscard]] std::size_t capacity() const;
  /// The longest message that can be sent, in bytes.
  [[nodiscard]] std::size_t max_message() const;
  /// The longest message that lies in the ring in one piece, so that it can be written and read in
  /// place: a little under half of the capacity. Longer ones travel in parts, and are copied.
  [[nodiscard]] std::size_t max_in_place() const { return max_in_place_; }

  /// How this end waits, whatever the policy of the thread that calls (sync/wait_policy.h). Throws
  /// std::invalid_argument. Not while a call on this end is under way.
  void set_wait_policy(WaitPolicy policy);

  /// For people: why a message of `size` bytes is too_large for send().
  [[nodiscard]] std::string refusal(std::size_t size) const;

  /// A new descriptor, for another process's from_fd().
  [[nodiscard]] UniqueFd fd() const;

  /// A new descriptor, for another process's from_fd(), by which that gets this very end. As long
  /// as the descriptor is open somewhere, or under way, the end counts as one that may yet be used.
  /// Throws Error with Status::busy if this process has used it.
  [[nodiscard]] UniqueFd fd_to_hand_on() const;

  /// For people: kind, name, side, state, holder.
  friend std::ostream& operator<<(std::ostream& out, const PipeEnd& end);

 protected:
  PipeEnd(std::shared_ptr<PipeChannel> channel, PipeSide side);
  ~PipeEnd();

  /// A call on this end under way. close() by another thread leaves to it what must not happen
  /// while it works in the ring.
  class Call {
   public:
    Call(PipeEnd& end, Way way) noexcept
        : end_(end), in_call_(end.noted_ == nullptr ? nullptr : &end.noted_->in_call_of(way)) {
      if (in_call_ == nullptr) [[unlikely]]
        return;
      // Relaxed: ordered before the call's look at `closed` by the barrier; see close().
      in_call_->store(true, std::memory_order_relaxed);
      RealEnv::light_barrier();
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call() {
      if (in_call_ == nullptr) [[unlikely]]
        return;
      // Release: what this call did in the ring comes before a close() that finds no call under
      // way.
      in_call_->store(false, std::memory_order_release);
      RealEnv::light_barrier();
      if (end_.closed()) [[unlikely]]
        end_.end_after_call();
    }

   private:
    PipeEnd& end_;
    std::atomic<bool>* in_call_;
  };

  /// A message as it was found; the payload may lie in shared memory.
  struct Message {
    std::span<const std::byte> payload;
    std::uint32_t type = 0;
  };

  static std::shared_ptr<PipeChannel> make_anonymous(const PipePlan& plan);
  static std::shared_ptr<PipeChannel> make(std::string_view name, const PipePlan& plan,
                                           Lifetime lifetime);
  static std::shared_ptr<PipeChannel> open(std::string_view name, bool duplex);
  static std::shared_ptr<PipeChannel> open_or_make(std::string_view name, const PipePlan& plan,
                                                   Lifetime lifetime);
  static std::shared_ptr<PipeChannel> attach(UniqueFd fd, bool duplex);

  [[nodiscard]] PipeSide side() const noexcept { return side_; }

  /// For set-up calls, which claim at once, so that who can't have the end is told so there.
  void claim_or_throw();

  // Each of the following is made inside a Call of its way.

  /// Makes this end this process's, unless it is.
  Status use() { return is_mine() ? Status::ok : claim(); }

  /// Room in the ring for a message of at most max_in_place(), waiting for it until the deadline.
  Status claim_room(std::size_t size, std::span<std::byte>& room, Deadline deadline) {
    std::byte* const found = claim_at_once(size);
    if (found == nullptr) [[unlikely]]
      return wait_for_room(size, room, deadline);
    room = {found, size};
    return Status::ok;
  }
  Status try_claim_room(std::size_t size, std::span<std::byte>& room) {
    std::byte* const found = claim_at_once(size);
    if (found == nullptr) [[unlikely]]
      return look_for_room(size, room);
    room = {found, size};
    return Status::ok;
  }
  void commit_record(std::uint32_t type, std::size_t size) noexcept {
    out_.ring->commit(type, size);
    out_.data->notify_all();
  }

  /// The next message, if it is of at most `most` bytes; too_large and announced() if it is longer.
  Status wait_for_message(Message& message, Deadline deadline, std::size_t most = SIZE_MAX) {
    if (find_at_once(message, most) == Found::message) [[likely]]
      return Status::ok;
    return wait_slowly(message, deadline, most);
  }
  Status try_for_message(Message& message, std::size_t most = SIZE_MAX) {
    const Found found = find_at_once(message, most);
    if (found == Found::message) [[likely]]
      return Status::ok;
    return found == Found::nothing && may_say_empty() ? Status::empty : try_slowly(message, most);
  }
  [[nodiscard]] std::size_t announced() const noexcept { return in_.announced; }
  /// Acknowledges the message found.
  void release() noexcept {
    if (in_.in_ring) [[likely]] {
      release_record();
    } else {
      in_.parts.forget();
    }
  }
  void copy_out(const Message& message, std::vector<std::byte>& bytes);
  static void copy_out(const Message& message, std::string& text);

  /// Nothing if `status` is ok, an Error else; of too_large with both sizes.
  void throw_unless_sent(Status status) const;

  // These make their own Call.

  Status send_record(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline) {
    if (sends_at_once(type, payload)) [[likely]]
      return Status::ok;
    return send_slowly(type, payload, deadline);
  }
  Status try_send_record(std::uint32_t type, std::span<const std::byte> payload) {
    if (sends_at_once(type, payload)) [[likely]]
      return Status::ok;
    return try_send_slowly(type, payload);
  }
  /// Takes the next message if it is there, and of this type, that of a value, and size; `unclear`
  /// if there is more to it, which the other calls know.
  enum class Found : std::uint8_t { message, nothing, unclear };
  Found receive_at_once(std::uint32_t type, void* to, std::size_t size) noexcept {
    const Call call(*this, Way::in);
    if (!is_mine() || in_.held || in_.parts.begun()) [[unlikely]]
      return Found::unclear;
    const std::byte* const payload = in_.ring->try_peek_as(type, size);
    if (payload == nullptr) {
      const bool nothing = in_.ring->status() == Status::empty && may_say_empty();
      return nothing ? Found::nothing : Found::unclear;
    }
    copy_bytes(to, payload, size);
    release_record();
    return Found::message;
  }
  bool wait_for_anything(Deadline deadline);
  Status skip_message();

  /// For event loops: ready when a call that receives would return at once.
  WaitHandle receiving_handle();
  int receiving_descriptor();

  /// Ready when a try_send() of `size` bytes, at most max_in_place(), would not say full.
  WaitHandle sending_handle(std::size_t size);

  /// Memory for what can't be written into the ring at once; empty, with the capacity it had.
  std::vector<std::byte>& scratch();

  /// A reservation or a lease is being held: nothing else may be done this way until it ends.
  bool& held(Way way) { return way == Way::in ? in_.held : out_.held; }

 private:
  /// For a message that arrives in parts: addresses, which cost memory as the parts come.
  static constexpr std::size_t kReservedAtOnce = std::size_t{1} << 30;

  struct Outgoing {
    std::optional<ByteRing::Producer> ring;
    EventCount* data = nullptr;
    std::vector<std::byte> scratch;
    std::size_t refused = 0;      // the length of the message that was too_large
    std::size_t awaited = 0;      // bytes, by sending_handle()
    std::uint32_t fruitless = 0;  // calls in a row, about, that found no room
    bool held = false;
  };
  struct Incoming {
    std::optional<ByteRing::Consumer> ring;
    EventCount* space = nullptr;
    MessageParts parts{kReservedAtOnce};
    std::size_t announced = 0;  // the length of the message that was too_large
    std::uint32_t fruitless = 0;
    bool in_ring = false;  // the message found last is a record, rather than `parts`
    bool held = false;
  };

  [[nodiscard]] bool is_mine() const noexcept {
    const PipeUse* const noted = noted_;
    // Relaxed: as in closed().
    if (noted == nullptr || noted->closed.load(std::memory_order_relaxed)) [[unlikely]]
      return false;
    // Acquire: pairs with claim(), which another thread of this process, one that uses this end the
    // other way, may have made; its rings are seen as well.
    const Tag owner = noted->owner.load(std::memory_order_acquire);
    return owner != participant::kNobody && owner == participant::self_if_attached();
  }
  [[nodiscard]] bool peer_has_closed() const noexcept {
    // Acquire: as PipeChannel::end().
    const std::uint64_t word = RealEnv::load(*noted_->peer, std::memory_order_acquire);
    return EndWord::unpack(word).state == EndState::closed;
  }
  /// ok, busy, closed, corrupt. Throws Error if the process can't become a participant.
  Status claim();
  Status take_rings();
  void end_stream() noexcept;
  /// The same, unless a call the other way is under way.
  void end_after_call() noexcept;

  [[nodiscard]] Status peer_status() const noexcept;
  /// For a call that finds nothing to do: `otherwise`, or how the stream has ended. Looks at the
  /// peer every so often, so that who only polls learns of a death as well.
  Status peer_or(Status otherwise, std::uint32_t& fruitless) noexcept;
  /// `otherwise` if `peer` is ok; else `peer`, remembered as an end that was seen.
  static Status ended_or(Status peer, Status otherwise, std::uint32_t& fruitless) noexcept;

  void check_not_held(Way way) const;
  Status send_parts(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline);
  void release_record() noexcept {
    in_.ring->release();
    in_.space->notify_all();
  }

  // What nearly all calls do, in line; if it is not done at once, they call what knows all cases.

  std::byte* claim_at_once(std::size_t size) noexcept {
    if (!is_mine() || out_.held || size > max_in_place_ || peer_has_closed()) [[unlikely]]
      return nullptr;
    return out_.ring->try_claim_at(size);
  }
  bool sends_at_once(std::uint32_t type, std::span<const std::byte> payload) noexcept {
    const Call call(*this, Way::out);
    std::byte* const room = claim_at_once(payload.size());
    if (room == nullptr) [[unlikely]]
      return false;
    copy_bytes(room, payload.data(), payload.size());
    commit_record(type, payload.size());
    return true;
  }
  Found find_at_once(Message& message, std::size_t most) noexcept {
    if (!is_mine() || in_.held || in_.parts.begun()) [[unlikely]]
      return Found::unclear;
    const std::byte* const payload = in_.ring->try_peek_at();
    if (payload == nullptr) {
      return in_.ring->status() == Status::empty ? Found::nothing : Found::unclear;
    }
    message = {{payload, in_.ring->peeked_size()}, in_.ring->peeked_type()};
    if (is_part(message.type) || message.payload.size() > most) [[unlikely]]
      return Found::unclear;
    in_.in_ring = true;
    return Found::message;
  }
  /// A call found nothing, and need not ask after the peer, as is done every so often.
  bool may_say_empty() noexcept {
    if (descriptor_ != nullptr || peer_has_closed() || (in_.fruitless + 1) % kLooks == 0) {
      return false;
    }
    ++in_.fruitless;
    return true;
  }
  Status wait_for_room(std::size_t size, std::span<std::byte>& room, Deadline deadline);
  Status look_for_room(std::size_t size, std::span<std::byte>& room);
  Status send_slowly(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline);
  Status try_send_slowly(std::uint32_t type, std::span<const std::byte> payload);
  Status wait_slowly(Message& message, Deadline deadline, std::size_t most);
  Status try_slowly(Message& message, std::size_t most);

  Status next(Message& message, std::size_t most);
  Status next_in_parts(Message& message, std::size_t most);
  Status found_record(const ByteRing::Record& record, Message& message, std::size_t most);
  Status look();
  static Status look_for_loop(void* end, WaitHandle::Look how);
  static Status look_for_room(void* end, WaitHandle::Look how);
  static UniqueFd peer_pidfd(void* end);
  /// For a call that found nothing.
  void rearm_descriptor();
  Status absorb(const ByteRing::Record& record, std::size_t most);

  template <class Find>
  Status await_message(Deadline deadline, Find find);
  template <class Find>
  Status try_find(Find find);
  /// The same, but for the descriptor.
  template <class Find>
  Status find_now(Find find);

  Status refuse(std::size_t size) noexcept;

  static constexpr std::uint32_t kLooks = 1024;

  std::shared_ptr<PipeChannel> channel_;
  PipeUse* noted_;            // the channel's; none once the handle was moved from
  std::size_t max_in_place_;  // as the channel's
  PipeSide side_;
  std::optional<WaitPolicy> wait_policy_;
  // From the first use of this end on. Two threads may use them at a time.
  alignas(kNoSharing) Outgoing out_;
  alignas(kNoSharing) Incoming in_;
  std::unique_ptr<ReadyDescriptor> descriptor_;  ///< once it has been asked for
};

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_IPC_PIPE_END_H_
