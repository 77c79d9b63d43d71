// SPDX-License-Identifier: Apache-2.0
//
// Value<T>: the newest value of a trivially copyable T in memory of its own that several processes
// see. Never torn, also if a writer is killed; readers never wait. Not for a stream of values (none
// may be missed: ipc/pipe.h), and not for a member of a larger struct (lockfree/latest.h).
//
//   Value<long> hits;                                        // threads, forked children
//   hits.fetch_add(1);
//   auto quote = Value<Quote>::create("quote", Quote{});     // under a name
//   auto same = Value<Quote>::open("quote");                 // in another process
//   quote.update([](Quote& q) { q.bid += 0.1; });
//   Quote seen = same.wait(Quote{});                         // until it is another
//   auto total = Value<long>::map_file("/var/lib/acme/total", 0);   // outlasts a reboot
//
// In memory: a segment of kind `value`, with a Latest<T> (lockfree/latest.h) as its object. A file
// holds the same bytes, and on its first page the registry's number (ipc/mapped_file.h).
//
// Two users of a value must mean the same T: one name (kTypeName, ipc/fingerprint.h), size and
// alignment. There is no lock to hold: what takes several steps is one update().
//
// Units: Deadline. Errors: making and opening throw Error (ipc/segment.h; files:
// ipc/mapped_file.h); the calls are those of Latest, with its errors. A handle that was moved from
// may only be assigned to or destroyed. Threads and processes: all calls on the value may overlap;
// moving and destroying a handle may not overlap with calls through it. If a process dies here: as
// Latest; the name goes as its Lifetime says (ipc/segment.h). A file keeps the newest value over
// reboots that shut down in good order, after a power cut one that flush() returned for, unless a
// newer one was being written. Cost: as Latest: the handle adds one pointer. flush() waits for the
// device.

#ifndef SLUICE_IPC_VALUE_H_
#define SLUICE_IPC_VALUE_H_

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/latest.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// The newest value of a T in shared memory: a handle, and the mapping that it keeps.
template <SharedValue T>
class Value {
 public:
  /// The type of the value.
  using value_type = T;
  /// Of the bytes in memory; what was made with another is refused with Status::mismatch.
  static constexpr std::uint32_t kVersion = 1;

  /// Without a name: for threads, children that are forked later, and whoever is sent fd().
  Value()
    requires std::default_initializable<T>
      : Value(T()) {}
  /// The same, with a first value other than T's own.
  explicit Value(const T& initial)
      : Value(Segment::create_anonymous(kind(), sizeof(Latest<T>), format(initial))) {}

  /// Under a name that must be free.
  static Value create(std::string_view name, const T& initial,
                      Lifetime lifetime = Lifetime::while_used) {
    return Value(Segment::create(name, kind(), sizeof(Latest<T>), lifetime, format(initial)));
  }
  /// What is there under that name.
  static Value open(std::string_view name) { return Value(Segment::open(name, kind())); }
  /// Either; race-free. created() tells which.
  static Value open_or_create(std::string_view name, const T& initial,
                              Lifetime lifetime = Lifetime::while_used) {
    return Value(
        Segment::open_or_create(name, kind(), sizeof(Latest<T>), lifetime, format(initial)));
  }
  /// From a descriptor that another process obtained with fd() and sent.
  static Value from_fd(UniqueFd fd) { return Value(Segment::from_fd(std::move(fd), kind())); }

  /// In a file that outlasts everybody: opens it if it is there, otherwise makes it; race-free.
  static Value map_file(const std::string& path, const T& initial,
                        const SegmentOptions& options = {}) {
    return Value(MappedFile::open_or_create(path, kind(), sizeof(Latest<T>), options,
                                            format(initial), adopt));
  }
  /// What is in that file.
  static Value open_file(const std::string& path, const SegmentOptions& options = {}) {
    return Value(MappedFile::open(path, kind(), options, adopt));
  }

  /// Removes the name, whoever uses the value; they go on. False if there is none.
  static bool remove(std::string_view name) { return Segment::remove(name); }

  /// A new descriptor, for another process's from_fd(). Throws Error, also for a file.
  [[nodiscard]] UniqueFd fd() const {
    if (const auto* const segment = std::get_if<Segment>(&memory_)) return segment->fd();
    throw Error::from_errno(EOPNOTSUPP,
                            {.tried = "get a descriptor of the value in \"" + name() + "\"",
                             .hint = "send the path: open_file() takes it"});
  }
  /// The name, or the path; empty if it has neither.
  [[nodiscard]] const std::string& name() const noexcept {
    const auto* const file = std::get_if<MappedFile>(&memory_);
    return file != nullptr ? file->path() : std::get_if<Segment>(&memory_)->name();
  }
  /// Whether this call made the value; false if it was there already.
  [[nodiscard]] bool created() const noexcept {
    return std::visit([](const auto& where) { return where.created(); }, memory_);
  }
  /// Of a value in a file: returns when what was stored before is on the device. Nothing to do for
  /// the others. Throws Error.
  void flush() const {
    if (const auto* const file = std::get_if<MappedFile>(&memory_)) file->flush();
  }

