// SPDX-License-Identifier: Apache-2.0
//
// ByteRing: records of variable length, first in first out, between one producer and one consumer,
// threads or processes, on memory that the caller owns. Not for several producers or consumers at a
// time; for items of one fixed size spsc_ring.h is faster; it never blocks (ipc/pipe.h does). (Some
// lines more than 300: what one side writes is what the other one checks; they are read together.)
//
//   ByteRing::format(memory, 1 << 16);                     // once, before anyone else sees it
//   ByteRing::Producer producer(memory);
//   if (auto room = producer.try_claim(text.size())) {     // or try_write(type, bytes) in one call
//     std::memcpy(room->data(), text.data(), text.size());
//     producer.commit(/*type=*/7, text.size());
//   }
//   ByteRing::Consumer consumer(memory);
//   if (auto record = consumer.try_peek()) { use(record->payload); consumer.release(); }
//
// Each side may be given the place of the consumer's words elsewhere, kProgressBytes of them: then
// the producer writes `memory` alone and the consumer that place alone, so that each can have the
// other's read-only (ipc/sealed_connection.h).
//
// In memory (position-independent; offsets in bytes; who writes it):
//
//     0  capacity u64                                format()
//   128  tail u64, a hint | records u64              producer, after each commit
//   256  head u64: bytes consumed | records u64      consumer; the store of head acknowledges
//   384  bytes[capacity], a power of two
//
//   record:  63        62    61..32    31..0
//            committed | pad | length | type         u64, the producer's store of it is the commit
//            payload, `length` bytes, padded with whatever was there to a multiple of 8
//
// Zero in the place of a header means "not written yet". The producer clears the place of the next
// header before it commits a record, so that old bytes are never read as one. A record does not
// wrap: where the rest of the ring is too short, a pad header there sends the reader to the start,
// and the record at the start becomes visible together with it.
//
// Units: bytes. The storage is the capacity rounded up to a power of two, at least 128; the longest
// record is capacity / 2 - 16 bytes, which fits wherever the ring happens to stand.
// Errors: set-up throws Error; calls return full, empty, too_large, corrupt.
// Threads and processes: as in spsc_ring.h: one of each at a time, the two overlap freely.
//
// If a process dies here: the producer's commit is the store of the header (of the pad's header, if
// there is one), the consumer's the store of head. Unfinished records do not exist, unacknowledged
// ones are delivered again. A successor producer starts at the hint and walks the headers to the
// first that is zero, at most capacity / 8 of them. Nothing needs repair. The counts of records
// may be one off after a crash; they are for people.
//
// Hostile bytes: the capacity is copied and checked when attaching; head is checked when read; a
// header is read once, and its length checked against the storage before it is used. The payload
// lies in shared memory: who does not trust the peer copies it before looking at it.
//
// Cost: a write one load, five stores and the copy; a read one load, two stores; both a prefetch of
// a line that comes soon; no read-modify-write, no system call. After several records in a row a
// look in vain rests, as in spsc_ring.h. Source: as spsc_ring.h; the record format is in the family
// of Aeron's.

#ifndef SLUICE_LOCKFREE_BYTE_RING_H_
#define SLUICE_LOCKFREE_BYTE_RING_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What ByteRing is over an environment, the machine or a test.
template <class Env>
class BasicByteRing {
  using Word64 = internal::Word<std::uint64_t>;
  struct alignas(kNoSharing) Progress {
    Word64 head;
    Word64 records_out;
  };

  struct Control {
    Word64 capacity;
    alignas(kNoSharing) Word64 tail;
    Word64 records_in;
    Progress progress;
  };
  static_assert(sizeof(Control) == 3 * kNoSharing);

  static constexpr std::uint64_t kCommitted = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kPad = std::uint64_t{1} << 62;
  static constexpr std::uint64_t kLengthMask = (std::uint64_t{1} << 30) - 1;
  static constexpr std::size_t kHeader = sizeof(Word64);

  /// What both sides know of a ring, checked once and kept in private memory.
  struct View {
    Control* control;
    Progress* progress;
    Word64* words;
    std::uint64_t capacity;

    [[nodiscard]] std::uint64_t offset(std::uint64_t position) const {
      return position & (capacity - 1);
    }
    [[nodiscard]] std::uint64_t room_to_end(std::uint64_t position) const {
      return capacity - offset(position);
    }
    [[nodiscard]] Word64& header(std::uint64_t position) const {
      return words[offset(position) / kHeader];
    }
    [[nodiscard]] std::byte* payload(std::uint64_t position) const {
      return std::as_writable_bytes(std::span(words, capacity / kHeader)).data() +
             offset(position) + kHeader;
    }
  };

