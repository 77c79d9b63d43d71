// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/pipe_end.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "sluice/ipc/message_parts.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/pipe_use.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"

namespace sluice {
namespace internal {
namespace {

/// Held by every process in which an anonymous end may still be used for the first time: plus the
/// side's index.
constexpr off_t kOfferByte = Segment::kInUseByte + 16;

/// How often an end word may change under our eyes before we stop looking.
constexpr int kMostAttempts = 64;

std::size_t rings_offset(bool duplex) { return duplex ? kConnectionRingOffset : kPipeRingOffset; }

std::size_t object_bytes(const PipePlan& plan) {
  return rings_offset(plan.duplex) + (plan.duplex ? 2 : 1) * ByteRing::bytes_for(plan.capacity);
}

const SegmentKind& kind_of(bool duplex) { return duplex ? kConnectionKind : kPipeKind; }

/// What a new pipe or connection looks like, with both ends `first`.
Segment::Format format_as(const PipePlan& plan, EndWord first) {
  return [plan, first](std::span<std::byte> object) {
    for (auto& end : *attach_object<EndWords>(object)) {
      // Relaxed: the segment is published afterwards, which carries the order.
      RealEnv::store(end, first.packed(), std::memory_order_relaxed);
    }
    const std::size_t ring = ByteRing::bytes_for(plan.capacity);
    const auto rings = object.subspan(rings_offset(plan.duplex));
    ByteRing::format(rings.first(ring), plan.capacity);
    if (!plan.duplex) return;
    ByteRing::format(rings.subspan(ring, ring), plan.capacity);
    // Relaxed: as above.
    RealEnv::store(attach_object<ConnectionControl>(object)->max_message,
                   std::uint64_t{plan.max_message}, std::memory_order_relaxed);
  };
}

constexpr EndWord kVacant = {EndState::vacant, participant::kNobody};

/// The end's wait policy, if it has one of its own, for the time of one wait.
class EndPolicy {
 public:
  explicit EndPolicy(const std::optional<WaitPolicy>& policy) {
    if (policy) scope_.emplace(*policy);
  }

 private:
  std::optional<ScopedWaitPolicy> scope_;
};

}  // namespace

/// What one process has of a pipe or of a connection; shared by the handles of its two ends. In a
/// forked child it is an inherited copy: `made_by` is then somebody else.
class PipeChannel {
 public:
  static std::shared_ptr<PipeChannel> make_anonymous(const PipePlan& plan) {
    const EndWord offered = {EndState::offered, participant::self()};
    auto channel = std::make_shared<PipeChannel>(
        Segment::create_anonymous(kind_of(plan.duplex), object_bytes(plan),
                                  format_as(plan, offered)),
        plan.duplex);
    for (const PipeSide side : {PipeSide::first, PipeSide::second}) {
      channel->offers_[index_of(side)] = FileHold::take(
          open_anew(channel->segment_.fd().get()), kOfferByte + static_cast<off_t>(side),
          FileHold::Mode::read, FileHold::OnFork::keep);
    }
    return channel;
  }

  PipeChannel(Segment segment, bool duplex)
      : segment_(std::move(segment)), duplex_(duplex), made_by_(participant::self()) {
    const auto object = segment_.object();
    const std::size_t offset = rings_offset(duplex);
    if (object.size() <= offset) refuse("room for its parts", object.size());
    ends_ = attach_object<EndWords>(object);
    for (const PipeSide side : {PipeSide::first, PipeSide::second}) {
      noted_[index_of(side)].peer = &(*ends_)[index_of(peer_of(side))];
    }
    rings_[0] = object.subspan(offset);
    capacity_ = ByteRing::capacity(rings_[0]);
    max_in_place_ = ByteRing::max_record(rings_[0]);
    max_message_ = max_in_place_;
    if (duplex) {
      attach_connection(object);
    } else {
      auto* const control = attach_object<PipeControl>(object);
      data_[0] = &control->data;
      space_[0] = &control->space;
    }
  }

  [[nodiscard]] const Segment& segment() const { return segment_; }
  [[nodiscard]] bool is_duplex() const { return duplex_; }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t max_in_place() const { return max_in_place_; }
  [[nodiscard]] std::size_t max_message() const { return max_message_; }

