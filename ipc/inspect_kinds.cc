// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "sluice/ipc/array_memory.h"
#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/inspection.h"
#include "sluice/sync/barrier.h"
#include "sluice/sync/barrier_report.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/env.h"
#include "sluice/sync/event.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/once.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

template <class T>
T number_at(std::span<const std::byte> bytes, std::size_t at) {
  T number = {};
  std::memcpy(&number, &bytes[at], sizeof number);
  return number;
}

/// A Mutex in a private copy.
void describe_lock(Inspection& inspection, const std::string& role, std::span<std::byte> bytes) {
  const auto* const mutex = attach_object<Mutex>(bytes);
  inspection.lock(role, mutex->report(), number_at<std::uint32_t>(bytes, sizeof(std::uint64_t)));
}

// -------------------------------------------------------------------------------------------------
// Values: lockfree/latest_word.h, lockfree/latest_slots.h

constexpr std::size_t kSlotsSleepers = 24;
constexpr std::size_t kSlotsWriting = 64;
constexpr std::size_t kSlotsFirst = 128;

/// What a value's type says of its size (ipc/value.h); nothing if it says none.
std::optional<std::size_t> size_in(const std::string& type) {
  constexpr std::string_view kEnd = " bytes";
  const std::size_t space =
      type.rfind(' ', type.size() < kEnd.size() ? 0 : type.size() - kEnd.size() - 1);
  if (!type.ends_with(kEnd)) return std::nullopt;
  const std::size_t begin = space == std::string::npos ? 0 : space + 1;
  std::size_t size = 0;
  const char* const end = type.data() + type.size() - kEnd.size();
  const auto [rest, error] = std::from_chars(type.data() + begin, end, size);
  if (error != std::errc() || rest != end || size == 0) return std::nullopt;
  return size;
}

void describe_word(Inspection& inspection, std::size_t size) {
  const std::size_t word = std::bit_ceil(size);
  const std::size_t sleepers = std::max<std::size_t>(word, 4);
  std::optional<ObjectCopy> copy = inspection.copy(sleepers + 4);
  if (!copy) return inspection.fault("too few bytes for a value");
  std::uint64_t bits = 0;
  std::memcpy(&bits, copy->bytes().data(), std::min(word, sizeof bits));
  inspection.counter("value, as a number", bits, "");
  if (attach_object<EventCount>(copy->bytes().subspan(sleepers))->maybe_waiting()) {
    inspection.waiting("somebody, for another value");
  }
}

/// Whether the newest slot's turn says so. A reader that sees otherwise, twice, says corrupt.
bool newest_is_complete(Inspection& inspection, std::size_t size) {
  const std::size_t turn = (size + 7) / 8 * 8;
  const std::size_t stride = (turn + 8 + kCacheLine - 1) / kCacheLine * kCacheLine;
  constexpr int kLooks = 3;
  for (int look = 0; look < kLooks; ++look) {
    std::optional<ObjectCopy> copy = inspection.copy(kSlotsFirst + 4 * stride);
    if (!copy) return false;
    const auto newest = number_at<std::uint64_t>(copy->bytes(), 0);
    const std::size_t at = kSlotsFirst + (newest & 3) * stride + turn;
    if (number_at<std::uint64_t>(copy->bytes(), at) == newest) return true;
  }
  return false;
}

void describe_slots(Inspection& inspection, std::size_t size) {
  std::optional<ObjectCopy> copy = inspection.copy(kSlotsFirst);
  if (!copy || size > inspection.room()) return inspection.fault("too few bytes for a value");
  const auto bytes = copy->bytes();
  inspection.counter("version", number_at<std::uint64_t>(bytes, 0) / 4, "");
  describe_lock(inspection, "writers' lock", bytes.subspan(kSlotsWriting));
  if (attach_object<EventCount>(bytes.subspan(kSlotsSleepers))->maybe_waiting()) {
    inspection.waiting("somebody, for another value");
  }
  if (size > Inspection::kCopyUpTo / 5) return;
  if (!newest_is_complete(inspection, size)) {
    inspection.fault("the newest value's slot does not hold the newest value");
  }
}

