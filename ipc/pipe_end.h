// SPDX-License-Identifier: Apache-2.0
//
// PipeEnd: what the ends of pipes (ipc/pipe.h) and of connections (ipc/connection.h) have in
// common: who owns an end, how it ends, and messages as records of a ring or as parts of several.
// Internal; users meet its public members as those of Sender, Receiver and Connection, whose
// headers say what happens when a process dies.

#ifndef SLUICE_IPC_PIPE_END_H_
#define SLUICE_IPC_PIPE_END_H_

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/ipc/ready_descriptor.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/wait_policy.h"

namespace sluice {

/// How recv_into() ended.
struct RecvResult {
  Status status;
  std::size_t size;  ///< of the message, in bytes; also when it was too_large
};

/// How a batch ended: ok, or why it stopped after `count` messages.
struct BatchResult {
  Status status;
  std::size_t count;
};

/// What there is to know of the other end.
enum class PeerState : std::uint8_t {
  open,    ///< in use, or not yet
  closed,  ///< closed, or its process exited in good order, or nobody is left who could use it
  died,    ///< its process was killed
};

std::ostream& operator<<(std::ostream& out, PeerState state);

namespace internal {

/// For the forms that return a value: nothing at the end of a stream, an Error else.
void throw_unless_ended(Status status);

class PipeChannel;
enum class PipeSide : std::uint8_t;

/// A direction, as seen from an end.
enum class Way : std::uint8_t { in = 0, out = 1 };

/// What a new pipe or connection is to be.
struct PipePlan {
  bool duplex;
  std::size_t capacity;     ///< of each ring
  std::size_t max_message;  ///< duplex only
};

class PipeEnd {
 public:
  PipeEnd(PipeEnd&&) noexcept;
  PipeEnd& operator=(PipeEnd&&) noexcept;

  /// Ends this process's part, and the stream if this process uses this end. Idempotent.
  void close() noexcept;

  [[nodiscard]] bool closed() const noexcept;

  /// How the stream stands for this end: ok, or closed, peer_died, corrupt. Looks at the peer, with
  /// a system call or two. For an end that receives, ok as long as messages are left.
  [[nodiscard]] Status status() noexcept;

  /// What the other end is, whatever is left to receive. Costs as status().
  [[nodiscard]] PeerState peer() const noexcept;

  /// Bytes of storage per direction, and the longest message in bytes.
  [[nodiscard]] std::size_t capacity() const;
  [[nodiscard]] std::size_t max_message() const;
  /// The longest message that lies in the ring in one piece, so that it can be written and read in
  /// place: a little under half of the capacity. Longer ones travel in parts, and are copied.
  [[nodiscard]] std::size_t max_in_place() const;

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
    Call(PipeEnd& end, Way way) noexcept;
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();

   private:
    PipeEnd& end_;
    Way way_;
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
  Status use();

  /// Room in the ring for a message of at most max_in_place(), waiting for it until the deadline.
  Status claim_room(std::size_t size, std::span<std::byte>& room, Deadline deadline);
  Status try_claim_room(std::size_t size, std::span<std::byte>& room);
  void commit_record(std::uint32_t type, std::size_t size) noexcept;

  /// The next message, if it is of at most `most` bytes; too_large and announced() if it is longer.
  Status wait_for_message(Message& message, Deadline deadline, std::size_t most = SIZE_MAX);
  Status try_for_message(Message& message, std::size_t most = SIZE_MAX);
  [[nodiscard]] std::size_t announced() const noexcept { return in_.announced; }
  /// Acknowledges the message found.
  void release() noexcept;
  void copy_out(const Message& message, std::vector<std::byte>& bytes);
  static void copy_out(const Message& message, std::string& text);

  /// Nothing if `status` is ok, an Error else; of too_large with both sizes.
  void throw_unless_sent(Status status) const;

  // These make their own Call.

  Status send_record(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline);
  Status try_send_record(std::uint32_t type, std::span<const std::byte> payload);
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
    std::vector<std::byte> parts;  // of the message that is arriving
    std::uint64_t total = 0;       // its length; 0 if none is
    std::size_t announced = 0;     // the length of the message that was too_large
    std::uint32_t type = 0;
    std::uint32_t fruitless = 0;
    bool in_ring = false;  // the message found last is a record, rather than `parts`
    bool held = false;
  };

  [[nodiscard]] bool is_mine() const noexcept;
  /// ok, busy, closed, corrupt. Throws Error if the process can't become a participant.
  Status claim();
  Status take_rings();
  void end_stream() noexcept;

  [[nodiscard]] Status peer_status() const noexcept;
  /// For a call that finds nothing to do: `otherwise`, or how the stream has ended. Looks at the
  /// peer every so often, so that who only polls learns of a death as well.
  Status peer_or(Status otherwise, std::uint32_t& fruitless) noexcept;
  /// `otherwise` if `peer` is ok; else `peer`, remembered as an end that was seen.
  static Status ended_or(Status peer, Status otherwise, std::uint32_t& fruitless) noexcept;

  void check_not_held(Way way) const;
  Status send_parts(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline);
  [[nodiscard]] bool has_whole_message() const {
    return in_.total != 0 && in_.parts.size() == in_.total;
  }
  void forget_parts() noexcept;
  void release_record() noexcept;
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
  Status begin_parts(std::span<const std::byte> payload, std::size_t most,
                     std::span<const std::byte>& data);

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
  PipeSide side_;
  // From the first use of this end on.
  Outgoing out_;
  Incoming in_;
  std::optional<WaitPolicy> wait_policy_;
  std::unique_ptr<ReadyDescriptor> descriptor_;  ///< once it has been asked for
};

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_IPC_PIPE_END_H_