  /// The direction in which `side` receives, or that in which it sends: a ring, or none.
  [[nodiscard]] std::span<std::byte> ring(PipeSide side, Way way) const {
    return rings_[lane(side, way)];
  }
  [[nodiscard]] EventCount& data(PipeSide side, Way way) { return *data_[lane(side, way)]; }
  [[nodiscard]] EventCount& space(PipeSide side, Way way) { return *space_[lane(side, way)]; }

  [[nodiscard]] EndWord end(PipeSide side) const {
    // Acquire: what the end's owner wrote before it changed the word, its last message above all,
    // is seen by who looks at the ring again afterwards.
    return EndWord::unpack(RealEnv::load((*ends_)[index_of(side)], std::memory_order_acquire));
  }

  bool change_end(PipeSide side, EndWord from, EndWord to) {
    std::uint64_t expected = from.packed();
    // Acquire and release: pairs with end() and with the next owner's claim, which continues where
    // this one stopped.
    return RealEnv::cas((*ends_)[index_of(side)], expected, to.packed(), std::memory_order_acq_rel);
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
    for (EventCount* const count : {data_[0], space_[0], data_[1], space_[1]}) {
      if (count != nullptr) count->notify_all();
    }
  }

  [[nodiscard]] PipeUse& noted(PipeSide side) { return noted_[index_of(side)]; }

 private:
  static std::size_t lane(PipeSide side, Way way) {
    return index_of(way == Way::in ? side : peer_of(side));
  }

  [[noreturn]] void refuse(const std::string& expected, std::uint64_t found) const {
    throw Error(Status::corrupt, {.tried = "attach to " + segment_.stamp().kind_name() + " \"" +
                                           segment_.name() + "\"",
                                  .expected = expected,
                                  .found = std::to_string(found)});
  }

  void attach_connection(std::span<std::byte> object) {
    auto* const control = attach_object<ConnectionControl>(object);
    // The capacity was checked against the bytes that there are; the second ring has the rest.
    const std::size_t ring = ByteRing::bytes_for(capacity_);
    rings_[1] = rings_[0].subspan(ring);
    rings_[0] = rings_[0].first(ring);
    if (ByteRing::capacity(rings_[1]) != capacity_) refuse("two rings of one size", capacity_);
    // Relaxed: written before the segment was published, and copied here once.
    const auto most = RealEnv::load(control->max_message, std::memory_order_relaxed);
    if (most == 0 || most > kLargestMessage) refuse("a longest message of 1 to 2^32-1 bytes", most);
    max_message_ = most;
    max_in_place_ = std::min(max_in_place_, max_message_);
    for (const std::size_t i : {0, 1}) {
      data_[i] = &control->lanes[i].data;
      space_[i] = &control->lanes[i].space;
    }
  }

