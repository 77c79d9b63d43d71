// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/queue_core.h"

#include <time.h>

#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {
namespace {

/// Where a handle's producer sits.
struct Seat {
  Tag tag;
  std::uint32_t seat;

  static constexpr Seat unpack(std::uint64_t word) {
    return {static_cast<Tag>(word), static_cast<std::uint32_t>(word >> 32)};
  }
  [[nodiscard]] constexpr std::uint64_t packed() const { return std::uint64_t{seat} << 32 | tag; }
};

QueueHeader* header_of(const Segment& segment) {
  auto* const header = attach_object<QueueHeader>(segment.object());
  if (header != nullptr) return header;
  throw Error(Status::corrupt, {.tried = "attach to a queue",
                                .expected = "room for its parts",
                                .found = std::to_string(segment.object().size()) + " bytes"});
}

}  // namespace

QueueRules QueueRules::of(const Capacity& capacity, const QueueOptions& options) {
  const bool counted = capacity.items != Capacity::kNoLimit;
  return {options.overflow.value_or(counted ? Overflow::block : Overflow::fail),
          options.ends_with_producers, options.segment};
}

Segment::Format QueueRules::format(QueueEngine engine,
                                   std::function<void(std::span<std::byte>)> format_items) const {
  return [rules = *this, engine,
          format_items = std::move(format_items)](std::span<std::byte> object) {
    auto* const header = attach_object<QueueHeader>(object);
    // Relaxed: the segment is published afterwards, which carries the order.
    RealEnv::store(header->overflow, static_cast<std::uint32_t>(rules.overflow),
                   std::memory_order_relaxed);
    // Relaxed: as above.
    RealEnv::store(header->ends_with_producers, std::uint32_t{rules.ends_with_producers},
                   std::memory_order_relaxed);
    // Relaxed: as above.
    RealEnv::store(header->engine, static_cast<std::uint32_t>(engine), std::memory_order_relaxed);
    format_items(object.subspan(kQueueHeaderBytes));
  };
}

void refuse_capacity(const std::string& expected, std::size_t found) {
  throw Error::from_errno(
      EINVAL, {.tried = "make a queue", .expected = expected, .found = std::to_string(found)});
}

QueueEngine engine_of(const Segment& segment) {
  // Relaxed: as in QueueCore's constructor.
  const std::uint32_t engine = RealEnv::load(header_of(segment)->engine, std::memory_order_relaxed);
  if (engine <= static_cast<std::uint32_t>(QueueEngine::ring)) {
    return static_cast<QueueEngine>(engine);
  }
  throw Error(
      Status::corrupt,
      {.tried = "attach to a queue", .expected = "an engine", .found = std::to_string(engine)});
}

QueueCore::QueueCore(Segment segment, QueueEngine engine)
    : segment_(std::move(segment)), header_(header_of(segment_)) {
  if (const QueueEngine found = engine_of(segment_); found != engine) {
    throw Error(Status::corrupt, {.tried = "attach to a queue",
                                  .expected = "engine " + std::to_string(static_cast<int>(engine)),
                                  .found = std::to_string(static_cast<int>(found))});
  }
  // Relaxed, here and below: written before the segment was published, and copied here once.
  const std::uint32_t overflow = RealEnv::load(header_->overflow, std::memory_order_relaxed);
  if (overflow > static_cast<std::uint32_t>(Overflow::drop_newest)) {
    throw Error(Status::corrupt, {.tried = "attach to a queue",
                                  .expected = "an overflow policy",
                                  .found = std::to_string(overflow)});
  }
  overflow_ = static_cast<Overflow>(overflow);
  // Relaxed: as above.
  ends_with_producers_ =
      RealEnv::load(header_->ends_with_producers, std::memory_order_relaxed) != 0;
}

void QueueCore::leave() noexcept {
  // Relaxed: nobody else uses the handle any more. In a forked child the seat is the parent's.
  const auto [tag, seat] = Seat::unpack(seated_.load(std::memory_order_relaxed));
  if (tag == participant::kNobody || tag != participant::self_if_attached()) return;
  header_->seats.leave(tag, seat);
  pushed().notify_all();
}

