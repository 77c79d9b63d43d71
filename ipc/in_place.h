// SPDX-License-Identifier: Apache-2.0
//
// What a pop or a push in place is given: an item as it lies in shared memory, without a copy of
// its own.
//
//   queue.pop_in_place([](std::string_view line) { parse(line); });          // Queue<std::string>
//   queue.push_in_place(size, [&](std::span<char> line) { read(fd, line); });
//
// Bytes that are seen in place are the peers' as well: one that keeps the rules leaves them alone
// until the call is over, one that does not can change them between two looks. Who can't trust its
// peers reads each byte once, or pops a copy.
//
// Errors: none of its own. Threads: plain values. If a process dies here: nothing is shared but the
// bytes.

#ifndef SLUICE_IPC_IN_PLACE_H_
#define SLUICE_IPC_IN_PLACE_H_

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>
#include <type_traits>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/codec_stream.h"
#include "sluice/ipc/codec_traits.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Strings and vectors of bytes: items that lie in one piece, whatever their alignment.
template <class T>
concept ByteSequence =
    internal::shape_of<T>() == internal::Shape::sequence && sizeof(internal::Element<T>) == 1 &&
    std::is_trivially_copyable_v<internal::Element<T>> &&
    !std::same_as<internal::Element<T>, bool> && requires(T& t) { t.data(), t.resize(1); };

namespace internal {

template <class T>
struct InPlace {
  using View = const T&;
};
template <ByteSequence T>
struct InPlace<T> {
  using View = std::span<const Element<T>>;
};
template <ByteSequence T>
  requires std::same_as<Element<T>, char>
struct InPlace<T> {
  using View = std::string_view;
};

}  // namespace internal

/// How an item is seen in place: a string as a std::string_view, a vector of bytes as a
/// std::span<const Element>, any other as a const T&.
template <class T>
using ItemView = typename internal::InPlace<T>::View;

namespace internal {

/// What the sequence's bytes take besides themselves.
inline constexpr std::size_t kCountBytes = sizeof(std::uint32_t);

/// Shows `use` the item that was encoded so: ok, or corrupt. What is no sequence of bytes is
/// decoded first.
template <class T, class Use>
Status see_in_place(std::span<const std::byte> bytes, Use& use) {
  if constexpr (ByteSequence<T>) {
    Decoder in(bytes);
    std::size_t count = 0;
    std::span<const std::byte> all;
    if (!in.count(count) || !in.take(count, all) || !in.left().empty()) return Status::corrupt;
    use(ItemView<T>(std::bit_cast<const Element<T>*>(all.data()), count));
    return Status::ok;
  } else {
    T item{};
    const Status status = decode(bytes, item);
    if (status == Status::ok) use(static_cast<const T&>(item));
    return status;
  }
}

/// Encodes an item into room of the size that it had said.
template <class T>
void write_item(const T& item, std::span<std::byte> room) {
  const EncodeResult result = encode_into(room, item);
  if (result.status != Status::ok || result.size != room.size()) {
    throw std::logic_error("sluice: an item changed while it was being pushed");
  }
}

/// Encodes an item of `count` bytes that `fill` writes.
template <ByteSequence T, class Fill>
void fill_in_place(std::span<std::byte> room, std::size_t count, Fill& fill) {
  Encoder(room.first(kCountBytes)).count(count);
  const std::span<std::byte> all = room.subspan(kCountBytes, count);
  fill(std::span<Element<T>>(std::bit_cast<Element<T>*>(all.data()), count));
}

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_IPC_IN_PLACE_H_