// -------------------------------------------------------------------------------------------------
// Shared

void describe(Inspection& inspection, const ConditionVariable& condition) {
  inspection.counter("waiting", condition.waiting(), "threads");
}
void describe(Inspection& inspection, const Semaphore& semaphore) {
  inspection.counter("permits", semaphore.value(), "");
}
void describe(Inspection& inspection, const BoundedSemaphore& semaphore) {
  inspection.counter("permits", semaphore.value(), "");
  inspection.counter("bound", semaphore.bound(), "permits");
  if (semaphore.value() > semaphore.bound()) inspection.fault("more permits than its bound");
}
template <std::uint32_t kMost>
void describe(Inspection& inspection, const OwnedSemaphore<kMost>& semaphore) {
  inspection.counter("permits", semaphore.value(), "");
  inspection.counter("bound", semaphore.bound(), "permits");
  if (semaphore.bound() > kMost) inspection.fault("more permits than there can be");
}
template <Reset kReset>
void describe(Inspection& inspection, const BasicEvent<RealEnv, kReset>& event) {
  inspection.counter("set", event.is_set() ? 1 : 0, "");
}
void describe(Inspection& inspection, const Latch& latch) {
  inspection.counter("still to come", latch.left(), "");
}
void describe(Inspection& inspection, const Once& once) {
  inspection.counter("done", once.done() ? 1 : 0, "");
  if (once.caller() != participant::kNobody) inspection.owner("caller", "begun", once.caller());
}
void describe(Inspection& inspection, const Barrier<>& barrier) {
  const BarrierReport report = barrier.report();
  inspection.counter("parties", report.parties, "");
  inspection.counter("arrived", report.waiting, "parties");
  if (report.parties == 0 || report.parties > Barrier<>::max()) {
    inspection.fault("an impossible number of parties");
  }
  if (report.state == BarrierReport::State::open) return;
  const bool is_broken = report.state == BarrierReport::State::broken;
  inspection.owner("barrier", is_broken ? "broken" : "acting", report.by);
}
void describe(Inspection& inspection, const SharedMutex<>& mutex) {
  inspection.lock("writer's lock", mutex.report(), 0);
  inspection.counter("readers", mutex.readers(), "");
}
template <Relock kRelock>
void describe(Inspection& inspection, const BasicMutex<RealLockEnv, kRelock>& mutex) {
  inspection.lock("lock", mutex.report(), 0);
}

template <class T>
concept TellsWhoWaits = requires(const T& t) { t.maybe_waiting(); };

/// Describes the object if it is a T: says whether it is.
template <class T>
bool describe_as(Inspection& inspection) {
  if (inspection.object().stamp->fingerprint != layout_fingerprint<T>()) return false;
  std::optional<ObjectCopy> copy = inspection.copy(sizeof(T));
  if (!copy) {
    inspection.fault("too few bytes for a " + type_text<T>());
    return true;
  }
  const T& object = *attach_object<T>(copy->bytes());
  describe(inspection, object);
  if constexpr (TellsWhoWaits<T>) {
    if (object.maybe_waiting()) inspection.waiting("somebody");
  }
  return true;
}

template <class... T>
bool describe_as_one_of(Inspection& inspection) {
  return (describe_as<T>(inspection) || ...);
}

/// The locks in a struct of the user's that somebody holds, or died with: each has the registry's
/// number behind its word (sync/mutex.h, sync/once.h). What else looks so is a coincidence of one
/// in 2^32.
void describe_locks(Inspection& inspection) {
  constexpr std::size_t kMostLocks = 64;
  constexpr std::size_t kBehind = sizeof(std::uint64_t);
  const std::size_t size = std::min<std::uint64_t>(inspection.room(), Inspection::kCopyUpTo);
  std::optional<ObjectCopy> copy = inspection.copy(size);
  if (!copy || inspection.incarnation() == 0) return;
  const std::span<std::byte> bytes = copy->bytes();
  std::size_t found = 0;
  for (std::size_t at = 0; at + sizeof(Mutex) <= size && found < kMostLocks; at += 8) {
    if (number_at<std::uint32_t>(bytes, at + kBehind) != inspection.incarnation()) continue;
    const auto word = number_at<std::uint64_t>(bytes, at);
    const bool has_owner = LockWord::tag_of(word) != participant::kNobody &&
                           (LockWord::is_held(word) || LockWord::is_abandoned(word));
    if (!has_owner || word == LockWord::kDestroyed) continue;
    inspection.lock("lock at byte " + std::to_string(at), report_lock(word, LockWord::tag_of(word)),
                    0);
    ++found;
  }
}

}  // namespace