  /// A header as read: whether it makes sense at its place, and how many bytes it covers.
  struct Extent {
    bool valid;
    bool is_pad;
    std::uint64_t bytes;
  };

 public:
  static constexpr std::size_t kMinCapacity = 128;  ///< bytes; less is rounded up to it
  static constexpr std::size_t kMaxCapacity = std::size_t{1} << 30;  ///< bytes; more is an Error
  /// Of the consumer's words, where they lie elsewhere, aligned to kNoSharing and zero at first.
  static constexpr std::size_t kProgressBytes = sizeof(Progress);

  class Producer;
  class Consumer;

  /// A record where it lies in the ring: the producer writes there again after release().
  struct Record {
    std::span<const std::byte> payload;  ///< what was written, without the padding
    std::uint32_t type;                  ///< the number that the producer gave it
  };

  /// For people: positions in bytes and counts of records, as they stand in memory.
  struct Counters {
    std::uint64_t capacity,  ///< storage in bytes
        tail,                ///< where the producer last said it was
        records_in,          ///< how many have been written
        head,                ///< up to where the consumer has acknowledged
        records_out;         ///< how many it has acknowledged
  };

  /// Bytes that a ring of `capacity` needs. The memory must be aligned to kNoSharing. Throws Error
  /// if capacity is 0 or above kMaxCapacity.
  static std::size_t bytes_for(std::size_t capacity) {
    if (capacity == 0 || capacity > kMaxCapacity) {
      throw Error::from_errno(EINVAL, {.tried = "size a byte ring",
                                       .expected = "a capacity of 1 to 2^30 bytes",
                                       .found = std::to_string(capacity)});
    }
    return sizeof(Control) + storage_for(capacity);
  }

  /// Makes an empty ring in `memory`, before anyone else can see it. Throws Error if it is too
  /// small or not aligned.
  static void format(std::span<std::byte> memory, std::size_t capacity) {
    Control* const control = internal::attach_object<Control>(memory);
    if (control == nullptr || memory.size() < bytes_for(capacity)) {
      throw Error::from_errno(
          EINVAL, {.tried = "make a byte ring of " + std::to_string(capacity) + " bytes",
                   .expected = std::to_string(bytes_for(capacity)) + " bytes, aligned to 128",
                   .found = std::to_string(memory.size()) + " bytes"});
    }
    std::fill(memory.begin(), memory.end(), std::byte{0});
    // Relaxed: publishing the memory is the caller's step and carries the order.
    Env::store(control->capacity, storage_for(capacity), std::memory_order_relaxed);
  }

  /// Storage in bytes of the ring in `memory`. Throws Error if that holds none.
  static std::size_t capacity(std::span<std::byte> memory) { return attach(memory).capacity; }
  /// The longest record in bytes that it takes. Throws as capacity().
  static std::size_t max_record(std::span<std::byte> memory) { return largest(capacity(memory)); }

  /// The counters of the ring in `memory`, unchecked, without attaching. Empty if it is too small.
  [[nodiscard]] static std::optional<Counters> counters(std::span<std::byte> memory) {
    const Control* const c = internal::attach_object<Control>(memory);
    if (c == nullptr) return std::nullopt;
    const auto read = [](const Word64& word) {
      // Relaxed: a snapshot for people.
      return Env::load(word, std::memory_order_relaxed);
    };
    return Counters{read(c->capacity), read(c->tail), read(c->records_in), read(c->progress.head),
                    read(c->progress.records_out)};
  }

 private:
  static std::uint64_t storage_for(std::size_t capacity) {
    return std::bit_ceil(std::max(capacity, kMinCapacity));
  }

  static constexpr std::uint64_t padded(std::size_t size) {
    return (size + kHeader - 1) / kHeader * kHeader;
  }

  static constexpr std::uint64_t header_of(std::uint32_t type, std::size_t size) {
    return kCommitted | std::uint64_t{size} << 32 | type;
  }

  static std::uint64_t largest(std::uint64_t capacity) { return capacity / 2 - 2 * kHeader; }

