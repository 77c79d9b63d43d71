// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/sealed_end.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/message_parts.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/sealed_memory.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/patience.h"
#include "sluice/sync/process_state.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

using Word32 = Word<std::uint32_t>;

/// What each side sends first, with two descriptors: its memory, and the other end of the socket by
/// which the two wake each other for what this side sends.
struct Hello {
  std::uint64_t magic;
  std::uint64_t version;
};
constexpr Hello kHello = {.magic = 0x6f'6c'6c'65'48'53'53'53, .version = 1};
constexpr std::byte kDescriptor{'F'};

/// Announcements: bit 0 of a word is the fence, the rest the number.
constexpr std::uint32_t kFence = 1;
constexpr std::uint32_t kOneMore = 2;

/// Parts that one look takes: a peer may make them faster than they are dropped.
constexpr int kMostParts = 1024;
/// Fruitless tries between two questions to the kernel.
constexpr std::uint32_t kLooks = 1024;

void check_options(const SealedOptions& options) {
  if (options.max_message != 0 && options.max_message <= kLargestMessage) return;
  throw Error::from_errno(EINVAL, {.tried = "make a sealed connection",
                                   .expected = "a longest message of 1 to 2^32-1 bytes",
                                   .found = std::to_string(options.max_message)});
}

/// Where this side sleeps: it says so in its own word, and is woken by a byte on a socket.
class Lookout {
 public:
  Lookout(Word32& wanted, const UnixSocket& bell) : wanted_(&wanted), bell_(&bell) {}

  /// Look once more after this, then sleep.
  void announce() {
    number_ += kOneMore;
    if (number_ == 0) number_ = kOneMore;
    // Relaxed: the barrier that follows orders this before the caller's look.
    RealEnv::store(*wanted_, number_ | fence_, std::memory_order_relaxed);
    if (RealEnv::heavy_barrier()) return;
    fence_ = kFence;
    // Relaxed: as above; the peer pays its own half of the barrier from now on.
    RealEnv::store(*wanted_, number_ | fence_, std::memory_order_relaxed);
    RealEnv::fence();
  }
  void retract() {
    // Relaxed: a bell that is rung nevertheless is heard as one too many.
    RealEnv::store(*wanted_, fence_, std::memory_order_relaxed);
  }
  /// Sleeps until rung, which it then tells, or until the peer's `socket` ends, at most `until`.
  [[nodiscard]] bool rung(int socket, Deadline::TimePoint until) const {
    if (sleep_on(bell_->get(), POLLIN, socket, until) == 0) return false;
    bell_->silence();
    return true;
  }

 private:
  Word32* wanted_;
  const UnixSocket* bell_;
  std::uint32_t number_ = 0;
  std::uint32_t fence_ = 0;
};

/// The other half: rings once per announcement of the peer's. Its word may hold anything.
class Bell {
 public:
  Bell(const Word32& wanted, const UnixSocket& socket) : wanted_(&wanted), socket_(&socket) {}

  void notify() {
    RealEnv::light_barrier();
    // Relaxed: the barrier keeps it behind the caller's change, as in sync/event_count.h.
    std::uint32_t word = RealEnv::load(*wanted_, std::memory_order_relaxed);
    if ((word & kFence) != 0) [[unlikely]] {
      RealEnv::fence();
      // Relaxed: the fence pairs with the one in Lookout::announce().
      word = RealEnv::load(*wanted_, std::memory_order_relaxed);
    }
    const std::uint32_t number = word & ~kFence;
    if (number == 0 || number == rung_) [[likely]]
      return;
    rung_ = number;
    socket_->ring();
  }

 private:
  const Word32* wanted_;
  const UnixSocket* socket_;
  std::uint32_t rung_ = 0;
};

/// What an event loop waits on: readable once there may be something to receive.
class LoopDescriptor {
 public:
  LoopDescriptor(int bell, int socket)
      : epoll_(epoll_create1(EPOLL_CLOEXEC)), again_(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!epoll_ || !again_) fail();
    add(bell, EPOLLIN);
    add(socket, EPOLLRDHUP);
    add(again_.get(), EPOLLIN);
  }
  [[nodiscard]] int get() const { return epoll_.get(); }
  void set() const { static_cast<void>(eventfd_write(again_.get(), 1)); }
  void clear() const {
    eventfd_t count = 0;
    static_cast<void>(eventfd_read(again_.get(), &count));
  }

 private:
  [[noreturn]] static void fail() {
    throw Error::from_errno(errno, {.tried = "make a descriptor for an event loop"});
  }
  void add(int fd, std::uint32_t events) const {
    epoll_event event = {};
    event.events = events;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) fail();
  }

  UniqueFd epoll_;
  UniqueFd again_;
};