  /// The newest value, as one whole; never waits. Throws Error where the bytes are corrupt.
  [[nodiscard]] T load() const { return latest_->load(); }
  /// As load(), but says it with a Status: ok, or corrupt, and then `to` means nothing.
  Status try_load(T& to) const noexcept { return latest_->try_load(to); }

  /// Makes `value` the newest and wakes who waits for one. For a T above 8 bytes it waits its turn
  /// among writers. Throws Error where anything is wrong.
  void store(const T& value) { latest_->store(value); }
  /// As above, but gives up at the deadline. Unless it is ok, nothing was stored.
  Status store(const T& value, Deadline deadline) { return latest_->store(value, deadline); }

  /// Stores `value`, and returns what it replaced. Waits and throws as store().
  T exchange(const T& value) { return latest_->exchange(value); }
  /// As above, but gives up at the deadline; if ok, `before` is what was replaced.
  Status exchange(const T& value, T& before, Deadline deadline) {
    return latest_->exchange(value, before, deadline);
  }

  /// Stores `desired` if the value equals `expected`, and returns whether; if not, `expected`
  /// becomes what it is. Waits and throws as store().
  bool compare_exchange(T& expected, const T& desired) {
    return latest_->compare_exchange(expected, desired);
  }
  /// As above, but gives up at the deadline; if ok, `exchanged` says whether it was stored.
  Status compare_exchange(T& expected, const T& desired, bool& exchanged, Deadline deadline) {
    return latest_->compare_exchange(expected, desired, exchanged, deadline);
  }

  /// Stores what `fn` makes of the value, with no other store in between, and returns it. For a T
  /// of up to 8 bytes `fn` may be called more than once. Waits and throws as store().
  template <UpdateOf<T> Fn>
  T update(Fn fn) {
    return latest_->update(std::move(fn));
  }
  /// As above, but gives up at the deadline; if `fn` throws, the value stays as it was.
  template <UpdateOf<T> Fn>
  Status update(Fn fn, Deadline deadline) {
    return latest_->update(std::move(fn), deadline);
  }

  /// Adds to the value, and returns what it was before; integers wrap around.
  T fetch_add(T operand)
    requires requires(Latest<T>& l) { l.fetch_add(operand); }
  {
    return latest_->fetch_add(operand);
  }
  /// Subtracts from the value, and returns what it was before; integers wrap around.
  T fetch_sub(T operand)
    requires requires(Latest<T>& l) { l.fetch_sub(operand); }
  {
    return latest_->fetch_sub(operand);
  }
  /// Sets the bits that `operand` has, and returns what the value was before.
  T fetch_or(T operand)
    requires requires(Latest<T>& l) { l.fetch_or(operand); }
  {
    return latest_->fetch_or(operand);
  }
  /// Clears the bits that `operand` does not have, and returns what the value was before.
  T fetch_and(T operand)
    requires requires(Latest<T>& l) { l.fetch_and(operand); }
  {
    return latest_->fetch_and(operand);
  }
  /// Flips the bits that `operand` has, and returns what the value was before.
  T fetch_xor(T operand)
    requires requires(Latest<T>& l) { l.fetch_xor(operand); }
  {
    return latest_->fetch_xor(operand);
  }

  /// Waits until the value is not `old`, however long it takes, and returns what it is then. Of
  /// values that came and went meanwhile it sees nothing.
  T wait(const T& old) const { return latest_->wait(old); }
  /// As above, but gives up at the deadline: ok, timeout or corrupt.
  Status wait(const T& old, Deadline deadline) const { return latest_->wait(old, deadline); }
  /// The same; if ok, `now` is what the value is then. It may be `old` itself.
  Status wait(const T& old, T& now, Deadline deadline) const {
    return latest_->wait(old, now, deadline);
  }

  /// One line: name, the value if it can be printed, and its state.
  friend std::ostream& operator<<(std::ostream& out, const Value& value) {
    out << "Value \"" << value.name() << "\": ";
    if constexpr (requires(const T& t) { out << t; }) {
      internal::ValueRoom<T> room;
      const Status s = value.try_load(room.value);
      if (s == Status::ok) {
        out << room.value;
      } else {
        out << s;
      }
      out << "; ";
    }
    return out << *value.latest_;
  }

 private:
  static SegmentKind kind() {
    // For people, and for the inspector, who can't know the size otherwise.
    static const std::string type = type_text<T>() + ", " + std::to_string(sizeof(T)) + " bytes";
    return {
        .name = "value", .version = kVersion, .fingerprint = type_fingerprint<T>(), .type = type};
  }
  static Segment::Format format(const T& initial) {
    return [initial](std::span<std::byte> object) {
      static_cast<void>(new (object.data()) Latest<T>(initial));
    };
  }
  /// Nobody uses the value, and who was writing it was of a registry that is gone.
  static void adopt(std::span<std::byte> object) { Latest<T>::in(object).adopt(); }

  using Memory = std::variant<Segment, MappedFile>;

  explicit Value(Memory memory)
      : memory_(std::move(memory)),
        latest_(
            &Latest<T>::in(std::visit([](const auto& where) { return where.object(); }, memory_))) {
  }

  Memory memory_;
  Latest<T>* latest_;
};

}  // namespace sluice

#endif  // SLUICE_IPC_VALUE_H_
