// SPDX-License-Identifier: Apache-2.0
//
// Codec: writes a value as bytes that another process can read, and reads it again. For messages,
// not for files: there is no version in the bytes, and both sides must be built from one
// definition. Trivially copyable types, std::string, arrays, vector, list, deque, sets, maps, pair,
// tuple, optional and variant travel as they are, in any nesting. A class of yours with such
// members needs one line, in its public part:
//
//   struct Person {
//     std::string name;
//     std::vector<std::string> nicknames;
//     std::string greeting() const { return "Hello, " + name; }
//     auto sluice_members() { return std::tie(name, nicknames); }      // this one
//   };
//   std::vector<std::byte> bytes = encode(Person{"Ada", {"Countess"}});
//   Person person;
//   if (decode(bytes, person) == Status::ok) std::cout << person.greeting();
//
// A type that is not yours gets a specialisation, whose encode() writes at least one byte:
//
//   template <> struct sluice::Codec<acme::Uuid> {
//     static void encode(Encoder& out, const acme::Uuid& id) { out.value(id.words()); }
//     static bool decode(Decoder& in, acme::Uuid& id) { return in.value(id.words()); }
//     static std::size_t size(const acme::Uuid&) { return 16; }        // optional; must be exact
//   };
//
// Pointers, references, views and what holds them do not compile.
//
// In memory, without alignment, little-endian: plain values as their bytes, with the padding
// cleared; bool a byte 0 or 1; a container its count u32 and its elements; an optional a byte 0 or
// 1 and its value; a variant its index u8 and its value; tuples, arrays and members one after the
// other; what has no parts at all one byte 0.
//
// Units: bytes. Errors: decode() returns corrupt for bytes that encode() did not write for this
// type, and leaves the value in some valid state; room too short is too_large. A count is checked
// against the bytes that are left before anything is allocated for it, and values within values
// against kMostNested. Encoding throws std::logic_error for values that can't be read again: a
// valueless variant, more than 2^32-1 elements, nesting beyond kMostNested.
// A plain class is not looked into: a bool or an enumerator in it is what the bytes say. List its
// members if the peer is not trusted.
//
// Threads and processes: pure functions of their arguments. A number is read once and then checked,
// so decoding from memory that somebody else changes meanwhile is as safe as from bytes at rest.
// If a process dies here: nothing is shared.
// Cost: one pass; another one over containers of containers for encoded_size(). Vectors and strings
// of plain elements are copied at once. decode() allocates what the value needs.

#ifndef SLUICE_IPC_CODEC_H_
#define SLUICE_IPC_CODEC_H_

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "sluice/ipc/codec_refusal.h"
#include "sluice/ipc/codec_shapes.h"
#include "sluice/ipc/codec_stream.h"
#include "sluice/ipc/codec_traits.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice {

/// How a T is written and read. Specialise it for a type that isn't yours.
template <class T>
struct Codec {
  /// Tells this one from the specialisations, which have none.
  using BuiltIn = T;

  /// Writes the value. Throws std::logic_error for one that can't be read again.
  static void encode(Encoder& out, const T& value) {
    static_assert(internal::explain_why_not<T>());
    const internal::Nesting<T> nesting(out.depth_);
    nesting.check();
    internal::BuiltInCodec<T, internal::shape_of<T>()>::encode(out, value);
  }

  /// Reads a value; false where the bytes are none, and then it is left in some valid state.
  static bool decode(Decoder& in, T& value) {
    static_assert(internal::explain_why_not<T>());
    const internal::Nesting<T> nesting(in.depth_);
    return !nesting.too_deep() &&
           internal::BuiltInCodec<T, internal::shape_of<T>()>::decode(in, value);
  }

  /// The bytes that encode() will write, exactly.
  static std::size_t size(const T& value) {
    if constexpr (internal::fixed_size<T>() != 0) {
      return internal::fixed_size<T>();
    } else {
      thread_local constinit int depth = 0;
      const internal::Nesting<T> nesting(depth);
      nesting.check();
      return internal::BuiltInCodec<T, internal::shape_of<T>()>::size(value);
    }
  }
};

template <class T>
void Encoder::value(const T& value) {
  Codec<T>::encode(*this, value);
}

template <class T>
bool Decoder::value(T& value) {
  return Codec<T>::decode(*this, value);
}

/// Types whose encoded_size() costs no encoding: all but those with a Codec of their own that does
/// not say.
template <class T>
concept TellsItsSize = Travels<T> && internal::tells_its_size<T>();

/// The bytes that encode() will write, exactly.
template <TellsItsSize T>
[[nodiscard]] std::size_t encoded_size(const T& value) {
  return Codec<T>::size(value);
}

/// Appends `value` to `out`, which grows as needed.
template <class T>
void encode(const T& value, std::vector<std::byte>& out) {
  Encoder(out).value(value);
}

/// The bytes by themselves, in a vector that is just large enough.
template <class T>
[[nodiscard]] std::vector<std::byte> encode(const T& value) {
  std::vector<std::byte> out;
  if constexpr (TellsItsSize<T>) {
    out.resize(encoded_size(value));
    Encoder(std::span(out)).value(value);
  } else {
    encode(value, out);
  }
  return out;
}

/// How encode_into() ended: ok and the bytes used, or too_large.
struct EncodeResult {
  Status status;     ///< ok, or too_large: what fits is written, and of no use
  std::size_t size;  ///< in bytes, if ok
};

/// Into the caller's memory, in one pass.
template <class T>
[[nodiscard]] EncodeResult encode_into(std::span<std::byte> room, const T& value) {
  Encoder out(room);
  out.value(value);
  return {out.fits() ? Status::ok : Status::too_large, out.size()};
}

/// Reads what encode() wrote: all of `bytes`.
template <class T>
Status decode(std::span<const std::byte> bytes, T& value) {
  Decoder in(bytes);
  return in.value(value) && in.left().empty() ? Status::ok : Status::corrupt;
}

/// The same, for who has no other answer than to give up. Throws Error.
template <class T>
[[nodiscard]] T decode(std::span<const std::byte> bytes) {
  T value{};
  if (const Status status = decode(bytes, value); status != Status::ok) {
    throw Error(status, {.tried = "decode a value from " + std::to_string(bytes.size()) + " bytes",
                         .expected = "what encode() writes for its type"});
  }
  return value;
}

}  // namespace sluice

#endif  // SLUICE_IPC_CODEC_H_
