// SPDX-License-Identifier: Apache-2.0
//
// Array<T>: a fixed number of T in memory that several processes see, under a lock that survives
// its holder; RawArray<T>: the same without a lock. Not for one number (a Shared<T> will do), nor
// for what grows, nor for handing messages on (ipc/pipe.h).
//
//   Array<long> totals(8);                                  // threads and forked children share it
//   auto prices = Array<double>::create("prices", 100);     // by name; elsewhere: open("prices")
//   auto levels = Array<double>::map_file("/var/lib/acme/levels", 100);   // outlasts a reboot
//   auto held = totals.lock();                              // throws OwnerDied, see below
//   for (long& total : held) total *= 2;
//   totals.lock([](std::span<long> all) { std::ranges::fill(all, 0); })[0] = 1;   // repairs first
//   totals.atomic(3).fetch_add(1);                          // needs no lock
//
// In memory: behind the stamp of ipc/segment.h (kind "array" or "raw_array", version 1)
//
//     0 lock (sync/mutex.h), 16 bytes; all zero in a raw array    written by who locks
//    16 count u64   24 size of an element u32   28 offset of the elements u32: 128, or the
//                   alignment of T if that is larger               written once, before publication
//   128 the elements, without a gap; zero, or what they were made from
//
// Array<long>(8) has eight elements; Array<long>{8} has one, as a std::vector's braces would have
// it. On a file's first page moreover the registry's number, see ipc/mapped_file.h. T is a
// trivially copyable standard-layout type with a name, as in ipc/shared.h, and zeroes are a T. Zero
// elements are allowed; the length never changes.
//
// Units: elements. Errors: making and finding throw Error as ipc/segment.h (files:
// ipc/mapped_file.h) says; std::errc::file_too_large for a length that no memory has;
// Status::mismatch where open_or_create and map_file find another length. Misuse of an index is
// std::out_of_range, of a length std::length_error. Locking throws OwnerDied, Error and
// std::logic_error as Mutex does.
//
// Padding of the values that an array is made from, assigned or filled with stays in this process;
// what is written through a reference to an element is there as it is.
//
// Threads and processes: making and finding may overlap with anything. Elements may be read and
// written at the same time only under lock(), or by atomic() alone. References end with the Array.
// A handle that was moved from may only be assigned to or destroyed.
//
// If a process dies here: making an array leaves nothing behind, or all of it. Killed between
// lock() and its end, a process leaves elements half changed, and the lock says so: lock() throws
// OwnerDied until somebody has come with lock(repair). Killed in the midst of an atomic() call: it
// is done, or it is not. In a file the same holds over reboots that shut down in good order; after
// a power cut only what flush() returned for is certain.
//
// Cost: an element is one load or store. lock() and its end are one compare-and-swap each, no
// system call. flush() waits for the device.

#ifndef SLUICE_IPC_ARRAY_H_
#define SLUICE_IPC_ARRAY_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "sluice/ipc/array_elements.h"
#include "sluice/ipc/array_memory.h"
#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/lock_guard.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice {

/// The elements while their lock is held: to the end of the scope, by the thread that took it.
template <class T>
class [[nodiscard]] LockedArray : public ArrayElements<T> {
 public:
  /// Waits for the lock. Throws as Mutex::lock(): OwnerDied if its last owner died.
  LockedArray(Mutex& mutex, std::span<T> elements) : ArrayElements<T>(elements), hold_(mutex) {}

  /// If an owner died, `repair` gets the elements first.
  template <std::invocable<std::span<T>> Repair>
  LockedArray(Mutex& mutex, std::span<T> elements, Repair repair)
      : ArrayElements<T>(elements), hold_(mutex, [&] { repair(elements); }) {}

  LockedArray(const LockedArray&) = delete;
  LockedArray& operator=(const LockedArray&) = delete;

 private:
  LockGuard<Mutex> hold_;
};

/// robust: the array has a lock, which survives its owner's death; none: it has none.
enum class ArrayLock : std::uint8_t { robust, none };