/// The ends that this process uses. A forked child has copies of their sockets, which would keep
/// them open after this process's death: so it closes them, as its first act.
class UsedEnds {
 public:
  static void add(SealedChannel* channel);
  static void remove(SealedChannel* channel) noexcept;

 private:
  static void before_fork() { s_mutex.lock(); }
  static void in_parent() { s_mutex.unlock(); }
  static void in_child();

  /// Guards s_ends; held across fork, so that the child's is whole.
  static inline std::mutex s_mutex;
  /// Never destroyed: an end may outlive what is static here.
  static inline auto& s_ends = *new std::vector<SealedChannel*>;
  // When the library is loaded, as a fork in the middle of a later registration would go without.
  [[maybe_unused]] static inline const bool kRegistered =
      pthread_atfork(before_fork, in_parent, in_child) == 0;
};

/// A segment of sluice's that whoever gets this descriptor could write.
bool is_writable_segment(int fd) {
  struct stat file = {};
  Stamp stamp = {};
  if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) ||
      pread(fd, &stamp, sizeof stamp, 0) != static_cast<ssize_t>(sizeof stamp) ||
      !stamp_fault(stamp, static_cast<std::uint64_t>(file.st_size)).empty()) {
    return false;
  }
  constexpr int kSealFutureWrite = 0x0010;
  const int seals = fcntl(fd, F_GET_SEALS);
  return seals < 0 || (seals & (F_SEAL_WRITE | kSealFutureWrite)) == 0;
}

}  // namespace

/// One side of a connection: its own memory, which it writes, the peer's, which it only reads, and
/// three sockets.
class SealedChannel {
 public:
  using Message = SealedEnd::Message;

  SealedChannel(UnixSocket socket, const SealedOptions& options)
      : options_(options),
        socket_(std::move(socket)),
        mine_(SealedMemory::make(options.capacity, options.max_message)),
        maker_(process_mark()) {
    register_barriers();
  }
  SealedChannel(const SealedChannel&) = delete;
  SealedChannel& operator=(const SealedChannel&) = delete;
  ~SealedChannel() { UsedEnds::remove(this); }

  // -----------------------------------------------------------------------------------------------
  // The handshake

  void greet(Deadline deadline) {
    auto [mine, theirs] = UnixSocket::pair();
    out_bell_ = std::move(mine);
    const std::array fds = {mine_.fd().get(), theirs.get()};
    refuse_unless_ok(socket_->send(std::as_bytes(std::span(&kHello, 1)), fds, deadline));
    mine_.fd().reset();
  }

  void be_greeted(Deadline deadline) {
    std::array<std::byte, sizeof(Hello)> bytes = {};
    std::size_t size = 0;
    std::vector<UniqueFd> fds;
    const Status status = socket_->recv(bytes, size, fds, deadline);
    if (status != Status::too_large) refuse_unless_ok(status);
    if (status != Status::ok || size != bytes.size() || fds.size() != 2 ||
        std::memcmp(bytes.data(), &kHello, sizeof kHello) != 0) {
      throw Error(Status::mismatch, {.tried = kHandshake,
                                     .expected = "a sealed connection of version 1",
                                     .found = std::to_string(size) + " other bytes, " +
                                              std::to_string(fds.size()) + " descriptors",
                                     .hint = "both sides must call SealedConnection's functions"});
    }
    in_bell_.emplace(std::move(fds[1]));
    theirs_.emplace(SealedMemory::attach(
        std::move(fds[0]),
        kObjectOffset + kSealedRing + ByteRing::bytes_for(options_.max_peer_capacity) + 4096));
    // Relaxed: written before the descriptor was sent, and read once.
    const auto most = RealEnv::load(theirs_->control().max_message, std::memory_order_relaxed);
    max_message_ = std::min<std::uint64_t>(most, kLargestMessage);
    capacity_ = ByteRing::capacity(mine_.ring());
    max_in_place_ = std::min(ByteRing::max_record(mine_.ring()), max_message_);
    out_.ring.emplace(mine_.ring(), theirs_->progress());
    in_.ring.emplace(theirs_->ring(), mine_.progress());
    data_.emplace(mine_.control().data_wanted, *in_bell_);
    space_.emplace(mine_.control().space_wanted, *out_bell_);
    data_bell_.emplace(theirs_->control().data_wanted, *out_bell_);
    space_bell_.emplace(theirs_->control().space_wanted, *in_bell_);
  }

