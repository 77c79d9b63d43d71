// SPDX-License-Identifier: Apache-2.0
//
// Internal: the items that the checks of testkit/queue_checks.h send through a queue. Each is made
// of an id (testkit/models.h) and says its id, or kTorn if it is not whole any more. They are
// ordered by it, for queues that have priorities.
//
// Units: items. Errors: none. Threads: plain values. If a process dies here: nothing. Cost: a copy.

#ifndef SLUICE_TESTKIT_CHECK_ITEMS_H_
#define SLUICE_TESTKIT_CHECK_ITEMS_H_

#include <array>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/tracked.h"

namespace sluice::internal {

/// No item has this id.
inline constexpr std::uint64_t kTorn = ~std::uint64_t{1};

/// The address, without what the compiler concludes of it from the type.
inline std::uintptr_t address_of(const void* item) {
  // An empty statement of which the compiler can't know that it changes nothing.
  asm("" : "+r"(item));
  return reinterpret_cast<std::uintptr_t>(item);
}

/// Each word differs from its neighbours, and from those of every other item.
template <std::size_t kWords, std::size_t kAlign = alignof(std::uint64_t)>
struct alignas(kAlign) WideItem {
  WideItem() = default;
  explicit WideItem(std::uint64_t id) {
    for (std::size_t i = 0; i < kWords; ++i) words[i] = word(id, i);
  }

  [[nodiscard]] std::uint64_t id() const {
    const std::uint64_t id = words[0];
    for (std::size_t i = 1; i < kWords; ++i) {
      if (words[i] != word(id, i)) return kTorn;
    }
    return id;
  }

  friend auto operator<=>(const WideItem& a, const WideItem& b) { return a.id() <=> b.id(); }
  friend bool operator==(const WideItem& a, const WideItem& b) { return a.id() == b.id(); }
  static constexpr std::uint64_t word(std::uint64_t id, std::size_t i) {
    return id + 0x9e37'79b9'7f4a'7c15 * i;
  }

  std::array<std::uint64_t, kWords> words{};
};

/// A few cache lines, and so more than any machine writes at once.
using SeveralWords = WideItem<4>;
using LargeItem = WideItem<512>;
/// For queues that move items as bytes.
using PlainAlignedItem = WideItem<4, 128>;

/// Knows where it may lie.
struct alignas(128) AlignedItem {
  AlignedItem() noexcept { check(); }
  explicit AlignedItem(std::uint64_t id) noexcept : content(id) { check(); }
  AlignedItem(const AlignedItem& other) noexcept : content(other.content) { check(); }
  AlignedItem& operator=(const AlignedItem& other) noexcept {
    content = other.content;
    check();
    return *this;
  }
  ~AlignedItem() { check(); }

  [[nodiscard]] std::uint64_t id() const { return content.id(); }
  friend auto operator<=>(const AlignedItem& a, const AlignedItem& b) { return a.id() <=> b.id(); }
  friend bool operator==(const AlignedItem& a, const AlignedItem& b) { return a.id() == b.id(); }
  void check() const noexcept { misplaced = misplaced || address_of(this) % 128 != 0; }

  static inline bool misplaced = false;
  WideItem<4> content;
};

struct MoveOnlyItem {
  MoveOnlyItem() = default;
  explicit MoveOnlyItem(std::uint64_t id) : value(std::make_unique<std::uint64_t>(id)) {}
  [[nodiscard]] std::uint64_t id() const { return value == nullptr ? kTorn : *value; }
  friend auto operator<=>(const MoveOnlyItem& a, const MoveOnlyItem& b) {
    return a.id() <=> b.id();
  }
  friend bool operator==(const MoveOnlyItem& a, const MoveOnlyItem& b) { return a.id() == b.id(); }

  std::unique_ptr<std::uint64_t> value;
};

inline std::uint64_t id_of(std::uint64_t item) { return item; }
template <class Item>
  requires requires(const Item& item) {
    { item.id() } -> std::same_as<std::uint64_t>;
  }
std::uint64_t id_of(const Item& item) {
  return item.id();
}

/// Whether the kit's queue carries such items.
template <class Kit, class T>
concept KitCarries = requires {
  typename Kit::template Adapter<T>;
  requires testkit::QueueAdapter<typename Kit::template Adapter<T>>;
};

/// The kit's adapter of items of that type.
template <class Kit, class T = std::uint64_t>
using AdapterOf = typename Kit::template Adapter<T>;

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_CHECK_ITEMS_H_