/// A fixed number of elements in shared memory, or in a file: a handle, and the mapping that it
/// keeps. Users write Array or RawArray.
template <class T, ArrayLock kLock>
class BasicArray : public ArrayElements<T> {
  static_assert(std::is_object_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
                "Array<T>: T must be an object type, neither const nor volatile");
  static_assert(std::is_trivially_copyable_v<T> && internal::Attachable<T>,
                "Array<T>: T must be a trivially copyable standard-layout type: no std::string, no "
                "std::vector, nothing virtual");
  static_assert(!std::is_pointer_v<T> && !std::is_member_pointer_v<T>,
                "Array<T>: a pointer means nothing in another process");
  static_assert(NamedType<T>,
                "Array<T>: T has no name. Add to it the line: static constexpr std::string_view "
                "kTypeName = \"your.Name/1\"; or, if it is not yours, specialise "
                "sluice::kTypeNameOf<T>");
  static_assert(alignof(T) <= kObjectOffset, "Array<T>: T is aligned to more than a page");

  static constexpr bool kHasLock = kLock == ArrayLock::robust;
  using Memory = internal::ArrayMemory;

 public:
  /// Of the bytes in memory; what was made with another is refused with Status::mismatch.
  static constexpr std::uint32_t kVersion = 1;

  /// Without a name: for the threads of this process, for children forked later, and for whoever is
  /// sent fd(). `count` zeroes.
  explicit BasicArray(std::size_t count, const SegmentOptions& options = {})
      : BasicArray(Memory::create_anonymous(shape(), count, options, {})) {}
  /// With these elements.
  template <ValuesFor<T> Values>
    requires(!std::derived_from<Values, BasicArray>)
  explicit BasicArray(const Values& values, const SegmentOptions& options = {})
      : BasicArray(
            Memory::create_anonymous(shape(), std::ranges::size(values), options, from(values))) {}
  /// The same, of values in braces.
  BasicArray(std::initializer_list<T> values)
      : BasicArray(Memory::create_anonymous(shape(), values.size(), {}, from(values))) {}

  /// Under a name that must be free: std::errc::file_exists.
  static BasicArray create(std::string_view name, std::size_t count,
                           const SegmentOptions& options = {}) {
    return BasicArray(Memory::create(name, shape(), count, options, {}));
  }
  /// The same, with these elements.
  template <ValuesFor<T> Values>
  static BasicArray create(std::string_view name, const Values& values,
                           const SegmentOptions& options = {}) {
    return BasicArray(
        Memory::create(name, shape(), std::ranges::size(values), options, from(values)));
  }

  /// What is there: std::errc::no_such_file_or_directory, Status::stale, mismatch, ...
  static BasicArray open(std::string_view name, const SegmentOptions& options = {}) {
    return BasicArray(Memory::open(name, shape(), options));
  }

  /// Opens it if it is there and of that length, otherwise makes it; race-free. created() tells
  /// which.
  static BasicArray open_or_create(std::string_view name, std::size_t count,
                                   const SegmentOptions& options = {}) {
    return BasicArray(Memory::open_or_create(name, shape(), count, options, {}));
  }
  /// The same; if it makes the array, with these elements.
  template <ValuesFor<T> Values>
  static BasicArray open_or_create(std::string_view name, const Values& values,
                                   const SegmentOptions& options = {}) {
    return BasicArray(
        Memory::open_or_create(name, shape(), std::ranges::size(values), options, from(values)));
  }

  /// From a descriptor that another process obtained with fd() and sent.
  static BasicArray from_fd(UniqueFd fd, const SegmentOptions& options = {}) {
    return BasicArray(Memory::from_fd(std::move(fd), shape(), options));
  }

  /// In a file that outlasts everybody: opens it if it is there and of that length, otherwise makes
  /// it. Whoever comes first after a reboot, alone, finds the lock marked if its owner was lost.
  static BasicArray map_file(const std::string& path, std::size_t count,
                             const SegmentOptions& options = {}) {
    return BasicArray(Memory::map_file(path, shape(), count, options, {}));
  }
  /// The same; if it makes the file, with these elements.
  template <ValuesFor<T> Values>
  static BasicArray map_file(const std::string& path, const Values& values,
                             const SegmentOptions& options = {}) {
    return BasicArray(
        Memory::map_file(path, shape(), std::ranges::size(values), options, from(values)));
  }
  /// What is in that file: std::errc::no_such_file_or_directory, Status::mismatch, ...
  static BasicArray open_file(const std::string& path, const SegmentOptions& options = {}) {
    return BasicArray(Memory::open_file(path, shape(), options));
  }