  /// This process is not the one that uses this end: whoever is, goes on.
  void drop_copies() noexcept {
    for (auto* const socket : {&socket_, &out_bell_, &in_bell_}) {
      if (*socket) (*socket)->close();
    }
  }

  void belongs_beside(const std::shared_ptr<SealedChannel>& other) { other_ = other; }

  // -----------------------------------------------------------------------------------------------
  // Whose it is, and how it ends

  /// Makes this end this process's, unless it is.
  Status use() {
    if (closed()) [[unlikely]]
      return Status::closed;
    // Relaxed: of this process, or inherited from before the fork.
    if (user_.load(std::memory_order_relaxed) == process_mark()) [[likely]]
      return Status::ok;
    return claim();
  }

  // Relaxed: a flag of this process; who waits is woken by other means.
  [[nodiscard]] bool closed() const { return closed_.load(std::memory_order_relaxed); }

  void close() noexcept {
    // Sequentially consistent: claim() writes the user and reads this flag, we do it the other way
    // round, and one of the two must notice.
    if (closed_.exchange(true)) return;
    if (user_.load() != process_mark()) {
      drop_copies();
      return;
    }
    store_state(SealedState::closed);
    for (auto* const socket : {&out_bell_, &in_bell_, &socket_}) (*socket)->shut_down();
  }

  [[nodiscard]] Status peer_status() const noexcept {
    if (const Status end = end_in(state_of(*theirs_)); end != Status::ok) return end;
    if (!any_hung_up(sockets())) return Status::ok;
    // It may have closed between the two looks.
    return state_of(*theirs_) == SealedState::open ? Status::peer_died : Status::closed;
  }

  [[nodiscard]] Status status() const noexcept {
    if (closed()) return Status::closed;
    const Status peer = peer_status();
    if (peer == Status::ok || in_.parts.whole()) return Status::ok;
    try {
      // A reader of its own, which takes nothing: another thread may be receiving.
      return ByteRing::Consumer(theirs_->ring(), mine_.progress()).try_peek() ? Status::ok : peer;
    } catch (const Error&) {
      return Status::corrupt;
    }
  }

  [[nodiscard]] PeerCredentials credentials() const { return socket_->credentials(); }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t max_message() const { return max_message_; }
  [[nodiscard]] std::size_t max_in_place() const { return max_in_place_; }
  [[nodiscard]] std::size_t announced() const { return in_.announced; }
  bool& held_out() { return out_.held; }
  bool& held_in() { return in_.held; }

  // -----------------------------------------------------------------------------------------------
  // Sending

  Status try_claim_room(std::size_t size, std::span<std::byte>& room) {
    if (const Status s = use(); s != Status::ok) [[unlikely]]
      return s;
    if (out_.held) [[unlikely]]
      throw std::logic_error("sluice: a reservation of this end is still open: commit it first");
    if (size > max_in_place_) [[unlikely]]
      return Status::too_large;
    if (const Status end = end_in(state_of(*theirs_)); end != Status::ok) [[unlikely]]
      return end;
    const auto found = out_.ring->try_claim(size);
    if (!found) [[unlikely]] {
      const Status status = out_.ring->status();
      return status == Status::full ? peer_or(Status::full, out_.fruitless) : status;
    }
    room = *found;
    return Status::ok;
  }