  static Extent examine(std::uint64_t header, std::uint64_t room_to_end) {
    if ((header & kCommitted) == 0) return {false, false, 0};
    // A pad stands for the rest of the ring; at the start there is no rest to skip.
    if ((header & kPad) != 0) return {true, true, room_to_end};
    const std::uint64_t bytes = kHeader + padded((header >> 32) & kLengthMask);
    return {bytes <= room_to_end, false, bytes};
  }

  /// One more, by the only one who counts here.
  static void count(Word64& records) {
    // Relaxed, both: a count for people.
    Env::store(records, Env::load(records, std::memory_order_relaxed) + 1,
               std::memory_order_relaxed);
  }

  static View attach(std::span<std::byte> memory) {
    Control* const control = internal::attach_object<Control>(memory);
    // Relaxed: written before the memory was published, and copied here once.
    const std::uint64_t capacity =
        control == nullptr ? 0 : Env::load(control->capacity, std::memory_order_relaxed);
    if (!std::has_single_bit(capacity) || capacity < kMinCapacity || capacity > kMaxCapacity ||
        memory.size() < bytes_for(capacity)) {
      throw Error(Status::corrupt,
                  {.tried = "attach to a byte ring in " + std::to_string(memory.size()) + " bytes",
                   .expected = "a power of two that fits as its capacity",
                   .found = std::to_string(capacity)});
    }
    return {control, &control->progress,
            internal::attach_object<Word64>(memory.subspan(sizeof(Control)), capacity / kHeader),
            capacity};
  }

  static View attach(std::span<std::byte> memory, std::span<std::byte> progress) {
    View view = attach(memory);
    view.progress = internal::attach_object<Progress>(progress);
    if (view.progress == nullptr) {
      throw Error::from_errno(EINVAL, {.tried = "attach to a byte ring",
                                       .expected = "128 bytes for its reader, aligned to 128",
                                       .found = std::to_string(progress.size()) + " bytes"});
    }
    return view;
  }
};

/// The writing side; private to its process.
template <class Env>
class BasicByteRing<Env>::Producer {
 public:
  /// Takes over where a predecessor stopped. Throws Error if `memory` holds no ring, or one whose
  /// counters or headers no correct process wrote.
  explicit Producer(std::span<std::byte> memory) : Producer(attach(memory)) {}
  /// Where the consumer's words lie elsewhere; only read.
  Producer(std::span<std::byte> memory, std::span<std::byte> progress)
      : Producer(attach(memory, progress)) {}

  /// Room for `size` bytes of payload to fill in place; empty if there is none: status() tells
  /// whether the ring is full, the record too_large for it, or the ring corrupt.
  [[nodiscard]] std::optional<std::span<std::byte>> try_claim(std::size_t size) {
    std::byte* const room = try_claim_at(size);
    if (room == nullptr) return std::nullopt;
    return std::span(room, size);
  }

  /// The same; where the room begins, or nullptr. (What is returned in one register costs nothing:
  /// larger objects may take a detour by the stack that costs more than all the rest.)
  [[nodiscard]] std::byte* try_claim_at(std::size_t size) {
    if (size > max_record()) [[unlikely]]
      return refuse(Status::too_large);
    const std::uint64_t bytes = kHeader + padded(size);
    const std::uint64_t to_end = view_.room_to_end(tail_);
    if (bytes > to_end || pad_ != 0) [[unlikely]]
      pad_ = bytes > to_end ? to_end : 0;
    // One header more than the record: the place of the next one is cleared before the commit.
    if (const Status s = make_room(pad_ + bytes + kHeader); s != Status::ok) [[unlikely]] {
      return refuse(s);
    }
    return view_.payload(tail_ + pad_);
  }

  /// Publishes the first `size` bytes of the room claimed last, at most as many as were claimed.
  /// Not calling it, or dying before it, is as if there had been no claim.
  void commit(std::uint32_t type, std::size_t size) {
    const View view = view_;  // so that the compiler need not read it again after each store
    const std::uint64_t begin = tail_;
    const std::uint64_t header = header_of(type, size);
    const std::uint64_t end = begin + pad_ + kHeader + padded(size);
    if (view.capacity - (end - head_) > kFetchToWrite) {
      prefetch_to_write(&view.header(end + kFetchToWrite));
    }
    // Relaxed: made visible by the release below, before anybody can come to look here.
    Env::store(view.header(end), std::uint64_t{0}, std::memory_order_relaxed);
    if (pad_ == 0) [[likely]] {
      // Release: the commit; pairs with the acquire in Consumer::try_peek.
      Env::store(view.header(begin), header, std::memory_order_release);
    } else {
      // Relaxed: the pad leads here, and its release makes it visible.
      Env::store(view.header(begin + pad_), header, std::memory_order_relaxed);
      // Release: the commit, as above.
      Env::store(view.header(begin), kCommitted | kPad, std::memory_order_release);
    }
    tail_ = end;
    // Relaxed: a hint for a successor, who checks the headers.
    Env::store(view.control->tail, end, std::memory_order_relaxed);
    count(view.control->records_in);
  }

