// SPDX-License-Identifier: Apache-2.0
//
// CheckedItem: an item of several words whose tearing shows. And the two ways from an item to its
// number, so that whatever an adapter can carry of the kit's items serves: a CheckedItem, or a
// number alone, which can't be torn.
//
//   queue.try_push(make_item<CheckedItem>(item(1, 7)));
//   if (!is_whole(popped)) complain();
//   use(number_in(popped));
//
// Units, errors, threads, processes, death, cost: plain values.

#ifndef SLUICE_TESTKIT_CHECKED_ITEM_H_
#define SLUICE_TESTKIT_CHECKED_ITEM_H_

#include <compare>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// An item of three words, two of which follow from the first: a mixture of two items shows.
struct CheckedItem {
  std::uint64_t number = 0;  ///< which item it is, as item() of testkit/models.h makes it
  std::uint64_t inverse = ~std::uint64_t{0};  ///< of a whole item: ~number
  std::uint64_t triple = 0;                   ///< of a whole item: number * 3, modulo 2^64

  /// False if it is torn: its words do not belong together.
  [[nodiscard]] constexpr bool is_whole() const {
    return inverse == ~number && triple == number * 3;
  }

  /// By number, for queues that order by priority.
  constexpr auto operator<=>(const CheckedItem& other) const { return number <=> other.number; }
  constexpr bool operator==(const CheckedItem&) const = default;
};

/// What the checks between processes can push.
template <class T>
concept KitItem = std::same_as<T, CheckedItem> || std::same_as<T, std::uint64_t>;

/// A whole item of this number; of the kind that is a number, the number.
template <KitItem T>
constexpr T make_item(std::uint64_t number) {
  if constexpr (std::same_as<T, CheckedItem>) {
    return {number, ~number, number * 3};
  } else {
    return number;
  }
}

/// False if the item is torn.
constexpr bool is_whole(const CheckedItem& item) { return item.is_whole(); }
/// True of each: a number alone can't be torn.
constexpr bool is_whole(std::uint64_t) { return true; }
/// What make_item() was told; of a torn item, what its first word says.
constexpr std::uint64_t number_in(const CheckedItem& item) { return item.number; }
/// The item itself.
constexpr std::uint64_t number_in(std::uint64_t item) { return item; }

/// The adapter of the most telling of these items that the queue can carry.
template <template <class> class Adapter>
using OfKitItems =
    Adapter<std::conditional_t<Carries<Adapter, CheckedItem>, CheckedItem, std::uint64_t>>;

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_CHECKED_ITEM_H_