  Status claim_room(std::size_t size, std::span<std::byte>& room, Deadline deadline) {
    for (;;) {
      const Status status = try_claim_room(size, room);
      if (status != Status::full) [[likely]]
        return status;
      const Status waited = await(*space_, deadline, [&] {
        return out_.ring->try_claim(size) || out_.ring->status() != Status::full;
      });
      if (waited != Status::ok) return ended_or(waited, waited, out_.fruitless);
    }
  }

  void commit(std::uint32_t type, std::size_t size) noexcept {
    out_.ring->commit(type, size);
    data_bell_->notify();
  }

  Status send(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline) {
    if (payload.size() > max_in_place_) [[unlikely]]
      return send_parts(type, payload, deadline);
    std::span<std::byte> room;
    const Status status = claim_room(payload.size(), room, deadline);
    if (status != Status::ok) [[unlikely]]
      return status;
    std::copy(payload.begin(), payload.end(), room.begin());
    commit(type, payload.size());
    return Status::ok;
  }

  Status try_send(std::uint32_t type, std::span<const std::byte> payload) {
    std::span<std::byte> room;
    const Status status = try_claim_room(payload.size(), room);
    if (status != Status::ok) return status;
    std::copy(payload.begin(), payload.end(), room.begin());
    commit(type, payload.size());
    return Status::ok;
  }

  std::vector<std::byte>& scratch() {
    if (out_.scratch.capacity() > kScratchKept) out_.scratch = {};
    out_.scratch.clear();
    return out_.scratch;
  }

  // -----------------------------------------------------------------------------------------------
  // Receiving

  Status wait_for_message(Message& message, Deadline deadline, std::size_t most) {
    return await_message(deadline, [&] { return next(message, most); });
  }
  Status try_for_message(Message& message, std::size_t most) {
    return try_find([&] { return next(message, most); });
  }
  bool wait_for_anything(Deadline deadline) {
    return await_message(deadline, [&] { return look(); }) != Status::timeout;
  }

  /// Acknowledges the message found.
  void release() noexcept {
    if (in_.in_ring) [[likely]] {
      release_record();
    } else {
      in_.parts.forget();
    }
  }

  Status skip() {
    Message message;
    const Status status = try_for_message(message, 0);
    if (status != Status::ok && status != Status::too_large && status != Status::corrupt) {
      return status;
    }
    if (in_.parts.begun()) {
      in_.parts.forget();  // what is left of them in the ring then belongs to nobody
    } else if (in_.ring->try_peek()) {
      release_record();
    } else {
      return status;  // corrupt beyond records
    }
    return Status::ok;
  }

  /// The message's memory, for other memory.
  void copy_out(const Message& message, std::vector<std::byte>& bytes) {
    std::vector<std::byte>& from = in_.in_ring ? in_.copy : in_.parts.bytes();
    from.resize(message.payload.size());
    bytes.swap(from);
  }

  int descriptor() {
    if (loop_ == nullptr) loop_ = std::make_unique<LoopDescriptor>(in_bell_->get(), socket_->get());
    return loop_->get();
  }

  /// For a wait that begins: not readable because of what was received long ago.
  void refresh_descriptor() {
    static_cast<void>(descriptor());
    if (use() == Status::ok) rearm();
  }

  // -----------------------------------------------------------------------------------------------
  // Descriptors

  Status send_fd(int fd, Deadline deadline) {
    if (const Status s = use(); s != Status::ok) return s;
    if (is_writable_segment(fd)) {
      throw Error(Status::mismatch,
                  {.tried = "send descriptor " + std::to_string(fd) + " to an untrusted process",
                   .expected = "a plain descriptor, or memory sealed against writing",
                   .found = "an object of sluice's that the peer could write",
                   .hint = "send the value as a message, or use an FdSocket within one domain"});
    }
    const Status status = socket_->send({&kDescriptor, 1}, {&fd, 1}, deadline);
    return status == Status::closed ? end_seen() : status;
  }

  Status recv_fd(UniqueFd& fd, Deadline deadline) {
    if (const Status s = use(); s != Status::ok) return s;
    std::byte type{};
    std::size_t size = 0;
    std::vector<UniqueFd> fds;
    const Status status = socket_->recv({&type, 1}, size, fds, deadline);
    if (status == Status::closed) return end_seen();
    if (status == Status::timeout) return status;
    if (status != Status::ok || type != kDescriptor || fds.size() != 1) return Status::corrupt;
    fd = std::move(fds[0]);
    return Status::ok;
  }