  Segment segment_;
  bool duplex_;
  EndWords* ends_ = nullptr;
  std::array<PipeUse, 2> noted_;
  // By the side that receives; a pipe has the first of each.
  std::array<std::span<std::byte>, 2> rings_;
  std::array<EventCount*, 2> data_ = {};
  std::array<EventCount*, 2> space_ = {};
  // Checked once and kept: the words in memory may be anything by the next time.
  std::size_t capacity_ = 0;
  std::size_t max_in_place_ = 0;
  std::size_t max_message_ = 0;
  Tag made_by_;
  std::array<std::optional<FileHold>, 2> offers_;
  std::array<std::atomic<bool>, 2> offer_dropped_ = {};
};

// -------------------------------------------------------------------------------------------------
// Whose an end is

PipeEnd::PipeEnd(std::shared_ptr<PipeChannel> channel, PipeSide side)
    : channel_(std::move(channel)),
      noted_(&channel_->noted(side)),
      max_in_place_(channel_->max_in_place()),
      side_(side) {}

void PipeEnd::claim_or_throw() {
  if (const Status status = claim(); status != Status::ok) {
    throw Error(status, {.tried = "use an end of " + channel_->segment().stamp().kind_name() +
                                  " \"" + channel_->segment().name() + "\"",
                         .expected = "an end that no living process uses",
                         .hint = "an end has one user at a time; a queue has many"});
  }
}

PipeEnd::PipeEnd(PipeEnd&& other) noexcept
    : channel_(std::move(other.channel_)),
      noted_(std::exchange(other.noted_, nullptr)),
      max_in_place_(std::exchange(other.max_in_place_, 0)),
      side_(other.side_),
      wait_policy_(other.wait_policy_),
      out_(std::move(other.out_)),
      in_(std::move(other.in_)),
      descriptor_(std::move(other.descriptor_)) {}

PipeEnd& PipeEnd::operator=(PipeEnd&& other) noexcept {
  if (this == &other) return *this;
  descriptor_.reset();  // while the memory of the words it watches is there
  close();
  if (channel_ != nullptr) end_stream();
  channel_ = std::move(other.channel_);
  noted_ = std::exchange(other.noted_, nullptr);
  max_in_place_ = std::exchange(other.max_in_place_, 0);
  side_ = other.side_;
  wait_policy_ = other.wait_policy_;
  out_ = std::move(other.out_);
  in_ = std::move(other.in_);
  descriptor_ = std::move(other.descriptor_);
  return *this;
}

PipeEnd::~PipeEnd() {
  close();
  if (channel_ != nullptr) end_stream();  // nobody is inside a call any more
}

void PipeEnd::end_after_call() noexcept {
  // A call the other way may be ending as well: of the two stores and the two looks, the fence lets
  // at least one look see both stores.
  RealEnv::fence();
  if (!noted_->calls_under_way()) end_stream();
}

void PipeEnd::close() noexcept {
  if (channel_ == nullptr) return;
  // Sequentially consistent: see PipeUse::owner.
  if (noted_->closed.exchange(true)) return;
  channel_->notify_all();
  // The end may be taken over as soon as its word says closed, so not while another thread is at
  // work in the ring. The heavy barrier pairs with the light ones of Call: either we see its flag,
  // or it sees ours, when it begins or when it ends.
  const bool nobody_inside = RealEnv::heavy_barrier_within_process() && !noted_->calls_under_way();
  if (nobody_inside) end_stream();
}

void PipeEnd::end_stream() noexcept {
  const Tag me = participant::self_if_attached();
  // Sequentially consistent: see PipeUse::owner. Once: this process may have claimed the end
  // again by now, through another handle.
  const Tag owner = noted_->owner.exchange(participant::kNobody);
  if (me != participant::kNobody && owner == me) {
    channel_->change_end(side_, {EndState::open, me}, {EndState::closed, me});
  } else {
    channel_->drop_offer(side_);
  }
  channel_->notify_all();
}

Status PipeEnd::claim() {
  if (closed()) return Status::closed;
  const Tag me = participant::self();
  EndWord found = channel_->end(side_);
  for (int attempt = 0;; ++attempt, found = channel_->end(side_)) {
    if (!found.is_valid()) return Status::corrupt;
    const bool mine = found.state == EndState::open && found.tag == me;
    const bool taken =
        found.state == EndState::open && !mine && participant::probe(found.tag) != Liveness::dead;
    if (taken || attempt == kMostAttempts) return Status::busy;
    if (mine) {
      // Another handle of this process, or another thread that is about to say so.
      if (is_mine()) return Status::ok;
      sched_yield();
      continue;
    }
    if (channel_->change_end(side_, found, {EndState::open, me})) break;
  }
  channel_->drop_offers_on_claim(side_, me);
  Status status = take_rings();
  // Sequentially consistent: see PipeUse::owner.
  noted_->owner.store(me);
  if (noted_->closed.load()) status = Status::closed;
  if (status != Status::ok) {
    noted_->owner.store(participant::kNobody);
    channel_->change_end(side_, {EndState::open, me}, {EndState::closed, me});
  }
  return status;
}

Status PipeEnd::take_rings() {
  try {
    if (const auto ring = channel_->ring(side_, Way::out); !ring.empty()) {
      out_.ring.emplace(ring);
      out_.data = &channel_->data(side_, Way::out);
    }
    if (const auto ring = channel_->ring(side_, Way::in); !ring.empty()) {
      in_.ring.emplace(ring);
      in_.space = &channel_->space(side_, Way::in);
    }
  } catch (const Error&) {
    return Status::corrupt;
  }
  // What a parent had begun to receive is not this process's.
  in_.parts.forget();
  return Status::ok;
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
  const auto ring = channel_->ring(side_, Way::in);
  if (peer == Status::ok || ring.empty() || in_.parts.whole())
    return in_.parts.whole() ? Status::ok : peer;
  try {
    // A reader of its own, which takes nothing: this end may not have been used yet.
    return ByteRing::Consumer(ring).try_peek() ? Status::ok : peer;
  } catch (const Error&) {
    return Status::corrupt;
  }
}

PeerState PipeEnd::peer() const noexcept {
  if (channel_ == nullptr) return PeerState::closed;
  const Status status = peer_status();
  if (status == Status::ok) return PeerState::open;
  return status == Status::peer_died ? PeerState::died : PeerState::closed;
}

Status PipeEnd::peer_or(Status otherwise, std::uint32_t& fruitless) noexcept {
  if (++fruitless % kLooks != 0) return otherwise;
  return ended_or(peer_status(), otherwise, fruitless);
}

Status PipeEnd::ended_or(Status peer, Status otherwise, std::uint32_t& fruitless) noexcept {
  if (peer == Status::ok) return otherwise;
  fruitless = kLooks - 1;  // an end that was seen is looked at again at once
  return peer;
}

std::size_t PipeEnd::capacity() const { return channel_ == nullptr ? 0 : channel_->capacity(); }

std::size_t PipeEnd::max_message() const {
  return channel_ == nullptr ? 0 : channel_->max_message();
}

void PipeEnd::set_wait_policy(WaitPolicy policy) {
  const ScopedWaitPolicy valid(policy);
  wait_policy_ = policy;
}

std::string PipeEnd::refusal(std::size_t size) const {
  const bool duplex = channel_ != nullptr && channel_->is_duplex();
  return "a message of " + std::to_string(size) + " bytes, above the longest of " +
         std::to_string(max_message()) + " that this " + (duplex ? "connection" : "pipe") +
         " takes";
}

UniqueFd PipeEnd::fd() const {
  if (channel_ == nullptr) {
    throw Error::from_errno(EBADF, {.tried = "get a descriptor of a pipe end that was moved from"});
  }
  return channel_->segment().fd();
}

UniqueFd PipeEnd::fd_to_hand_on() const {
  UniqueFd fd = this->fd();
  if (is_mine()) {
    throw Error(Status::busy, {.tried = "hand on an end of a pipe or connection",
                               .expected = "one that was not used yet",
                               .found = "one that belongs to this process",
                               .hint = "send an end before its first use"});
  }
  if (!channel_->segment().name().empty()) return fd;  // by its name somebody may always come
  // A description of its own, whose lock lasts as long as there is a descriptor of it.
  fd = open_anew(fd.get());
  struct flock offer = {};
  offer.l_type = F_RDLCK;
  offer.l_whence = SEEK_SET;
  offer.l_start = kOfferByte + static_cast<off_t>(side_);
  offer.l_len = 1;
  if (fcntl(fd.get(), F_OFD_SETLK, &offer) != 0) {
    throw Error::from_errno(errno, {.tried = "hand on an end of a pipe or connection"});
  }
  return fd;
}

std::ostream& operator<<(std::ostream& out, const PipeEnd& end) {
  const bool duplex = end.channel_ != nullptr && end.channel_->is_duplex();
  if (duplex) {
    out << (end.side_ == PipeSide::first ? "first end of " : "second end of ");
  } else {
    out << (end.side_ == PipeSide::sender ? "sender of " : "receiver of ");
  }
  if (end.channel_ == nullptr) return out << "no pipe";
  const std::string& name = end.channel_->segment().name();
  const std::string kind = duplex ? "connection" : "pipe";
  out << (name.empty() ? "an anonymous " + kind : kind + " \"" + name + "\"");
  const EndWord word = end.channel_->end(end.side_);
  constexpr std::array<std::string_view, 4> kStates = {"vacant", "offered", "open", "closed"};
  out << ", " << (word.is_valid() ? kStates[static_cast<std::size_t>(word.state)] : "corrupt");
  if (word.tag != participant::kNobody) out << " by tag " << word.tag;
  return out << ", " << end.capacity() << " bytes";
}

std::shared_ptr<PipeChannel> PipeEnd::make_anonymous(const PipePlan& plan) {
  return PipeChannel::make_anonymous(plan);
}

std::shared_ptr<PipeChannel> PipeEnd::make(std::string_view name, const PipePlan& plan,
                                           Lifetime lifetime) {
  return std::make_shared<PipeChannel>(
      Segment::create(name, kind_of(plan.duplex), object_bytes(plan), lifetime,
                      format_as(plan, kVacant)),
      plan.duplex);
}

std::shared_ptr<PipeChannel> PipeEnd::open(std::string_view name, bool duplex) {
  return std::make_shared<PipeChannel>(Segment::open(name, kind_of(duplex)), duplex);
}

std::shared_ptr<PipeChannel> PipeEnd::open_or_make(std::string_view name, const PipePlan& plan,
                                                   Lifetime lifetime) {
  return std::make_shared<PipeChannel>(
      Segment::open_or_create(name, kind_of(plan.duplex), object_bytes(plan), lifetime,
                              format_as(plan, kVacant)),
      plan.duplex);
}

std::shared_ptr<PipeChannel> PipeEnd::attach(UniqueFd fd, bool duplex) {
  return std::make_shared<PipeChannel>(Segment::from_fd(std::move(fd), kind_of(duplex)), duplex);
}

// -------------------------------------------------------------------------------------------------
// Sending

void PipeEnd::check_not_held(Way way) const {
  if (way == Way::out ? out_.held : in_.held) [[unlikely]] {
    throw std::logic_error(way == Way::out
                               ? "sluice: a reservation of this end is still open: commit it first"
                               : "sluice: a message of this end is still being read in place: "
                                 "release it first");
  }
}

Status PipeEnd::refuse(std::size_t size) noexcept {
  out_.refused = size;
  return Status::too_large;
}

void PipeEnd::throw_unless_sent(Status status) const {
  if (status == Status::ok) return;
  std::ostringstream end;
  end << *this;
  ErrorText text = {.tried = "send through the " + end.str()};
  if (status == Status::too_large) {
    text.expected = "at most " + std::to_string(max_message()) + " bytes";
    text.found = "a message of " + std::to_string(out_.refused);
    text.hint = channel_->is_duplex() ? "make the connection with a larger max_message"
                                      : "make the pipe with a larger capacity, or use a connection";
  }
  throw Error(status, std::move(text));
}

Status PipeEnd::look_for_room(std::size_t size, std::span<std::byte>& room) {
  if (const Status s = use(); s != Status::ok) [[unlikely]]
    return s;
  check_not_held(Way::out);
  if (size > max_in_place()) [[unlikely]]
    return refuse(size);
  if (peer_has_closed()) return Status::closed;
  const auto found = out_.ring->try_claim(size);
  if (!found) [[unlikely]] {
    const Status status = out_.ring->status();
    return status == Status::full ? peer_or(Status::full, out_.fruitless) : status;
  }
  room = *found;
  return Status::ok;
}

Status PipeEnd::wait_for_room(std::size_t size, std::span<std::byte>& room, Deadline deadline) {
  for (;;) {
    const Status status = look_for_room(size, room);
    if (status != Status::full) return status;
    const auto ready = [&] {
      return closed() || out_.ring->try_claim(size) || out_.ring->status() != Status::full;
    };
    const EndPolicy policy(wait_policy_);
    const Status waited =
        channel_->space(side_, Way::out).await(deadline, ready, [&] { return peer_status(); });
    if (closed()) return Status::closed;
    if (waited != Status::ok) {
      return waited == Status::timeout ? waited : ended_or(waited, waited, out_.fruitless);
    }
  }
}

Status PipeEnd::send_slowly(std::uint32_t type, std::span<const std::byte> payload,
                            Deadline deadline) {
  const Call call(*this, Way::out);
  if (payload.size() > max_in_place()) return send_parts(type, payload, deadline);
  std::span<std::byte> room;
  const Status status = wait_for_room(payload.size(), room, deadline);
  if (status != Status::ok) return status;
  copy_bytes(room.data(), payload.data(), payload.size());
  commit_record(type, payload.size());
  return Status::ok;
}

Status PipeEnd::try_send_slowly(std::uint32_t type, std::span<const std::byte> payload) {
  const Call call(*this, Way::out);
  std::span<std::byte> room;
  const Status status = look_for_room(payload.size(), room);
  if (status != Status::ok) return status;
  copy_bytes(room.data(), payload.data(), payload.size());
  commit_record(type, payload.size());
  return Status::ok;
}

Status PipeEnd::send_parts(std::uint32_t type, std::span<const std::byte> payload,
                           Deadline deadline) {
  if (const Status s = use(); s != Status::ok) return s;
  if (payload.size() > max_message()) return refuse(payload.size());
  return send_in_parts(
      type, payload, part_size(channel_->capacity(), max_in_place()),
      [&](std::size_t size, std::span<std::byte>& room) {
        return claim_room(size, room, deadline);
      },
      [&](std::uint32_t part, std::size_t size) { commit_record(part, size); });
}

std::vector<std::byte>& PipeEnd::scratch() {
  if (out_.scratch.capacity() > kScratchKept) out_.scratch = {};
  out_.scratch.clear();
  return out_.scratch;
}

// -------------------------------------------------------------------------------------------------
// Receiving

/// The next message that is there: a record, or the last of its parts.
Status PipeEnd::next(Message& message, std::size_t most) {
  if (in_.parts.begun()) [[unlikely]]
    return next_in_parts(message, most);
  const auto record = in_.ring->try_peek();
  if (!record) return in_.ring->status();
  if (is_part(record->type)) [[unlikely]]
    return next_in_parts(message, most);
  return found_record(*record, message, most);
}

Status PipeEnd::found_record(const ByteRing::Record& record, Message& message, std::size_t most) {
  in_.in_ring = true;
  message = {record.payload, record.type};
  in_.announced = record.payload.size();
  return in_.announced <= most ? Status::ok : Status::too_large;
}

Status PipeEnd::next_in_parts(Message& message, std::size_t most) {
  // Not for ever: a hostile peer may send rests of messages that nobody began.
  for (std::size_t n = 0; !in_.parts.whole() && n <= capacity() / 8; ++n) {
    const auto record = in_.ring->try_peek();
    if (!record) return in_.ring->status();
    if (!is_part(record->type)) {
      in_.parts.forget();  // of a message whose sender gave up or died
      return found_record(*record, message, most);
    }
    if (const Status s = absorb(*record, most); s != Status::ok) return s;
  }
  if (!in_.parts.whole()) return Status::empty;
  in_.in_ring = false;
  message = {in_.parts.bytes(), in_.parts.type()};
  in_.announced = message.payload.size();
  return in_.announced <= most ? Status::ok : Status::too_large;
}

/// Takes a part out of the ring, unless it belongs to a message longer than `most`.
Status PipeEnd::absorb(const ByteRing::Record& record, std::size_t most) {
  const Status status =
      in_.parts.take(record.type, record.payload, {max_message(), most}, in_.announced);
  if (status == Status::ok) release_record();
  return status;
}

/// Whether there is something to receive, without taking it: ok or empty, or corrupt.
Status PipeEnd::look() {
  for (std::size_t n = 0; !in_.parts.whole() && n <= capacity() / 8; ++n) {
    const auto record = in_.ring->try_peek();
    if (!record) return in_.ring->status();
    if (record->type != kNextPart) return Status::ok;
    // The rest of a message: of this process's own, or of one that nobody can have any more.
    if (const Status s = absorb(*record, SIZE_MAX); s != Status::ok) return s;
  }
  return in_.parts.whole() ? Status::ok : Status::empty;
}

template <class Find>
Status PipeEnd::try_find(Find find) {
  const Status status = find_now(find);
  if (status == Status::empty) rearm_descriptor();
  return status;
}

template <class Find>
Status PipeEnd::find_now(Find find) {
  if (const Status s = use(); s != Status::ok) [[unlikely]]
    return s;
  check_not_held(Way::in);
  const Status status = find();
  if (status != Status::empty) return status;
  const Status peer = peer_has_closed() ? Status::closed : peer_or(Status::empty, in_.fruitless);
  if (peer == Status::empty) return peer;
  // The peer's last message was committed before it closed or died: looked for after that is known.
  const Status again = find();
  return again == Status::empty ? peer : again;
}

template <class Find>
Status PipeEnd::await_message(Deadline deadline, Find find) {
  if (deadline.is_now()) {
    const Status found = try_find(find);
    return found == Status::empty ? Status::timeout : found;
  }
  if (const Status s = use(); s != Status::ok) [[unlikely]]
    return s;
  check_not_held(Way::in);
  Status status = find();
  if (status != Status::empty) [[likely]]
    return status;
  const auto ready = [&] {
    status = find();
    return closed() || status != Status::empty;
  };
  const EndPolicy policy(wait_policy_);
  const Status waited =
      channel_->data(side_, Way::in).await(deadline, ready, [&] { return peer_status(); });
  if (closed()) return Status::closed;
  if (waited == Status::ok) return status;
  if (waited != Status::timeout) return ended_or(waited, waited, in_.fruitless);
  rearm_descriptor();
  return waited;
}

Status PipeEnd::look_for_loop(void* end, WaitHandle::Look how) {
  auto& self = *static_cast<PipeEnd*>(end);
  if (self.closed()) return Status::closed;
  const Call call(self, Way::in);
  // With `thorough` the peer is asked now, not only every so often.
  if (how == WaitHandle::Look::thorough) self.in_.fruitless = kLooks - 1;
  return self.find_now([&] { return self.look(); }) == Status::empty ? Status::empty : Status::ok;
}

Status PipeEnd::look_for_room(void* end, WaitHandle::Look how) {
  auto& self = *static_cast<PipeEnd*>(end);
  if (self.closed()) return Status::closed;
  const Call call(self, Way::out);
  if (how == WaitHandle::Look::thorough) self.out_.fruitless = kLooks - 1;  // as above
  std::span<std::byte> room;
  return self.try_claim_room(self.out_.awaited, room) == Status::full ? Status::empty : Status::ok;
}

UniqueFd PipeEnd::peer_pidfd(void* end) {
  const auto& self = *static_cast<PipeEnd*>(end);
  const EndWord peer = self.channel_->end(peer_of(self.side_));
  return peer.state == EndState::open ? participant::open_pidfd(peer.tag) : UniqueFd();
}

WaitHandle PipeEnd::receiving_handle() {
  if (channel_ == nullptr) {
    throw Error(Status::closed, {.tried = "wait for a pipe end that was moved from"});
  }
  static constexpr WaitHandle::Operations kOperations = {look_for_loop, peer_pidfd};
  return {this, kOperations, channel_->data(side_, Way::in)};
}

WaitHandle PipeEnd::sending_handle(std::size_t size) {
  if (channel_ == nullptr) {
    throw Error(Status::closed, {.tried = "wait for a pipe end that was moved from"});
  }
  out_.awaited = size;
  static constexpr WaitHandle::Operations kOperations = {look_for_room, peer_pidfd};
  return {this, kOperations, channel_->space(side_, Way::out)};
}

int PipeEnd::receiving_descriptor() {
  if (descriptor_ == nullptr || !descriptor_->is_of_this_process()) {
    descriptor_ = std::make_unique<ReadyDescriptor>();
  }
  return descriptor_->get();
}

void PipeEnd::rearm_descriptor() {
  if (descriptor_ != nullptr) [[unlikely]]
    descriptor_->rearm(receiving_handle());
}

Status PipeEnd::wait_slowly(Message& message, Deadline deadline, std::size_t most) {
  return await_message(deadline, [&] { return next(message, most); });
}

Status PipeEnd::try_slowly(Message& message, std::size_t most) {
  return try_find([&] { return next(message, most); });
}

bool PipeEnd::wait_for_anything(Deadline deadline) {
  const Call call(*this, Way::in);
  return await_message(deadline, [&] { return look(); }) != Status::timeout;
}

Status PipeEnd::skip_message() {
  const Call call(*this, Way::in);
  if (const Status s = use(); s != Status::ok) return s;
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

void PipeEnd::copy_out(const Message& message, std::vector<std::byte>& bytes) {
  if (in_.in_ring) {
    bytes.assign(message.payload.begin(), message.payload.end());
  } else {
    bytes.swap(in_.parts.bytes());
  }
}

void PipeEnd::copy_out(const Message& message, std::string& text) {
  text.resize(message.payload.size());
  std::copy(message.payload.begin(), message.payload.end(),
            std::as_writable_bytes(std::span(text)).begin());
}

void throw_unless_ended(Status status) {
  if (status == Status::closed || status == Status::peer_died) return;
  throw Error(status, {.tried = "receive a value from a pipe",
                       .hint = "recv(T&) reports this as a Status"});
}

}  // namespace internal

std::ostream& operator<<(std::ostream& out, PeerState state) {
  switch (state) {
    case PeerState::open:
      return out << "open";
    case PeerState::closed:
      return out << "closed";
    case PeerState::died:
      return out << "died";
  }
  return out << "unknown";
}

}  // namespace sluice
