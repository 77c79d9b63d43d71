// SPDX-License-Identifier: Apache-2.0
//
// ShareableList: a list of a fixed shape whose items are of various types, in memory that several
// processes see: as Python's of that name. Not for speed, and not for what grows: each item has the
// room that its first value needed.
//
//   ShareableList list({"howdy", 273.154, 100, true, {}, Bytes(8)});
//   auto named = ShareableList::create("settings", {"eth0", 9000});
//   auto same = ShareableList::open("settings");                       // elsewhere
//   list.set(2, -7);
//   for (const ListItem item : list) std::cout << item_text(item) << '\n';
//   if (list[0] == ListItem("howdy")) list[0] = "hi";
//
// In memory: behind the stamp of ipc/segment.h (kind "shareable_list", version 1)
//
//     0 lock (sync/mutex.h), 16 bytes          16 count u64   24 where the values end u64
//    32 per item 16 bytes: offset of its values u64, room u32, which of its two values is the
//       newest u32: bit 0 of it; the rest counts
//       the values; an item has two: { type u32, length u32, bytes[room] } each, 8-byte aligned
//
// A value is written beside the newest one, and then named the newest: nobody ever reads half of
// one. Numbers, true and none take 8 bytes; a string or bytes their length, rounded up to a
// multiple of 8, at least 8. Lengths are stored, so zeroes and any encoding survive.
//
// Units: bytes. Errors: making and finding throw Error as ipc/segment.h says. An index out of
// range is std::out_of_range, a value that does not fit std::length_error, naming both sizes; an
// absent value std::invalid_argument (index()). Each access throws Error(Status::corrupt) where
// another process has overwritten what it needs.
//
// Threads and processes: all calls may overlap; each is one step for the others, under the list's
// lock; a walk over the list is one step per item.
//
// If a process dies here: making the list leaves nothing behind, or all of it. Killed in set(), it
// leaves the item's old value or its new one: the commit is the store that names it the newest. The
// lock is repaired by whoever comes next, who has nothing to mend.
//
// Cost: get() and set() a lock, a copy and an unlock; no system call. Double the memory.

#ifndef SLUICE_IPC_SHAREABLE_LIST_H_
#define SLUICE_IPC_SHAREABLE_LIST_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// The value of an item of type bytes; zeroes in it survive.
using Bytes = std::vector<std::byte>;

/// none, bool, int, float, str, bytes. Equal if the types are, too: 1 is neither true nor 1.0.
using ListItem = std::variant<std::monostate, bool, std::int64_t, double, std::string, Bytes>;

/// As Python writes it: None, True, 1, 1.5, 'text', b'\x00'.
std::string item_text(const ListItem& item);

/// A list in shared memory of a fixed length: a handle, and the mapping that it keeps.
class ShareableList {
 public:
  class Iterator;
  class Reference;
  using value_type = ListItem;
  /// Of the bytes in memory; what was made with another is refused with Status::mismatch.
  static constexpr std::uint32_t kVersion = 1;

  /// Without a name: for the threads of this process, for children forked later, and for whoever is
  /// sent fd().
  explicit ShareableList(std::span<const ListItem> items, const SegmentOptions& options = {});
  /// The same, of items in braces.
  ShareableList(std::initializer_list<ListItem> items)
      : ShareableList(std::span(items.begin(), items.size())) {}

  /// Under a name that must be free: std::errc::file_exists.
  static ShareableList create(std::string_view name, std::span<const ListItem> items,
                              const SegmentOptions& options = {});
  /// The same, of items in braces.
  static ShareableList create(std::string_view name, std::initializer_list<ListItem> items,
                              const SegmentOptions& options = {}) {
    return create(name, std::span(items.begin(), items.size()), options);
  }
  /// What is there: std::errc::no_such_file_or_directory, Status::stale, mismatch, ...
  static ShareableList open(std::string_view name, const SegmentOptions& options = {});
  /// Opens it if it is there, whatever its items, otherwise makes it; race-free. created() tells
  /// which.
  static ShareableList open_or_create(std::string_view name, std::span<const ListItem> items,
                                      const SegmentOptions& options = {});
  /// From a descriptor that another process obtained with fd() and sent.
  static ShareableList from_fd(UniqueFd fd, const SegmentOptions& options = {});
  /// Removes the name, whoever uses the list; they go on. False if there is none.
  static bool remove(std::string_view name) { return Segment::remove(name); }

  /// In items; fixed when the list was made.
  [[nodiscard]] std::size_t size() const noexcept { return slots_.size(); }
  /// Whether the list was made without items.
  [[nodiscard]] bool empty() const noexcept { return slots_.empty(); }

  /// A copy of the item as it is now, never half of one. Throws std::out_of_range, Error.
  [[nodiscard]] ListItem get(std::size_t index) const;
  /// Replaces the item, by one of any type if it fits. Throws std::out_of_range, std::length_error,
  /// Error; then the old one is still there.
  void set(std::size_t index, const ListItem& item) const;
  /// Reads and writes as get() and set() do.
  [[nodiscard]] Reference operator[](std::size_t index) const;