void inspect_value(Inspection& inspection) {
  const auto size = size_in(inspection.object().type);
  if (!size) return;  // made by a version that did not say
  if (*size <= sizeof(std::uint64_t)) {
    describe_word(inspection, *size);
  } else {
    describe_slots(inspection, *size);
  }
}

void inspect_array(Inspection& inspection) {
  std::optional<ObjectCopy> copy = inspection.copy(sizeof(ArrayHeader));
  if (!copy) return inspection.fault("too few bytes for an array");
  const auto& header = *attach_object<ArrayHeader>(copy->bytes());
  inspection.counter("elements", header.count, "");
  inspection.counter("size of an element", header.element_size, "bytes");
  if (inspection.object().kind() == "array") describe_lock(inspection, "lock", copy->bytes());
  const std::uint64_t room = inspection.room();
  const bool fits = header.element_size != 0 && header.elements_offset >= sizeof(ArrayHeader) &&
                    header.elements_offset <= room &&
                    header.count <= (room - header.elements_offset) / header.element_size;
  if (!fits) {
    inspection.fault(std::to_string(header.count) + " elements of " +
                     std::to_string(header.element_size) + " bytes from byte " +
                     std::to_string(header.elements_offset) + " on, in an object of " +
                     std::to_string(room));
  }
}

void inspect_list(Inspection& inspection) {
  constexpr std::size_t kHeader = 32;  // as in ipc/shareable_list.h
  constexpr std::size_t kEntry = 16;
  constexpr std::uint64_t kFront = 8;
  const std::uint64_t room = inspection.room();
  std::optional<ObjectCopy> header = inspection.copy(kHeader);
  if (!header) return inspection.fault("too few bytes for a list");
  const auto count = number_at<std::uint64_t>(header->bytes(), sizeof(Mutex));
  inspection.counter("items", count, "");
  describe_lock(inspection, "lock", header->bytes());
  if (count > (room - kHeader) / kEntry) {
    return inspection.fault(std::to_string(count) + " items in an object of " +
                            std::to_string(room));
  }
  if (kHeader + count * kEntry > Inspection::kCopyUpTo) return;
  std::optional<ObjectCopy> entries = inspection.copy(kHeader + count * kEntry);
  if (!entries) return inspection.fault("too few bytes for its items");
  for (std::size_t i = 0; i < count; ++i) {
    const auto offset = number_at<std::uint64_t>(entries->bytes(), kHeader + i * kEntry);
    const auto size = number_at<std::uint32_t>(entries->bytes(), kHeader + i * kEntry + 8);
    const bool fits = offset % 8 == 0 && size % 8 == 0 && size >= 8 &&
                      offset >= kHeader + count * kEntry && offset <= room &&
                      2 * (kFront + size) <= room - offset;
    if (fits) continue;
    return inspection.fault("item " + std::to_string(i) + ": " + std::to_string(size) +
                            " bytes at " + std::to_string(offset));
  }
}

void inspect_shared(Inspection& inspection) {
  const bool is_known =
      describe_as_one_of<Mutex, RecursiveMutex, SharedMutex<>, ConditionVariable, Semaphore,
                         BoundedSemaphore, OwnedSemaphore<8>, OwnedSemaphore<16>,
                         OwnedSemaphore<32>, OwnedSemaphore<64>, Event, AutoResetEvent, Latch, Once,
                         Barrier<>>(inspection);
  if (!is_known) describe_locks(inspection);
}

}  // namespace sluice::internal