 private:
  static constexpr const char* kHandshake = "shake hands with the peer of a sealed connection";

  struct Outgoing {
    std::optional<ByteRing::Producer> ring;
    std::vector<std::byte> scratch;
    std::uint32_t fruitless = 0;
    bool held = false;
  };
  struct Incoming {
    std::optional<ByteRing::Consumer> ring;
    std::vector<std::byte> copy;  // of the record that was found
    MessageParts parts{0};        // nothing for a length that was only announced
    std::size_t announced = 0;    // the length of the message that was too_large
    std::uint32_t fruitless = 0;
    bool in_ring = false;  // the message found last is a record, rather than `parts`
    bool held = false;
  };

  static void refuse_unless_ok(Status status) {
    if (status == Status::ok) return;
    throw Error(status == Status::closed ? Status::peer_died : status,
                {.tried = kHandshake, .expected = "a peer that does the same"});
  }

  static SealedState state_of(const SealedMemory& memory) {
    // Acquire: what was sent before the connection was closed is seen by who then looks again.
    return static_cast<SealedState>(
        RealEnv::load(memory.control().state, std::memory_order_acquire));
  }
  /// Whether the peer's word says that it has ended: of one look at it, for the peer may write
  /// another between two.
  static Status end_in(SealedState theirs) noexcept {
    if (theirs == SealedState::closed) return Status::closed;
    return theirs > SealedState::closed ? Status::corrupt : Status::ok;
  }
  void store_state(SealedState state) {
    // Release: pairs with the acquire in state_of().
    RealEnv::store(mine_.control().state, static_cast<std::uint32_t>(state),
                   std::memory_order_release);
  }

  [[nodiscard]] std::array<int, 3> sockets() const {
    return {socket_->get(), out_bell_->get(), in_bell_->get()};
  }
  Status claim() {
    const std::uint64_t me = process_mark();
    std::uint64_t user = 0;
    // Acquire and release: of two processes that inherited this end one gets it.
    if (!RealEnv::cas(mine_.control().user, user, me, std::memory_order_acq_rel) && user != me) {
      return state_of(mine_) == SealedState::closed ? Status::closed : Status::busy;
    }
    auto offered = static_cast<std::uint32_t>(SealedState::offered);
    // Release: pairs with the acquire in state_of(). Not over `closed`, by another thread.
    static_cast<void>(RealEnv::cas(mine_.control().state, offered,
                                   static_cast<std::uint32_t>(SealedState::open),
                                   std::memory_order_release));
    // Sequentially consistent, as the look at closed_ below: see close().
    if (user_.exchange(me) != me) {
      UsedEnds::add(this);
      if (maker_ != me) take_from_maker();
    }
    if (!closed_.load()) return Status::ok;
    store_state(SealedState::closed);
    return Status::closed;
  }

  void take_from_maker() {
    register_barriers();
    const auto other = other_.lock();
    if (other == nullptr) return;
    // Relaxed: as in closed().
    other->closed_.store(true, std::memory_order_relaxed);
    other->drop_copies();
  }

  Status peer_or(Status otherwise, std::uint32_t& fruitless) const noexcept {
    if (++fruitless % kLooks != 0) return otherwise;
    return ended_or(peer_status(), otherwise, fruitless);
  }
  static Status ended_or(Status peer, Status otherwise, std::uint32_t& fruitless) noexcept {
    if (peer == Status::ok) return otherwise;
    fruitless = kLooks - 1;  // an end that was seen is looked at again at once
    return peer;
  }
  /// The socket says that there is no peer.
  [[nodiscard]] Status end_seen() const noexcept {
    const Status peer = closed() ? Status::closed : peer_status();
    return peer == Status::ok ? Status::closed : peer;
  }