  /// Copies one record in: ok, full, too_large or corrupt.
  Status try_write(std::uint32_t type, std::span<const std::byte> payload) {
    std::byte* const room = try_claim_at(payload.size());
    if (room == nullptr) [[unlikely]]
      return status_;
    std::copy(payload.begin(), payload.end(), room);
    commit(type, payload.size());
    return Status::ok;
  }

  /// Why the last call that failed did so.
  [[nodiscard]] Status status() const { return status_; }
  /// Storage in bytes: what was asked for, rounded up to a power of two.
  [[nodiscard]] std::size_t capacity() const { return view_.capacity; }
  /// The longest payload in bytes; more is too_large, however empty the ring is.
  [[nodiscard]] std::size_t max_record() const { return largest(view_.capacity); }

 private:
  explicit Producer(const View& view) : view_(view) {
    // Acquire: pairs with Consumer::release, so that what was consumed may be overwritten.
    head_ = Env::load(view_.progress->head, std::memory_order_acquire);
    // Relaxed: a hint; the headers decide.
    tail_ = Env::load(view_.control->tail, std::memory_order_relaxed);
    if (static_cast<std::int64_t>(tail_ - head_) < 0) tail_ = head_;
    full_at_ = tail_;
    if (tail_ - head_ > view_.capacity || tail_ % kHeader != 0 || !walk_to_end()) {
      throw Error(Status::corrupt,
                  {.tried = "take over the writing side of a byte ring",
                   .expected = "records from head to tail",
                   .found = "head " + std::to_string(head_) + ", tail " + std::to_string(tail_)});
    }
  }

  std::byte* refuse(Status why) {
    status_ = why;
    return nullptr;
  }

  Status make_room(std::uint64_t bytes) {
    if (bytes <= view_.capacity - (tail_ - head_)) [[likely]]
      return Status::ok;
    return look_for_room(bytes);
  }

  // Apart: in line, it costs who has room some instructions.
  [[gnu::noinline]] Status look_for_room(std::uint64_t bytes) {
    // Acquire: pairs with Consumer::release; the consumer has finished reading what it freed.
    const std::uint64_t head = Env::load(view_.progress->head, std::memory_order_acquire);
    if (tail_ - head > view_.capacity) return Status::corrupt;
    head_ = head;
    if (bytes <= view_.capacity - (tail_ - head_)) return Status::ok;
    rest_after((tail_ - full_at_) / bytes);
    full_at_ = tail_;
    return Status::full;
  }

  /// From the hint to the first place that holds no record; false if what is found is none.
  bool walk_to_end() {
    for (std::uint64_t steps = 0; steps <= view_.capacity / kHeader; ++steps) {
      // Acquire: pairs with the predecessor's release, whose clearing of the next place we rely on.
      const std::uint64_t header = Env::load(view_.header(tail_), std::memory_order_acquire);
      if (header == 0) return true;
      const Extent extent = examine(header, view_.room_to_end(tail_));
      if (!extent.valid || tail_ + extent.bytes - head_ > view_.capacity) return false;
      tail_ += extent.bytes;
    }
    return false;
  }

  View view_;
  std::uint64_t tail_ = 0;     // the next position to write
  std::uint64_t head_ = 0;     // the consumer's head when last looked at
  std::uint64_t pad_ = 0;      // bytes skipped at the ring's end by the claim under way
  std::uint64_t full_at_ = 0;  // where there was no room last
  Status status_ = Status::ok;
};

/// The reading side; private to its process.
template <class Env>
class BasicByteRing<Env>::Consumer {
 public:
  /// Takes over where a predecessor stopped. Throws Error if `memory` holds no ring.
  explicit Consumer(std::span<std::byte> memory) : Consumer(attach(memory)) {}
  /// Where the consumer's words lie elsewhere; `memory` is only read.
  Consumer(std::span<std::byte> memory, std::span<std::byte> progress)
      : Consumer(attach(memory, progress)) {}

