// SPDX-License-Identifier: Apache-2.0
//
// Which classes travel as their bytes (ipc/codec_traits.h): those in which the compiler finds no
// address, and whose padding can be told from their value. Internal.
//
// If a process dies here: nothing is shared.

#ifndef SLUICE_IPC_CODEC_PLAIN_H_
#define SLUICE_IPC_CODEC_PLAIN_H_

#include <array>
#include <bit>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace sluice::internal {

/// Larger classes are not looked into by the compiler: it would take too long.
inline constexpr std::size_t kLargestLookedInto = 4096;

template <class T>
inline constexpr bool kSaysItIsBytes = false;
template <class T>
  requires requires { T::kTravelsAsBytes; }
inline constexpr bool kSaysItIsBytes<T> = T::kTravelsAsBytes;

/// The compiler makes a T of bytes, while compiling, unless it holds an address or a union.
template <class T>
concept MadeOfBytes = requires {
  typename std::bool_constant<(
      static_cast<void>(std::bit_cast<T>(std::array<unsigned char, sizeof(T)>{})), true)>;
};

#if defined(__GNUC__) && !defined(__clang__)
inline constexpr bool kClearsPadding = true;
#else
inline constexpr bool kClearsPadding = false;
#endif

/// Whether the byte `kAt` of a T is part of its value: where it is padding, reading it is refused.
template <class T, std::size_t kAt>
concept IsValueByte = requires {
  typename std::bool_constant<(std::bit_cast<std::array<unsigned char, sizeof(T)>>(std::bit_cast<T>(
                                   std::array<unsigned char, sizeof(T)>{}))[kAt] == 0)>;
};

/// Where no compiler clears padding (clang 19), larger classes that may have some are refused.
inline constexpr std::size_t kLargestMask = 512;

template <class T>
constexpr auto value_byte_mask() {
  return []<std::size_t... kAt>(std::index_sequence<kAt...>) {
    return std::array<bool, sizeof(T)>{IsValueByte<T, kAt>...};
  }(std::make_index_sequence<sizeof(T)>());
}

/// Nothing of an object's bytes is padding.
template <class T>
inline constexpr bool kHasNoPadding =
    std::has_unique_object_representations_v<T> || std::is_same_v<T, float> ||
    std::is_same_v<T, double> || std::is_enum_v<T> || kSaysItIsBytes<T>;

template <class T>
concept PlainClass =
    (std::is_class_v<T> || std::is_union_v<T>) && std::is_trivially_copyable_v<T> &&
    (kSaysItIsBytes<T> || (!std::is_union_v<T> && !std::is_polymorphic_v<T> &&
                           (sizeof(T) > kLargestLookedInto || MadeOfBytes<T>) &&
                           (kHasNoPadding<T> || kClearsPadding || sizeof(T) <= kLargestMask)));

}  // namespace sluice::internal

#endif  // SLUICE_IPC_CODEC_PLAIN_H_