  template <class Ready>
  Status await(Lookout& lookout, Deadline deadline, Ready ready) {
    BasicPatience<RealEnv> patience(deadline, EventCount::kSpinLooks);
    const auto has_come = [&] { return closed() || ready(); };
    bool announced = false;
    for (;;) {
      Status ended = Status::ok;
      switch (patience.next()) {
        case Patience::look:
          break;
        case Patience::ask:
          ended = peer_status();
          break;
        case Patience::sleep:
          if (!std::exchange(announced, true)) {
            lookout.announce();
            if (has_come()) break;
          }
          // One that was rung is used up.
          announced = !lookout.rung(socket_->get(), patience.slice_end());
          break;
        case Patience::give_up:
          ended = Status::timeout;
          break;
      }
      const bool come = has_come();
      if (!come && ended == Status::ok) continue;
      if (announced) lookout.retract();
      if (closed()) return Status::closed;
      return come ? Status::ok : ended;
    }
  }

  Status send_parts(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline) {
    if (const Status s = use(); s != Status::ok) return s;
    if (payload.size() > max_message_) return Status::too_large;
    return send_in_parts(
        type, payload, part_size(capacity_, max_in_place_),
        [&](std::size_t size, std::span<std::byte>& room) {
          return claim_room(size, room, deadline);
        },
        [&](std::uint32_t part, std::size_t size) { commit(part, size); });
  }

  void release_record() noexcept {
    in_.ring->release();
    space_bell_->notify();
  }

  /// The next message, if it is there as a whole and of at most `most` bytes.
  Status next(Message& message, std::size_t most) {
    for (int n = 0; !in_.parts.whole(); ++n) {
      if (n == kMostParts) return Status::empty;
      const auto record = in_.ring->try_peek();
      if (!record) return in_.ring->status();
      if (!is_part(record->type)) return found(*record, message, most);
      if (const Status s = absorb(*record, most); s != Status::ok) return s;
    }
    in_.in_ring = false;
    message = {in_.parts.bytes(), in_.parts.type()};
    in_.announced = message.payload.size();
    return in_.announced <= most ? Status::ok : Status::too_large;
  }

  /// Its header was read once. The payload is copied before anybody looks at it.
  Status found(const ByteRing::Record& record, Message& message, std::size_t most) {
    in_.parts.forget();  // of a message whose sender gave up
    in_.in_ring = true;
    in_.announced = record.payload.size();
    if (in_.announced > options_.max_message) return Status::corrupt;
    if (in_.announced > most) return Status::too_large;
    in_.copy.assign(record.payload.begin(), record.payload.end());
    message = {in_.copy, record.type};
    return Status::ok;
  }

  /// Takes a part out of the ring, unless it belongs to a message longer than `most`.
  Status absorb(const ByteRing::Record& record, std::size_t most) {
    const Status status =
        in_.parts.take(record.type, record.payload, {options_.max_message, most}, in_.announced);
    if (status == Status::ok) release_record();
    return status;
  }

  /// Whether there is something to receive, without taking it: ok or empty, or corrupt.
  Status look() {
    for (int n = 0; !in_.parts.whole(); ++n) {
      if (n == kMostParts) return Status::empty;
      const auto record = in_.ring->try_peek();
      if (!record) return in_.ring->status();
      if (record->type != kNextPart) return Status::ok;
      if (const Status s = absorb(*record, SIZE_MAX); s != Status::ok) return s;
    }
    return Status::ok;
  }

  template <class Find>
  Status find_now(Find find) {
    if (const Status s = use(); s != Status::ok) [[unlikely]]
      return s;
    if (in_.held) [[unlikely]]
      throw std::logic_error("sluice: a message of this end is still being read in place");
    const Status status = find();
    if (status != Status::empty) return status;
    const Status end = end_in(state_of(*theirs_));
    const Status peer = end != Status::ok ? end : peer_or(Status::empty, in_.fruitless);
    if (peer == Status::empty) return Status::empty;
    // The peer's last message was committed before its end: looked for after that is known.
    const Status again = find();
    return again == Status::empty ? peer : again;
  }

  template <class Find>
  Status try_find(Find find) {
    const Status status = find_now(find);
    if (status == Status::empty && loop_ != nullptr) [[unlikely]]
      rearm();
    return status;
  }

