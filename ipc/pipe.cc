// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/pipe.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <ostream>
#include <utility>

#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"

namespace sluice {
namespace internal {
namespace {

/// Held by every process in which an anonymous pipe's end may still be used for the first time:
/// plus the side's index.
constexpr off_t kOfferByte = Segment::kInUseByte + 16;

/// How often an end word may change under our eyes before we stop looking.
constexpr int kMostAttempts = 64;

void format_pipe(std::span<std::byte> object, std::size_t capacity, EndWord first) {
  auto* const control = attach_object<PipeControl>(object);
  for (auto& end : control->ends) {
    // Relaxed: the segment is published afterwards, which carries the order.
    RealEnv::store(end, first.packed(), std::memory_order_relaxed);
  }
  ByteRing::format(object.subspan(kPipeRingOffset), capacity);
}

std::size_t pipe_bytes(std::size_t capacity) {
  return kPipeRingOffset + ByteRing::bytes_for(capacity);
}

}  // namespace

/// What one process has of a pipe; shared by the handles of its two ends. In a forked child it is
/// an inherited copy: `made_by` is then somebody else.
class PipeChannel {
 public:
  static std::shared_ptr<PipeChannel> make_anonymous(std::size_t capacity) {
    const Tag me = participant::self();
    const EndWord offered = {EndState::offered, me};
    auto channel = std::make_shared<PipeChannel>(Segment::create_anonymous(
        kPipeKind, pipe_bytes(capacity),
        [&](std::span<std::byte> object) { format_pipe(object, capacity, offered); }));
    for (const PipeSide side : {PipeSide::receiver, PipeSide::sender}) {
      channel->offers_[index_of(side)] = FileHold::take(
          open_anew(channel->segment_.fd().get()), kOfferByte + static_cast<off_t>(side),
          FileHold::Mode::read, FileHold::OnFork::keep);
    }
    return channel;
  }

  /// Named pipes begin vacant.
  static Segment::Format format_vacant(std::size_t capacity) {
    return [capacity](std::span<std::byte> object) {
      format_pipe(object, capacity, EndWord{EndState::vacant, participant::kNobody});
    };
  }

  explicit PipeChannel(Segment segment)
      : segment_(std::move(segment)),
        control_(attach_object<PipeControl>(segment_.object())),
        made_by_(participant::self()) {
    if (control_ == nullptr) {
      throw Error(Status::corrupt, {.tried = "attach to pipe \"" + segment_.name() + "\"",
                                    .expected = "room for a pipe",
                                    .found = std::to_string(segment_.object().size()) + " bytes"});
    }
    capacity_ = ByteRing::capacity(ring());
    max_message_ = ByteRing::max_record(ring());
  }

