// SPDX-License-Identifier: Apache-2.0
//
// Fingerprints: numbers by which two processes agree that they mean the same bytes. They depend on
// what the program says of a type (name, size, alignment), never on compiler, flags or sanitizer.
//
//   struct Order { static constexpr std::string_view kTypeName = "acme.Order/2"; ... };
//   template <> inline constexpr std::string_view sluice::kTypeNameOf<other::Trade> = "acme.Trade";
//   static_assert(type_fingerprint<Order>() != type_fingerprint<other::Trade>());
//
//   struct Bank {                                             // lists its members as well, so that
//     static constexpr std::string_view kTypeName = "acme.Bank";      // two of them that change
//     long left, right;                                               // places are noticed
//     static constexpr auto kMembers = std::tuple(&Bank::left, &Bank::right);
//   };
//   layout_fingerprint<Bank>();
//
// A type without a name is known by its size and alignment alone: two such types of one size are
// not told apart. The arithmetic types have names of their own, and an array has its element's.
//
// Not a checksum against malice: whoever can write the bytes can write the fingerprint.
// Threads, processes, death: pure functions, computed at compile time (but for listed members).
// Source: the FNV-1a hash of Fowler, Noll and Vo.

#ifndef SLUICE_IPC_FINGERPRINT_H_
#define SLUICE_IPC_FINGERPRINT_H_

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace sluice {

/// FNV-1a, 64 bits, continued from `hash`.
class Fnv1a {
 public:
  /// Continues the hash with one byte.
  constexpr Fnv1a& add(std::uint8_t byte) {
    hash_ = (hash_ ^ byte) * 0x100000001b3;
    return *this;
  }
  /// Continues it with the characters, not with how many there are.
  constexpr Fnv1a& add(std::string_view text) {
    for (const char c : text) add(static_cast<std::uint8_t>(c));
    return *this;
  }
  /// Continues it with the bytes, not with how many there are.
  constexpr Fnv1a& add(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) add(static_cast<std::uint8_t>(b));
    return *this;
  }
  /// The eight bytes of `number`, lowest first.
  constexpr Fnv1a& add_number(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) add(static_cast<std::uint8_t>(number >> shift));
    return *this;
  }
  /// The hash of all that was added so far.
  [[nodiscard]] constexpr std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

/// The name of a type that can't have a kTypeName of its own: specialise it.
template <class T>
inline constexpr std::string_view kTypeNameOf{};

namespace internal {

/// Arrays, of either sort.
template <class T>
struct ArrayTraits {
  static constexpr bool kIsArray = false;
};
template <class T, std::size_t kLength>
struct ArrayTraits<T[kLength]> {
  static constexpr bool kIsArray = true;
  static constexpr std::size_t kCount = kLength;
  using Element = T;
};
template <class T, std::size_t kLength>
struct ArrayTraits<std::array<T, kLength>> : ArrayTraits<T[kLength]> {};
template <class T>
struct ArrayTraits<std::array<T, 0>> {
  static constexpr bool kIsArray = false;
};

}  // namespace internal

/// The name by which T is known across processes; empty if it has none. An array's is its
/// element's.
template <class T>
constexpr std::string_view type_name() {
  if constexpr (requires { std::string_view(T::kTypeName); }) {
    return T::kTypeName;
  } else if constexpr (!kTypeNameOf<T>.empty()) {
    return kTypeNameOf<T>;
  } else if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_same_v<T, std::byte>) {
    return "byte";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "float";
  } else if constexpr (std::is_integral_v<T>) {
    return std::is_signed_v<T> ? "signed" : "unsigned";
  } else if constexpr (internal::ArrayTraits<T>::kIsArray) {
    return type_name<typename internal::ArrayTraits<T>::Element>();
  } else {
    return "";
  }
}

/// A type that processes of different programs can't take for another.
template <class T>
concept NamedType = !type_name<T>().empty();

/// Its name for people: "acme.Order/2", "signed32", "float64[10]".
template <class T>
std::string type_text() {
  using Traits = internal::ArrayTraits<T>;
  if constexpr (Traits::kIsArray) {
    return type_text<typename Traits::Element>() + "[" + std::to_string(Traits::kCount) + "]";
  } else if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    return std::string(type_name<T>()) + std::to_string(8 * sizeof(T));
  } else {
    return std::string(type_name<T>());
  }
}

/// A number of T's name, size and alignment; of an array, of its element's and its length.
template <class T>
constexpr std::uint64_t type_fingerprint() {
  using Traits = internal::ArrayTraits<T>;
  if constexpr (Traits::kIsArray) {
    return Fnv1a()
        .add("array")
        .add_number(type_fingerprint<typename Traits::Element>())
        .add_number(Traits::kCount)
        .value();
  } else {
    return Fnv1a().add(type_name<T>()).add_number(sizeof(T)).add_number(alignof(T)).value();
  }
}

namespace internal {

/// Type and place of a member. A pointer to one is its offset in the platform's C++ ABI, which GCC
/// and Clang share.
template <class T, class Member>
void add_member(Fnv1a& hash, Member T::* member) {
  static_assert(sizeof member == sizeof(std::uint64_t));
  hash.add_number(type_fingerprint<Member>()).add_number(std::bit_cast<std::uint64_t>(member));
}

}  // namespace internal

/// As type_fingerprint(), and if T lists its members (kMembers, a tuple of pointers to them) their
/// types and places as well.
template <class T>
std::uint64_t layout_fingerprint() {
  if constexpr (requires { T::kMembers; }) {
    Fnv1a hash = Fnv1a().add_number(type_fingerprint<T>());
    std::apply([&](auto... member) { (internal::add_member(hash, member), ...); }, T::kMembers);
    return hash.value();
  } else {
    return type_fingerprint<T>();
  }
}

}  // namespace sluice

#endif  // SLUICE_IPC_FINGERPRINT_H_