  template <class Find>
  Status await_message(Deadline deadline, Find find) {
    Status status = deadline.is_now() ? try_find(find) : find_now(find);
    if (status != Status::empty) [[likely]]
      return status;
    if (deadline.is_now()) return Status::timeout;
    const Status waited = await(*data_, deadline, [&] {
      status = find();
      return status != Status::empty;
    });
    if (loop_ != nullptr) [[unlikely]] {
      // This call may have heard the bell that the loop waits for.
      waited == Status::timeout ? rearm() : loop_->set();
    }
    if (waited == Status::ok) return status;
    return waited == Status::timeout ? waited : ended_or(waited, waited, in_.fruitless);
  }

  /// A call has found nothing: from now on the descriptor is readable only once that may have
  /// changed.
  void rearm() {
    loop_->clear();
    in_bell_->silence();
    data_->announce();
    in_.fruitless = kLooks - 1;  // ask after the peer as well
    if (find_now([&] { return look(); }) != Status::empty) loop_->set();
  }

  SealedOptions options_;
  std::optional<UnixSocket> socket_;
  std::optional<UnixSocket> out_bell_;  ///< rung for what this side sends, and heard for room
  std::optional<UnixSocket> in_bell_;   ///< the other way round
  SealedMemory mine_;
  std::optional<SealedMemory> theirs_;
  // Checked once and kept.
  std::size_t capacity_ = 0;
  std::size_t max_in_place_ = 0;
  std::size_t max_message_ = 0;
  Outgoing out_;
  Incoming in_;
  std::optional<Lookout> data_;
  std::optional<Lookout> space_;
  std::optional<Bell> data_bell_;
  std::optional<Bell> space_bell_;
  std::unique_ptr<LoopDescriptor> loop_;  ///< once it has been asked for
  std::uint64_t maker_;
  std::weak_ptr<SealedChannel> other_;  ///< of a pair
  std::atomic<std::uint64_t> user_ = 0;
  std::atomic<bool> closed_ = false;
};

namespace {

void UsedEnds::add(SealedChannel* channel) {
  const std::lock_guard lock(s_mutex);
  s_ends.push_back(channel);
}

void UsedEnds::remove(SealedChannel* channel) noexcept {
  const std::lock_guard lock(s_mutex);
  std::erase(s_ends, channel);
}

void UsedEnds::in_child() {
  for (SealedChannel* const end : s_ends) end->drop_copies();
  s_ends.clear();
  s_mutex.unlock();
}

}  // namespace

// -------------------------------------------------------------------------------------------------

SealedEnd& SealedEnd::operator=(SealedEnd&& other) noexcept {
  if (this == &other) return *this;
  close();
  channel_ = std::move(other.channel_);
  return *this;
}

std::pair<std::shared_ptr<SealedChannel>, std::shared_ptr<SealedChannel>> SealedEnd::make_pair(
    const SealedOptions& options) {
  check_options(options);
  auto [one, two] = UnixSocket::pair();
  auto first = std::make_shared<SealedChannel>(std::move(one), options);
  auto second = std::make_shared<SealedChannel>(std::move(two), options);
  first->greet(Deadline::now());
  second->greet(Deadline::now());
  first->be_greeted(Deadline::now());
  second->be_greeted(Deadline::now());
  first->belongs_beside(second);
  second->belongs_beside(first);
  return {std::move(first), std::move(second)};
}

std::shared_ptr<SealedChannel> SealedEnd::shake_hands(UnixSocket socket,
                                                      const SealedOptions& options,
                                                      Deadline deadline) {
  check_options(options);
  auto channel = std::make_shared<SealedChannel>(std::move(socket), options);
  channel->greet(deadline);
  channel->be_greeted(deadline);
  static_cast<void>(channel->use());
  return channel;
}

void SealedEnd::close() noexcept {
  if (channel_ != nullptr) channel_->close();
}

bool SealedEnd::closed() const noexcept { return channel_ == nullptr || channel_->closed(); }

Status SealedEnd::status() noexcept {
  return channel_ == nullptr ? Status::closed : channel_->status();
}

PeerState SealedEnd::peer() const noexcept {
  if (closed()) return PeerState::closed;
  const Status status = channel_->peer_status();
  if (status == Status::ok) return PeerState::open;
  return status == Status::peer_died ? PeerState::died : PeerState::closed;
}

