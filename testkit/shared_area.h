// SPDX-License-Identifier: Apache-2.0
//
// SharedArea<T>: a T in memory that forked children share, for the tests of testkit/crash.h and
// testkit/kill_stress.h. Not for programs: it has no name, no stamp and no check (ipc/segment.h
// has), and every process that is not a child is left out.
//
//   struct Shared { std::atomic<int> value, ready; };
//   SharedArea<Shared> area;
//   area.reset();       // zeroed, with a new Shared in it
//   area->value = 7;    // seen by every child, whenever it was forked
//
// In memory: one anonymous shared mapping with the T at its start, on a page boundary.
//
// Units: bytes. Errors: std::system_error if there is no memory.
//
// Threads and processes: as the T itself allows; reset() while nobody else uses the area.
//
// If a process dies here: what it has written stays, and nobody destroys the T.
//
// Cost: a page at least, and one system call; an access costs what memory costs.

#ifndef SLUICE_TESTKIT_SHARED_AREA_H_
#define SLUICE_TESTKIT_SHARED_AREA_H_

#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>

namespace sluice::internal {

/// Zeroed memory that children forked later share. Throws std::system_error.
[[nodiscard]] void* map_shared(std::size_t bytes);
void unmap_shared(void* memory, std::size_t bytes) noexcept;

}  // namespace sluice::internal

namespace sluice::testkit {

/// A T in memory that forked children share. Nobody destroys the T: a killed process could not.
template <class T>
class SharedArea {
  static_assert(std::is_default_constructible_v<T>, "reset() makes a new T without arguments");
  static_assert(std::is_trivially_destructible_v<T>,
                "a T whose process was killed is never destroyed");
  static_assert(alignof(T) <= 4096, "the T lies at the start of a page");

 public:
  /// Maps zeroed memory and makes a T in it. Throws std::system_error if there is none.
  SharedArea() : memory_(internal::map_shared(sizeof(T))) { object_ = ::new (memory_) T(); }
  /// Unmaps it in this process; others keep theirs.
  ~SharedArea() { internal::unmap_shared(memory_, sizeof(T)); }
  SharedArea(const SharedArea&) = delete;
  SharedArea& operator=(const SharedArea&) = delete;

  /// The T: of each child the same one as of its parent.
  T& operator*() const noexcept { return *object_; }
  /// The same, for a member of it.
  T* operator->() const noexcept { return object_; }

  /// The bytes of the T, for CrashOperation::shared.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {static_cast<const std::byte*>(memory_), sizeof(T)};
  }

  /// Zeroes the bytes and constructs a new T. For setup(), when no other process uses the area.
  void reset() {
    std::memset(memory_, 0, sizeof(T));
    object_ = ::new (memory_) T();
  }

 private:
  void* memory_;
  T* object_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SHARED_AREA_H_
