// SPDX-License-Identifier: Apache-2.0
//
// Word: a fixed-width integer in memory that several processes see; and attach_object, the one
// place where bytes of a mapping become an object. Internal: users meet neither.
//
// A Word is a plain member. It is read and written only through the environment (sync/env.h), which
// reaches it with std::atomic_ref, so that no shared struct holds a std::atomic whose layout or
// constructor belongs to a compiler.
//
// Lifetime. The bytes of a fresh mapping are zero and hold no object. attach_object() returns a
// pointer to an object of an implicit-lifetime type: mmap(2) is taken to create implicitly, as
// operator new does ([intro.object]), the objects that give the program defined behaviour, and
// std::launder yields the pointer to it. C++23 spells this std::start_lifetime_as. A type with
// Words of its own is one step beyond: it has a default constructor, so that a local one starts as
// zeroes like a mapped one; over the bytes of a mapping that constructor would change nothing, and
// is left out. A user's type may have any constructor (ipc/shared.h): its creator ran it over these
// bytes before anybody else saw them. Nobody destroys such an object: its destructor is trivial and
// its storage goes with the mapping.
//
// If a process dies here: a Word is written by single atomic operations, so it holds the old value
// or the new one; which of the two a crash may leave is said beside each Word.

#ifndef SLUICE_SYNC_WORD_H_
#define SLUICE_SYNC_WORD_H_

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <type_traits>

#include "sluice/sync/platform.h"

namespace sluice::internal {

template <std::integral T>
struct Word {
  Word() = default;
  Word(const Word&) = delete;
  Word& operator=(const Word&) = delete;

  /// Never touched by name outside the environment.
  alignas(std::atomic_ref<T>::required_alignment) T raw = 0;

  static_assert(std::atomic_ref<T>::is_always_lock_free);
};

static_assert(sizeof(Word<std::uint32_t>) == 4 && sizeof(Word<std::uint64_t>) == 8);
static_assert(std::is_standard_layout_v<Word<std::uint64_t>>);
static_assert(std::is_trivially_destructible_v<Word<std::uint64_t>>);

/// A type whose objects may be found in a mapping: layout fixed by the standard, nothing to run at
/// the end.
template <class T>
concept Attachable = std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T>;

/// One whose objects need no creator, since zeroed bytes are one: nothing to run at the beginning
/// but zeroing.
template <class T>
concept Mappable =
    Attachable<T> && (std::is_aggregate_v<T> || std::is_nothrow_default_constructible_v<T>);

/// The T, or the first of `count` consecutive Ts, at the start of `memory`; nullptr if it is too
/// small or not aligned for T. The only reinterpret_cast of the tree that makes an object.
template <Attachable T>
[[nodiscard]] T* attach_object(std::span<std::byte> memory, std::size_t count = 1) noexcept {
  if (count > memory.size() / sizeof(T)) return nullptr;
  if (reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(T) != 0) return nullptr;
  return std::launder(reinterpret_cast<T*>(memory.data()));
}

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_WORD_H_