  /// Removes the name, whoever uses the array; they go on. False if there is none.
  static bool remove(std::string_view name) { return Segment::remove(name); }

  BasicArray(BasicArray&& other) noexcept
      : ArrayElements<T>(other.take()), memory_(std::move(other.memory_)) {}
  BasicArray& operator=(BasicArray&& other) noexcept {
    this->put(other.take());
    memory_ = std::move(other.memory_);
    return *this;
  }
  ~BasicArray() = default;

  /// As assign(): as many values as there are elements.
  template <ValuesFor<T> Values>
    requires(!std::derived_from<Values, BasicArray>)
  BasicArray& operator=(const Values& values) {
    this->assign(values);
    return *this;
  }
  /// The same, of values in braces.
  BasicArray& operator=(std::initializer_list<T> values) {
    this->assign(values);
    return *this;
  }

  /// Waits for the lock, and holds it as long as what it returns lives.
  LockedArray<T> lock() const
    requires kHasLock
  {
    return LockedArray<T>(memory_.lock(), this->span());
  }
  /// As lock(), but if an owner died, `repair` puts the elements in order first.
  template <std::invocable<std::span<T>> Repair>
    requires kHasLock
  LockedArray<T> lock(Repair repair) const {
    return LockedArray<T>(memory_.lock(), this->span(), std::move(repair));
  }
  /// Calls `change` with the elements, under the lock, and returns what it returns.
  template <std::invocable<std::span<T>> Change>
    requires kHasLock
  decltype(auto) with_lock(Change change) const {
    const LockedArray<T> held = lock();
    return change(held.span());
  }
  /// The lock itself, for deadlines, conditions and several locks at once.
  [[nodiscard]] Mutex& mutex() const noexcept
    requires kHasLock
  {
    return memory_.lock();
  }

  /// Of an array in a file: returns when all that was written before is on the device. Nothing to
  /// do for the others. Throws Error.
  void flush() const { memory_.flush(); }

  /// Whether this call made the array.
  [[nodiscard]] bool created() const noexcept { return memory_.created(); }
  /// The name, or the path; empty if it has neither.
  [[nodiscard]] const std::string& name() const noexcept { return memory_.name(); }
  /// A new descriptor, for another process's from_fd(). Throws Error, also for a file.
  [[nodiscard]] UniqueFd fd() const { return memory_.fd(); }
  /// What became of the wishes in the options.
  [[nodiscard]] const SegmentReport& report() const noexcept { return memory_.report(); }

  /// For people, one line: kind, type, name, length and lock.
  friend std::ostream& operator<<(std::ostream& out, const BasicArray& array) {
    out << kKindName << ' ' << type_text<T>();
    if (!array.memory_.has_object()) return out << ", moved from";
    if (!array.name().empty()) out << " \"" << array.name() << '"';
    out << ", " << array.size() << " elements";
    if constexpr (kHasLock) out << ", " << array.mutex();
    return out;
  }

 private:
  static constexpr std::string_view kKindName = kHasLock ? "array" : "raw_array";

  static internal::ArrayShape shape() {
    static const std::string type = type_text<T>();
    return {.kind = {.name = kKindName,
                     .version = kVersion,
                     .fingerprint = layout_fingerprint<T>(),
                     .type = type},
            .element_size = sizeof(T),
            .alignment = alignof(T)};
  }

  template <class Values>
  static Memory::Fill from(const Values& values) {
    return [&values](std::span<std::byte> bytes) {
      T* next = internal::attach_object<T>(bytes, std::ranges::size(values));
      for (auto&& value : values) internal::put_value(*next++, static_cast<T>(value));
    };
  }

  explicit BasicArray(Memory memory)
      : ArrayElements<T>(
            {internal::attach_object<T>(memory.elements(), memory.count()), memory.count()}),
        memory_(std::move(memory)) {}

  Memory memory_;
};

/// With a lock, for elements that several parties write.
template <class T>
using Array = BasicArray<T, ArrayLock::robust>;

/// Without a lock: all elements are written by one party at a time, or by atomic() alone.
template <class T>
using RawArray = BasicArray<T, ArrayLock::none>;

}  // namespace sluice

#endif  // SLUICE_IPC_ARRAY_H_