  /// The oldest record, in place; empty if there is none: status() tells whether the ring is empty
  /// or corrupt. It stays until release().
  [[nodiscard]] std::optional<Record> try_peek() {
    const std::byte* const payload = try_peek_at();
    if (payload == nullptr) return std::nullopt;
    return Record{{payload, peeked_size()}, peeked_type()};
  }

  /// The same; where the payload begins, or nullptr. peeked_size() and peeked_type() then tell the
  /// rest.
  [[nodiscard]] const std::byte* try_peek_at() {
    std::uint64_t at = head_;
    // Acquire: pairs with the release in Producer::commit, so the payload is whole.
    std::uint64_t header = Env::load(view_.header(at), std::memory_order_acquire);
    if (header == 0) {
      rest_after(run_);
      run_ = 0;
      return refuse(Status::empty);
    }
    if (++run_ > kFetchAfter) prefetch_to_read(&view_.header(at + kFetchToRead));
    Extent extent = examine(header, view_.room_to_end(at));
    if (extent.is_pad) [[unlikely]] {
      at += extent.bytes;
      // Relaxed: written before the pad, which was read with acquire.
      header = Env::load(view_.header(at), std::memory_order_relaxed);
      extent = examine(header, view_.room_to_end(at));
    }
    if (!extent.valid || extent.is_pad) [[unlikely]]
      return refuse(Status::corrupt);
    peeked_end_ = at + extent.bytes;
    peeked_ = header;
    return view_.payload(at);
  }

  /// The same, if the oldest record is of this type and size; otherwise nullptr, and status() is
  /// empty, or mismatch for whatever else there is, which try_peek() tells apart.
  [[nodiscard]] const std::byte* try_peek_as(std::uint32_t type, std::size_t size) {
    const std::uint64_t begin = head_;
    // Acquire: pairs with the release in Producer::commit, so the payload is whole.
    const std::uint64_t header = Env::load(view_.header(begin), std::memory_order_acquire);
    if (header == 0) {
      rest_after(run_);
      run_ = 0;
      return refuse(Status::empty);
    }
    const std::uint64_t bytes = kHeader + padded(size);
    if (header != header_of(type, size) || bytes > view_.room_to_end(begin)) [[unlikely]]
      return refuse(Status::mismatch);
    if (++run_ > kFetchAfter) prefetch_to_read(&view_.header(begin + kFetchToRead));
    peeked_end_ = begin + bytes;
    peeked_ = header;
    return view_.payload(begin);
  }
  /// Payload bytes of the record that a try_peek form found last.
  [[nodiscard]] std::size_t peeked_size() const { return (peeked_ >> 32) & kLengthMask; }
  /// The type of that record.
  [[nodiscard]] std::uint32_t peeked_type() const { return static_cast<std::uint32_t>(peeked_); }

  /// Acknowledges the record that try_peek() returned: its bytes may be written again.
  void release() {
    head_ = peeked_end_;
    // Release: pairs with the acquire of head in Producer; our reads of the payload come before it.
    Env::store(view_.progress->head, head_, std::memory_order_release);
    // Relaxed: a count for people.
    Env::store(view_.progress->records_out, ++records_, std::memory_order_relaxed);
  }

  /// Why the last try_peek() that found nothing did so.
  [[nodiscard]] Status status() const { return status_; }
  /// Storage in bytes, as on the other side.
  [[nodiscard]] std::size_t capacity() const { return view_.capacity; }

 private:
  explicit Consumer(const View& view) : view_(view) {
    // Acquire: pairs with the predecessor's release in release().
    head_ = Env::load(view_.progress->head, std::memory_order_acquire);
    // Relaxed: a count for people.
    records_ = Env::load(view_.progress->records_out, std::memory_order_relaxed);
    if (head_ % kHeader != 0) {
      throw Error(Status::corrupt, {.tried = "take over the reading side of a byte ring",
                                    .expected = "a head that is a multiple of 8",
                                    .found = std::to_string(head_)});
    }
  }

  const std::byte* refuse(Status why) {
    status_ = why;
    return nullptr;
  }

  View view_;
  std::uint64_t head_ = 0;        // the next position to read
  std::uint64_t peeked_end_ = 0;  // where the record under try_peek() ends
  std::uint64_t peeked_ = 0;      // its header
  std::uint64_t records_ = 0;     // acknowledged so far
  std::uint32_t run_ = 0;         // records found since there was none
  Status status_ = Status::ok;
};

/// The ring that ships.
using ByteRing = BasicByteRing<internal::RealEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_BYTE_RING_H_