  /// The first item, read when it is looked at. Others may change items during a walk.
  [[nodiscard]] Iterator begin() const noexcept;
  /// Behind the last item: where every walk ends, since the length is fixed.
  [[nodiscard]] Iterator end() const noexcept;

  /// How many items are equal to this.
  [[nodiscard]] std::size_t count(const ListItem& item) const;
  /// The first that is equal to this. Throws std::invalid_argument if none is.
  [[nodiscard]] std::size_t index(const ListItem& item) const;

  /// The most bytes that a string or bytes there may have.
  [[nodiscard]] std::size_t room(std::size_t index) const;
  /// What the item is now: "none", "bool", "int", "float", "str[8]", "bytes[16]".
  [[nodiscard]] std::string format(std::size_t index) const;

  /// A list of its own with the same items, as they are at one moment, in as much room; without a
  /// name.
  [[nodiscard]] ShareableList copy(const SegmentOptions& options = {}) const;
  /// The same, under a name that must be free.
  [[nodiscard]] ShareableList copy(std::string_view name, const SegmentOptions& options = {}) const;

  /// Whether this call made the list.
  [[nodiscard]] bool created() const noexcept { return segment_.created(); }
  /// Empty if it has none.
  [[nodiscard]] const std::string& name() const noexcept { return segment_.name(); }
  /// A new descriptor, for another process's from_fd(). Throws Error.
  [[nodiscard]] UniqueFd fd() const { return segment_.fd(); }

  /// For people, one line.
  friend std::ostream& operator<<(std::ostream& out, const ShareableList& list);

 private:
  struct Header;
  struct Entry;
  /// Where an item lies, checked when the list was attached.
  struct Slot {
    std::size_t offset, room;
  };

  explicit ShareableList(Segment segment);
  static Segment::Format format_of(std::span<const ListItem> items, std::vector<Slot> slots);
  /// Where the items shall lie, and behind them where they end. With no less room than `least` has.
  static std::vector<Slot> shape_of(std::span<const ListItem> items,
                                    std::span<const Slot> least = {});
  static Segment make_anonymous(std::span<const ListItem> items, std::vector<Slot> slots,
                                const SegmentOptions& options);
  static Segment make_named(std::string_view name, std::span<const ListItem> items,
                            std::vector<Slot> slots, const SegmentOptions& options);
  [[nodiscard]] std::vector<ListItem> items() const;
  [[nodiscard]] const Slot& slot(std::size_t index) const;
  [[nodiscard]] std::size_t newest(std::size_t index) const noexcept;
  [[nodiscard]] ListItem read(std::size_t index) const;
  [[noreturn]] void refuse_bytes(std::size_t index, std::uint32_t type, std::size_t length) const;
  [[nodiscard]] Header& header() const noexcept;
  [[nodiscard]] Entry& entry(std::size_t index) const noexcept;

  Segment segment_;
  std::vector<Slot> slots_;
};

/// An item that is read where it is used and written where it is assigned.
class ShareableList::Reference {
 public:
  /// To the item at `index`, which each use checks; the list must outlive it.
  Reference(const ShareableList& list, std::size_t index) : list_(list), index_(index) {}
  /// To the same item.
  Reference(const Reference&) = default;
  /// As get().
  // NOLINTNEXTLINE(google-explicit-constructor): it stands for the item
  operator ListItem() const { return list_.get(index_); }
  // NOLINTBEGIN(misc-unconventional-assign-operator): it assigns to the item, not to itself.
  /// As set().
  const Reference& operator=(const ListItem& item) const {
    list_.set(index_, item);
    return *this;
  }
  /// Copies the other's item into this place: a get() and a set(), two steps for others.
  const Reference& operator=(const Reference& other) const { return *this = ListItem(other); }
  // NOLINTEND(misc-unconventional-assign-operator)
  /// Reads the item, and compares types and values.
  friend bool operator==(const Reference& reference, const ListItem& item) {
    return ListItem(reference) == item;
  }

 private:
  const ShareableList& list_;
  std::size_t index_;
};

/// A place in a list, for a walk that reads one item at a time.
class ShareableList::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = ListItem;
  using difference_type = std::ptrdiff_t;
  using reference = ListItem;

  /// Of no list: to be assigned to.
  Iterator() = default;
  /// At the item `index`, or the end if that is the list's size; the list must outlive it.
  Iterator(const ShareableList* list, std::size_t index) : list_(list), index_(index) {}
  /// As get(): a copy, of the item as it is now.
  ListItem operator*() const { return list_->get(index_); }
  /// On to the next item; reads nothing.
  Iterator& operator++() {
    ++index_;
    return *this;
  }
  /// The same; returns the place before.
  Iterator operator++(int) { return {list_, index_++}; }
  /// Whether both are at one place of one list.
  bool operator==(const Iterator&) const = default;

 private:
  const ShareableList* list_ = nullptr;
  std::size_t index_ = 0;
};

inline ShareableList::Reference ShareableList::operator[](std::size_t index) const {
  return {*this, index};
}
inline ShareableList::Iterator ShareableList::begin() const noexcept { return {this, 0}; }
inline ShareableList::Iterator ShareableList::end() const noexcept { return {this, size()}; }

}  // namespace sluice

#endif  // SLUICE_IPC_SHAREABLE_LIST_H_
