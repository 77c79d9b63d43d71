// SPDX-License-Identifier: Apache-2.0
//
// Fingerprints: numbers by which two processes agree that they mean the same bytes. They depend on
// what the program says of a type (name, size, alignment), never on compiler, flags or sanitizer.
//
//   struct Order { static constexpr std::string_view kTypeName = "acme.Order/2"; ... };
//   static_assert(type_fingerprint<Order>() != type_fingerprint<Trade>());
//
// A type without kTypeName is known by its size and alignment alone: two such types of one size are
// not told apart. The arithmetic types have names of their own.
//
// Not a checksum against malice: whoever can write the bytes can write the fingerprint.
// Threads, processes, death: pure functions, computed at compile time.
// Source: the FNV-1a hash of Fowler, Noll and Vo.

#ifndef SLUICE_IPC_FINGERPRINT_H_
#define SLUICE_IPC_FINGERPRINT_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace sluice {

/// FNV-1a, 64 bits, continued from `hash`.
class Fnv1a {
 public:
  constexpr Fnv1a& add(std::uint8_t byte) {
    hash_ = (hash_ ^ byte) * 0x100000001b3;
    return *this;
  }
  constexpr Fnv1a& add(std::string_view text) {
    for (const char c : text) add(static_cast<std::uint8_t>(c));
    return *this;
  }
  constexpr Fnv1a& add(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) add(static_cast<std::uint8_t>(b));
    return *this;
  }
  /// The eight bytes of `number`, lowest first.
  constexpr Fnv1a& add_number(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) add(static_cast<std::uint8_t>(number >> shift));
    return *this;
  }
  [[nodiscard]] constexpr std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

/// The name by which T is known across processes; empty if it has none.
template <class T>
constexpr std::string_view type_name() {
  if constexpr (requires { std::string_view(T::kTypeName); }) {
    return T::kTypeName;
  } else if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "float";
  } else if constexpr (std::is_integral_v<T>) {
    return std::is_signed_v<T> ? "signed" : "unsigned";
  } else {
    return "";
  }
}

template <class T>
constexpr std::uint64_t type_fingerprint() {
  return Fnv1a().add(type_name<T>()).add_number(sizeof(T)).add_number(alignof(T)).value();
}

}  // namespace sluice

#endif  // SLUICE_IPC_FINGERPRINT_H_
