// SPDX-License-Identifier: Apache-2.0
//
// Values as bytes: what may be copied between processes, how it is compared, and how its padding,
// which may hold a secret of the process that made it, is kept from leaving that process. Internal.
//
// Padding: gcc clears it by a builtin. clang 19 has none; there the compiler is asked byte by byte,
// at compile time, whether a constant T has a value there; it can't be asked of types with
// pointers, unions, bit-fields or more than 256 bytes, and those that may have padding are refused.
//
// If a process dies here: private memory only. Cost: nothing for types that can't have padding.

#ifndef SLUICE_LOCKFREE_VALUE_BYTES_H_
#define SLUICE_LOCKFREE_VALUE_BYTES_H_

#include <array>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

namespace sluice {

/// What can be a value in shared memory: copied by its bytes. Pointers in it would mean nothing to
/// another process.
template <class T>
concept SharedValue =
    std::is_object_v<T> && std::is_trivially_copyable_v<T> && std::copyable<T> &&
    !std::is_const_v<T> && !std::is_volatile_v<T> && !std::is_pointer_v<T> && !std::is_array_v<T>;

/// What can be compared by value: by its own operator==, or by its bytes where each value has one
/// representation only.
template <class T>
concept ComparableValue =
    std::equality_comparable<T> || std::has_unique_object_representations_v<T>;

}  // namespace sluice

namespace sluice::internal {

/// Room for a T whose bytes come from elsewhere: T need not have a default constructor.
template <class T>
union ValueRoom {
  ValueRoom() noexcept {}  // NOLINT(modernize-use-equals-default): T may lack one
  T value;
};

template <class T>
[[nodiscard]] constexpr bool same_value(const T& a, const T& b) {
  static_assert(ComparableValue<T>,
                "T has no operator==, and its bytes are no substitute: it has padding, or floating "
                "point numbers (0.0 == -0.0). Give it one: "
                "bool operator==(const T&) const = default;");
  if constexpr (std::equality_comparable<T>) {
    return a == b;
  } else {
    return std::memcmp(&a, &b, sizeof(T)) == 0;
  }
}

template <class T>
inline constexpr bool kMayHavePadding = !std::has_unique_object_representations_v<T> &&
                                        !std::is_same_v<T, float> && !std::is_same_v<T, double>;
template <class T, std::size_t kLength>
inline constexpr bool kMayHavePadding<std::array<T, kLength>> = kMayHavePadding<T>;

template <std::size_t kSize>
struct RawBytes {
  unsigned char at[kSize];
};

/// Whether a T of zeroes has a value at byte kIndex, as far as the compiler can tell.
template <class T, std::size_t kIndex>
concept HasValueAt = requires {
  typename std::bool_constant<(
      __builtin_bit_cast(RawBytes<sizeof(T)>, __builtin_bit_cast(T, RawBytes<sizeof(T)>{}))
          .at[kIndex] < 256)>;
};

template <class T>
inline constexpr std::array<bool, sizeof(T)> kHasValue =
    []<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
      return std::array<bool, sizeof(T)>{HasValueAt<T, kIndex>...};
    }(std::make_index_sequence<sizeof(T)>());

template <class T>
void clear_padding_by_table(T& value) noexcept {
  if constexpr (sizeof(T) <= 256) {
    static_assert(kHasValue<T>[0] || std::is_empty_v<T>,
                  "this compiler can't find the padding of T: use gcc, or leave no padding in T");
    unsigned char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      if (!kHasValue<T>[i]) bytes[i] = 0;
    }
    std::memcpy(static_cast<void*>(&value), bytes, sizeof(T));
  } else {
    static_assert(sizeof(T) <= 256,
                  "this compiler can't find the padding of a large T: use gcc, or leave no padding "
                  "in T (std::has_unique_object_representations)");
  }
}

/// Whether clear_padding() of a T compiles.
template <class T>
inline constexpr bool kCanClearPadding = [] {
#if __has_builtin(__builtin_clear_padding)
  return std::is_trivially_copyable_v<T>;
#else
  if constexpr (!std::is_trivially_copyable_v<T> || sizeof(T) > 256) {
    return false;
  } else {
    return !kMayHavePadding<T> || kHasValue<T>[0];
  }
#endif
}();

/// Makes the bytes of `value` that belong to no member zero.
template <class T>
void clear_padding(T& value) noexcept {
#if __has_builtin(__builtin_clear_padding)
  if constexpr (kMayHavePadding<T>) __builtin_clear_padding(&value);
#else
  if constexpr (kMayHavePadding<T>) clear_padding_by_table(value);
#endif
}

/// Writes `value` to shared memory, with zeroes where it has padding.
template <class T>
void put_value(T& shared, const T& value) noexcept {
  if constexpr (kMayHavePadding<T>) {
    T clean = value;
    clear_padding(clean);
    std::memcpy(static_cast<void*>(&shared), &clean, sizeof(T));
  } else {
    shared = value;
  }
}

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_VALUE_BYTES_H_