  [[nodiscard]] const Segment& segment() const { return segment_; }
  [[nodiscard]] PipeControl& control() { return *control_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t max_message() const { return max_message_; }
  [[nodiscard]] std::span<std::byte> ring() const {
    return segment_.object().subspan(kPipeRingOffset);
  }

  [[nodiscard]] EndWord end(PipeSide side) const {
    // Acquire: what the end's owner wrote before it changed the word, its last message above all,
    // is seen by who looks at the ring again afterwards.
    return EndWord::unpack(
        RealEnv::load(control_->ends[index_of(side)], std::memory_order_acquire));
  }

  bool change_end(PipeSide side, EndWord from, EndWord to) {
    std::uint64_t expected = from.packed();
    // Acquire and release: pairs with end() and with the next owner's claim, which continues where
    // this one stopped.
    return RealEnv::cas(control_->ends[index_of(side)], expected, to.packed(),
                        std::memory_order_acq_rel);
  }

  /// Whether some process could still use this end for the first time.
  [[nodiscard]] bool is_offered(PipeSide side) const {
    return segment_.is_byte_held(kOfferByte + static_cast<off_t>(side));
  }

  /// This process will not be the one that uses `side` for the first time, or just has.
  void drop_offer(PipeSide side) {
    // Relaxed: only decides which thread resets the hold; nobody reads it afterwards.
    if (!offer_dropped_[index_of(side)].exchange(true, std::memory_order_relaxed)) {
      offers_[index_of(side)].reset();
    }
  }

  /// Offers that end when this process claims `side`: that end's, and if the pipe was inherited,
  /// that of the other end as well, lest a process wait for a copy of its own that it forgot.
  void drop_offers_on_claim(PipeSide side, Tag me) {
    drop_offer(side);
    if (me != made_by_) drop_offer(peer_of(side));
  }

  void notify_all() {
    control_->data.notify_all();
    control_->space.notify_all();
  }

  /// Who has claimed the side through this channel object, and whether its handle was closed. Both
  /// sequentially consistent where they meet: claim() writes one and reads the other, close() the
  /// other way round, and one of the two must notice.
  std::array<std::atomic<Tag>, 2> owner = {};
  std::array<std::atomic<bool>, 2> closed = {};
  /// Whether a call on the side is under way in this process; PipeEnd::Call and close().
  std::array<std::atomic<bool>, 2> in_call = {};

 private:
  Segment segment_;
  PipeControl* control_;
  // Checked once and kept: the words in memory may be anything by the next time.
  std::size_t capacity_ = 0;
  std::size_t max_message_ = 0;
  Tag made_by_;
  std::array<std::optional<FileHold>, 2> offers_;
  std::array<std::atomic<bool>, 2> offer_dropped_ = {};
};

PipeEnd::PipeEnd(std::shared_ptr<PipeChannel> channel, PipeSide side)
    : channel_(std::move(channel)), side_(side) {}

void PipeEnd::claim_or_throw() {
  if (const Status status = claim(); status != Status::ok) {
    throw Error(status, {.tried = "use an end of pipe \"" + channel_->segment().name() + "\"",
                         .expected = "an end that no living process uses",
                         .hint = "a pipe has one sender and one receiver; a queue has many"});
  }
}

PipeEnd::PipeEnd(PipeEnd&& other) noexcept = default;

PipeEnd& PipeEnd::operator=(PipeEnd&& other) noexcept {
  if (this == &other) return *this;
  close();
  if (channel_ != nullptr) end_stream();
  channel_ = std::move(other.channel_);
  side_ = other.side_;
  producer_ = std::move(other.producer_);
  consumer_ = std::move(other.consumer_);
  return *this;
}

PipeEnd::~PipeEnd() {
  close();
  if (channel_ != nullptr) end_stream();  // nobody is inside a call any more
}

PipeEnd::Call::Call(PipeEnd& end) noexcept : end_(end) {
  if (end_.channel_ == nullptr) return;
  // Relaxed: ordered before the call's look at `closed` by the barrier; see close().
  end_.channel_->in_call[index_of(end_.side_)].store(true, std::memory_order_relaxed);
  RealEnv::light_barrier();
}

PipeEnd::Call::~Call() {
  if (end_.channel_ == nullptr) return;
  // Release: what this call did in the ring comes before a close() that finds no call under way.
  end_.channel_->in_call[index_of(end_.side_)].store(false, std::memory_order_release);
  RealEnv::light_barrier();
  if (end_.closed()) [[unlikely]]
    end_.end_stream();
}

void PipeEnd::close() noexcept {
  if (channel_ == nullptr) return;
  const std::size_t side = index_of(side_);
  // Sequentially consistent: see PipeChannel::owner.
  if (channel_->closed[side].exchange(true)) return;
  channel_->notify_all();
  // The end may be taken over as soon as its word says closed, so not while another thread is at
  // work in the ring. The heavy barrier pairs with the light ones of Call: either we see its flag,
  // or it sees ours, when it begins or when it ends.
  const bool nobody_inside = RealEnv::heavy_barrier_within_process() &&
                             // Acquire: pairs with the release in ~Call().
                             !channel_->in_call[side].load(std::memory_order_acquire);
  if (nobody_inside) end_stream();
}

void PipeEnd::end_stream() noexcept {
  const Tag me = participant::self_if_attached();
  // Sequentially consistent: see PipeChannel::owner.
  if (me != participant::kNobody && channel_->owner[index_of(side_)].load() == me) {
    channel_->change_end(side_, {EndState::open, me}, {EndState::closed, me});
  } else {
    channel_->drop_offer(side_);
  }
  channel_->notify_all();
}

bool PipeEnd::closed() const noexcept {
  // Relaxed: a flag of this process; who waits is notified after it is set.
  return channel_ == nullptr || channel_->closed[index_of(side_)].load(std::memory_order_relaxed);
}

bool PipeEnd::is_mine() const noexcept {
  if (closed()) return false;
  // Relaxed: written by a thread that used this end before, in an order that the caller sees to.
  const Tag owner = channel_->owner[index_of(side_)].load(std::memory_order_relaxed);
  return owner != participant::kNobody && owner == participant::self_if_attached();
}

Status PipeEnd::claim() {
  if (closed()) return Status::closed;
  const Tag me = participant::self();
  EndWord found = channel_->end(side_);
  for (int attempt = 0;; ++attempt, found = channel_->end(side_)) {
    if (!found.is_valid()) return Status::corrupt;
    const bool taken = found.state == EndState::open &&
                       (found.tag == me || participant::probe(found.tag) != Liveness::dead);
    if (taken || attempt == kMostAttempts) return Status::busy;
    if (channel_->change_end(side_, found, {EndState::open, me})) break;
  }
  channel_->drop_offers_on_claim(side_, me);
  Status status = Status::ok;
  try {
    if (side_ == PipeSide::sender) producer_.emplace(channel_->ring());
    if (side_ == PipeSide::receiver) consumer_.emplace(channel_->ring());
  } catch (const Error&) {
    status = Status::corrupt;
  }
  // Sequentially consistent: see PipeChannel::owner.
  channel_->owner[index_of(side_)].store(me);
  if (channel_->closed[index_of(side_)].load()) status = Status::closed;
  if (status != Status::ok) {
    channel_->owner[index_of(side_)].store(participant::kNobody);
    channel_->change_end(side_, {EndState::open, me}, {EndState::closed, me});
  }
  return status;
}

Status PipeEnd::peer_status() const noexcept {
  const PipeSide peer = peer_of(side_);
  EndWord found = channel_->end(peer);
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    if (found.state == EndState::vacant) return Status::ok;
    if (found.state == EndState::closed) return Status::closed;
    if (found.state == EndState::open) {
      if (participant::probe(found.tag) != Liveness::dead) return Status::ok;
      return participant::has_left(found.tag) ? Status::closed : Status::peer_died;
    }
    if (found.state != EndState::offered) return Status::corrupt;
    if (channel_->is_offered(peer)) return Status::ok;
    // Nobody is left who could begin to use it, unless somebody just has.
    const EndWord again = channel_->end(peer);
    if (again.packed() == found.packed()) return Status::closed;
    found = again;
  }
  return Status::ok;
}

Status PipeEnd::status() noexcept {
  if (closed()) return Status::closed;
  const Status peer = peer_status();
  if (peer == Status::ok || side_ == PipeSide::sender) return peer;
  try {
    // A reader of its own, which takes nothing: this end may not have been used yet.
    return ByteRing::Consumer(channel_->ring()).try_peek() ? Status::ok : peer;
  } catch (const Error&) {
    return Status::corrupt;
  }
}

Status PipeEnd::peer_or(Status otherwise) noexcept {
  if (++fruitless_ % kLooks != 0) return otherwise;
  return ended_or(peer_status(), otherwise);
}

Status PipeEnd::ended_or(Status peer, Status otherwise) noexcept {
  if (peer == Status::ok) return otherwise;
  fruitless_ = kLooks - 1;  // an end that was seen is looked at again at once
  return peer;
}

std::size_t PipeEnd::capacity() const { return channel_ == nullptr ? 0 : channel_->capacity(); }

std::size_t PipeEnd::max_message() const {
  return channel_ == nullptr ? 0 : channel_->max_message();
}

UniqueFd PipeEnd::fd() const {
  if (channel_ == nullptr) {
    throw Error::from_errno(EBADF, {.tried = "get a descriptor of a pipe end that was moved from"});
  }
  return channel_->segment().fd();
}

std::ostream& operator<<(std::ostream& out, const PipeEnd& end) {
  out << (end.side_ == PipeSide::sender ? "sender of " : "receiver of ");
  if (end.channel_ == nullptr) return out << "no pipe";
  const std::string& name = end.channel_->segment().name();
  out << (name.empty() ? "an anonymous pipe" : "pipe \"" + name + "\"");
  const EndWord word = end.channel_->end(end.side_);
  constexpr std::array<std::string_view, 4> kStates = {"vacant", "offered", "open", "closed"};
  out << ", " << (word.is_valid() ? kStates[static_cast<std::size_t>(word.state)] : "corrupt");
  if (word.tag != participant::kNobody) out << " by tag " << word.tag;
  return out << ", " << end.capacity() << " bytes";
}

namespace {

std::shared_ptr<PipeChannel> create_channel(std::string_view name, std::size_t capacity,
                                            Lifetime lifetime) {
  return std::make_shared<PipeChannel>(Segment::create(
      name, kPipeKind, pipe_bytes(capacity), lifetime, PipeChannel::format_vacant(capacity)));
}

std::shared_ptr<PipeChannel> open_channel(std::string_view name) {
  return std::make_shared<PipeChannel>(Segment::open(name, kPipeKind));
}

std::shared_ptr<PipeChannel> open_or_create_channel(std::string_view name, std::size_t capacity,
                                                    Lifetime lifetime) {
  return std::make_shared<PipeChannel>(Segment::open_or_create(
      name, kPipeKind, pipe_bytes(capacity), lifetime, PipeChannel::format_vacant(capacity)));
}

std::shared_ptr<PipeChannel> channel_from_fd(UniqueFd fd) {
  return std::make_shared<PipeChannel>(Segment::from_fd(std::move(fd), kPipeKind));
}

template <class Container>
void copy_out(std::span<const std::byte> payload, Container& container) {
  container.resize(payload.size());
  std::copy(payload.begin(), payload.end(), std::as_writable_bytes(std::span(container)).begin());
}

}  // namespace
}  // namespace internal

using internal::EndState;
using internal::PipeChannel;
using internal::PipeSide;

Sender::Sender(std::shared_ptr<PipeChannel> channel)
    : PipeEnd(std::move(channel), PipeSide::sender) {}

Receiver::Receiver(std::shared_ptr<PipeChannel> channel)
    : PipeEnd(std::move(channel), PipeSide::receiver) {}

Pipe Pipe::create(std::size_t capacity) {
  auto channel = PipeChannel::make_anonymous(capacity);
  return {Receiver(channel), Sender(channel)};
}

Status Sender::write(std::uint32_t type, std::span<const std::byte> payload) noexcept {
  if (channel_->end(PipeSide::receiver).state == EndState::closed) [[unlikely]] {
    return Status::closed;
  }
  const Status status = producer_->try_write(type, payload);
  if (status == Status::ok) [[likely]]
    channel_->control().data.notify_all();
  return status;
}

Status Sender::send_record(std::uint32_t type, std::span<const std::byte> payload,
                           Deadline deadline) {
  const Call call(*this);
  if (!is_mine()) [[unlikely]] {
    if (const Status s = claim(); s != Status::ok) return s;
  }
  for (;;) {
    const Status status = write(type, payload);
    if (status != Status::full) [[likely]]
      return status;
    const auto ready = [&] {
      return closed() || producer_->try_claim(payload.size()) ||
             producer_->status() != Status::full;
    };
    const Status waited =
        channel_->control().space.await(deadline, ready, [&] { return peer_status(); });
    if (closed()) return Status::closed;
    if (waited != Status::ok) return waited == Status::timeout ? waited : ended_or(waited, waited);
  }
}

Status Sender::try_send_record(std::uint32_t type, std::span<const std::byte> payload) {
  const Call call(*this);
  if (!is_mine()) [[unlikely]] {
    if (const Status s = claim(); s != Status::ok) return s;
  }
  const Status status = write(type, payload);
  return status == Status::full ? peer_or(Status::full) : status;
}

Status Receiver::peek(ByteRing::Record& record) noexcept {
  const auto found = consumer_->try_peek();
  if (!found) return consumer_->status();
  record = *found;
  return Status::ok;
}

Receiver& Receiver::operator=(Receiver&& other) noexcept {
  if (this == &other) return *this;
  descriptor_.reset();  // while the memory of the words it watches is there
  PipeEnd::operator=(std::move(other));
  descriptor_ = std::move(other.descriptor_);
  return *this;
}

Status Receiver::try_for_message(ByteRing::Record& record) {
  const Status status = look_for_message(record);
  if (status == Status::empty) rearm_descriptor();
  return status;
}

Status Receiver::look_for_message(ByteRing::Record& record) {
  if (!is_mine()) [[unlikely]] {
    if (const Status s = claim(); s != Status::ok) return s;
  }
  const Status status = peek(record);
  if (status != Status::empty) return status;
  const bool closed_by_peer = channel_->end(PipeSide::sender).state == EndState::closed;
  const Status peer = closed_by_peer ? Status::closed : peer_or(Status::empty);
  if (peer == Status::empty) return peer;
  // The peer's last message was committed before it closed or died: looked for after that is known.
  const Status again = peek(record);
  return again == Status::empty ? peer : again;
}

Status Receiver::wait_for_message(ByteRing::Record& record, Deadline deadline) {
  if (deadline.is_now()) {
    const Status found = try_for_message(record);
    return found == Status::empty ? Status::timeout : found;
  }
  if (!is_mine()) [[unlikely]] {
    if (const Status s = claim(); s != Status::ok) return s;
  }
  Status status = peek(record);
  if (status != Status::empty) [[likely]]
    return status;
  const auto ready = [&] {
    status = peek(record);
    return closed() || status != Status::empty;
  };
  const Status waited =
      channel_->control().data.await(deadline, ready, [&] { return peer_status(); });
  if (closed()) return Status::closed;
  if (waited == Status::ok) return status;
  if (waited != Status::timeout) return ended_or(waited, waited);
  rearm_descriptor();
  return waited;
}

void Receiver::release() noexcept {
  consumer_->release();
  channel_->control().space.notify_all();
}

Status Receiver::take(Status found, const ByteRing::Record& record,
                      std::vector<std::byte>& message) {
  if (found != Status::ok) return found;
  internal::copy_out(record.payload, message);
  release();
  return Status::ok;
}

Status Receiver::take(Status found, const ByteRing::Record& record, std::string& text) {
  if (found != Status::ok) return found;
  internal::copy_out(record.payload, text);
  release();
  return Status::ok;
}

Status Receiver::take(Status found, const ByteRing::Record& record, ValueRoom room) {
  if (found != Status::ok) return found;
  if (record.type != room.type || record.payload.size() != room.bytes.size()) {
    return Status::mismatch;
  }
  std::copy(record.payload.begin(), record.payload.end(), room.bytes.begin());
  release();
  return Status::ok;
}

RecvResult Receiver::recv_into(std::span<std::byte> room, Deadline deadline) {
  const Call call(*this);
  ByteRing::Record record;
  const Status status = wait_for_message(record, deadline);
  if (status != Status::ok) return {status, 0};
  if (record.payload.size() > room.size()) return {Status::too_large, record.payload.size()};
  std::copy(record.payload.begin(), record.payload.end(), room.begin());
  release();
  return {Status::ok, record.payload.size()};
}

Status Receiver::look(void* receiver, WaitHandle::Look how) {
  auto& self = *static_cast<Receiver*>(receiver);
  if (self.closed()) return Status::closed;
  const Call call(self);
  ByteRing::Record record;
  // With `thorough` the peer is asked now, not only every so often.
  if (how == WaitHandle::Look::thorough) self.fruitless_ = kLooks - 1;
  return self.look_for_message(record) == Status::empty ? Status::empty : Status::ok;
}

UniqueFd Receiver::peer_pidfd(void* receiver) {
  const auto peer = static_cast<Receiver*>(receiver)->channel_->end(PipeSide::sender);
  return peer.state == EndState::open ? participant::open_pidfd(peer.tag) : UniqueFd();
}

WaitHandle Receiver::wait_handle() {
  if (channel_ == nullptr) {
    throw Error(Status::closed, {.tried = "wait for a receiver that was moved from"});
  }
  static constexpr WaitHandle::Operations kOperations = {look, peer_pidfd};
  return {this, kOperations, channel_->control().data};
}

int Receiver::descriptor() {
  if (descriptor_ == nullptr || !descriptor_->is_of_this_process()) {
    descriptor_ = std::make_unique<internal::ReadyDescriptor>();
  }
  return descriptor_->get();
}

bool Receiver::poll(Deadline deadline) {
  const Call call(*this);
  ByteRing::Record record;
  return wait_for_message(record, deadline) != Status::timeout;
}

Status Receiver::skip() {
  const Call call(*this);
  ByteRing::Record record;
  const Status status = try_for_message(record);
  if (status == Status::ok) release();
  return status;
}

void Receiver::throw_unless_ended(Status status) {
  if (status == Status::closed || status == Status::peer_died) return;
  throw Error(status, {.tried = "receive a value from a pipe",
                       .hint = "recv(T&) reports this as a Status"});
}

Sender Sender::create(std::string_view name, std::size_t capacity, Lifetime lifetime) {
  return claimed<Sender>(internal::create_channel(name, capacity, lifetime));
}

Sender Sender::open(std::string_view name) { return claimed<Sender>(internal::open_channel(name)); }

Sender Sender::open_or_create(std::string_view name, std::size_t capacity, Lifetime lifetime) {
  return claimed<Sender>(internal::open_or_create_channel(name, capacity, lifetime));
}

Sender Sender::from_fd(UniqueFd fd) {
  return claimed<Sender>(internal::channel_from_fd(std::move(fd)));
}

Receiver Receiver::create(std::string_view name, std::size_t capacity, Lifetime lifetime) {
  return claimed<Receiver>(internal::create_channel(name, capacity, lifetime));
}

Receiver Receiver::open(std::string_view name) {
  return claimed<Receiver>(internal::open_channel(name));
}

Receiver Receiver::open_or_create(std::string_view name, std::size_t capacity, Lifetime lifetime) {
  return claimed<Receiver>(internal::open_or_create_channel(name, capacity, lifetime));
}

Receiver Receiver::from_fd(UniqueFd fd) {
  return claimed<Receiver>(internal::channel_from_fd(std::move(fd)));
}

}  // namespace sluice