PeerCredentials SealedEnd::credentials() const {
  if (closed()) throw Error(Status::closed, {.tried = "ask who a closed connection's peer is"});
  return channel_->credentials();
}

std::size_t SealedEnd::capacity() const { return channel_ == nullptr ? 0 : channel_->capacity(); }
std::size_t SealedEnd::max_message() const {
  return channel_ == nullptr ? 0 : channel_->max_message();
}
std::size_t SealedEnd::max_in_place() const {
  return channel_ == nullptr ? 0 : channel_->max_in_place();
}

Status SealedEnd::send_fd(int fd, Deadline deadline) {
  return channel_ == nullptr ? Status::closed : channel_->send_fd(fd, deadline);
}
Status SealedEnd::recv_fd(UniqueFd& fd, Deadline deadline) {
  return channel_ == nullptr ? Status::closed : channel_->recv_fd(fd, deadline);
}

std::ostream& operator<<(std::ostream& out, const SealedEnd& end) {
  if (end.channel_ == nullptr) return out << "no sealed connection";
  if (end.closed()) return out << "sealed connection, closed by this process";
  const PeerCredentials peer = end.channel_->credentials();
  return out << "sealed connection to pid " << peer.pid << " of user " << peer.uid << ", peer "
             << end.peer() << ", " << end.capacity() << " bytes";
}

Status SealedEnd::claim_room(std::size_t size, std::span<std::byte>& room, Deadline deadline) {
  return channel_ == nullptr ? Status::closed : channel_->claim_room(size, room, deadline);
}
Status SealedEnd::try_claim_room(std::size_t size, std::span<std::byte>& room) {
  return channel_ == nullptr ? Status::closed : channel_->try_claim_room(size, room);
}
void SealedEnd::commit_record(std::uint32_t type, std::size_t size) noexcept {
  channel_->commit(type, size);
}
Status SealedEnd::send_record(std::uint32_t type, std::span<const std::byte> payload,
                              Deadline deadline) {
  return channel_ == nullptr ? Status::closed : channel_->send(type, payload, deadline);
}
Status SealedEnd::try_send_record(std::uint32_t type, std::span<const std::byte> payload) {
  return channel_ == nullptr ? Status::closed : channel_->try_send(type, payload);
}
std::vector<std::byte>& SealedEnd::scratch() {
  if (channel_ == nullptr) throw std::logic_error("sluice: this end was moved from");
  return channel_->scratch();
}

Status SealedEnd::wait_for_message(Message& message, Deadline deadline, std::size_t most) {
  return channel_ == nullptr ? Status::closed : channel_->wait_for_message(message, deadline, most);
}
Status SealedEnd::try_for_message(Message& message, std::size_t most) {
  return channel_ == nullptr ? Status::closed : channel_->try_for_message(message, most);
}
std::size_t SealedEnd::announced() const noexcept { return channel_->announced(); }
void SealedEnd::release() noexcept { channel_->release(); }
void SealedEnd::copy_out(const Message& message, std::vector<std::byte>& bytes) {
  channel_->copy_out(message, bytes);
}
void SealedEnd::copy_out(const Message& message, std::string& text) {
  text.resize(message.payload.size());
  std::copy(message.payload.begin(), message.payload.end(),
            std::as_writable_bytes(std::span(text)).begin());
}
bool SealedEnd::wait_for_anything(Deadline deadline) {
  return channel_ == nullptr || channel_->wait_for_anything(deadline);
}
Status SealedEnd::skip_message() { return channel_ == nullptr ? Status::closed : channel_->skip(); }

WaitHandle SealedEnd::receiving_handle() {
  if (closed()) throw Error(Status::closed, {.tried = "wait for a closed sealed connection"});
  channel_->refresh_descriptor();
  return WaitHandle(channel_->descriptor());
}
int SealedEnd::receiving_descriptor() {
  if (closed()) throw Error(Status::closed, {.tried = "wait for a closed sealed connection"});
  return channel_->descriptor();
}

bool& SealedEnd::held(Way way) {
  return way == Way::in ? channel_->held_in() : channel_->held_out();
}

}  // namespace sluice::internal