GrowingMemory QueueCore::growth_from(std::size_t offset) const {
  const std::string& name = segment_.name();
  return {segment_, kQueueHeaderBytes + offset,
          "a growing queue" + (name.empty() ? "" : " \"" + name + '"')};
}

Deadline WorkDeadline::soon() noexcept {
  // Each try_ form asks, so the clock is one that is not read but remembered, and behind by up to a
  // tick, which is 10 ms at most.
  constexpr std::chrono::milliseconds kLeast{10};
  constexpr std::chrono::milliseconds kMostBehind{10};
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return Deadline::TimePoint(std::chrono::seconds(now.tv_sec) +
                             std::chrono::nanoseconds(now.tv_nsec) + kLeast + kMostBehind);
}

Status QueueCore::sit_down() {
  if (!ends_with_producers_) return Status::ok;
  const Tag self = participant::self();
  // Relaxed, here and below: the seat is taken before, by this thread or by one that was quicker.
  std::uint64_t seated = seated_.load(std::memory_order_relaxed);
  if (Seat::unpack(seated).tag == self) return Status::ok;
  std::size_t seat = 0;
  const Status status = header_->seats.take(self, seat);
  if (status != Status::ok) return status;
  const Seat taken = {self, static_cast<std::uint32_t>(seat)};
  // Relaxed: as above.
  if (!seated_.compare_exchange_strong(seated, taken.packed(), std::memory_order_relaxed)) {
    header_->seats.leave(self, seat);  // another thread has just taken one for this handle
  }
  return Status::ok;
}

Status QueueCore::without_room(std::size_t size, std::size_t left, Waits waits, Deadline deadline) {
  if (overflow_ == Overflow::drop_newest) {
    count_dropped(left);
    return Status::empty;
  }
  if (overflow_ == Overflow::fail || waits == Waits::no) return Status::full;
  return await_room(size, deadline);
}

Status QueueCore::await_item(Deadline deadline) {
  return pushed().await(
      deadline, [&] { return has_ended_or_items(); },
      [&] {
        const Status status = look_after();
        return status == Status::ok ? look_for_end() : status;
      });
}

Status QueueCore::look_for_producers() noexcept {
  if (!ends_with_producers_) return Status::ok;
  switch (header_->seats.look()) {
    case ProducerSeats::State::all_left:
      return Status::closed;
    case ProducerSeats::State::all_gone:
      return Status::peer_died;
    case ProducerSeats::State::nobody_yet:
    case ProducerSeats::State::some:
      break;
  }
  return Status::ok;
}

Status QueueCore::look_for_loop(void* core, WaitHandle::Look how) {
  auto& self = *static_cast<QueueCore*>(core);
  if (self.has_ended_or_items()) return Status::ok;
  if (how == WaitHandle::Look::quick) return Status::empty;
  if (self.look_after() != Status::ok || self.has_ended_or_items()) return Status::ok;
  return self.look_for_end() == Status::ok ? Status::empty : Status::ok;
}

WaitHandle QueueCore::wait_handle() {
  static constexpr WaitHandle::Operations kOperations = {look_for_loop,
                                                         [](void*) { return UniqueFd(); }};
  return {this, kOperations, pushed()};
}

int QueueCore::descriptor() {
  if (descriptor_ == nullptr || !descriptor_->is_of_this_process()) {
    descriptor_ = std::make_unique<ReadyDescriptor>();
  }
  return descriptor_->get();
}

void QueueCore::rearm_descriptor() {
  if (descriptor_ != nullptr) [[unlikely]]
    descriptor_->rearm(wait_handle());
}

void refuse_detached() {
  throw std::logic_error("sluice: a call on a queue's handle after detach(), or after a move");
}

void throw_unless_queue_ended(Status status) {
  if (status == Status::closed || status == Status::peer_died) return;
  throw Error(status,
              {.tried = "pop an item from a queue", .hint = "pop(T&) reports this as a Status"});
}

}  // namespace sluice::internal
