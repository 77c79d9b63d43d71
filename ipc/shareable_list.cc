// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/shareable_list.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iomanip>
#include <limits>
#include <new>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <type_traits>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_guard.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

struct ShareableList::Header {
  Mutex lock;
  std::uint64_t count;
  std::uint64_t end;
};

/// `newest` alone changes after publication.
struct ShareableList::Entry {
  std::uint64_t offset;
  std::uint32_t room;
  internal::Word<std::uint32_t> newest;
};

namespace {

using internal::RealEnv;

constexpr SegmentKind kKind = {
    .name = "shareable_list", .version = ShareableList::kVersion, .fingerprint = 0};
constexpr std::size_t kHeader = 32;
constexpr std::size_t kEntry = 16;
constexpr std::size_t kFront = 8;  // of a value: its type and its length, u32 each
constexpr std::size_t kWord = 8;
/// The types' numbers in memory.
enum Type : std::uint32_t { kNone, kBool, kInt, kFloat, kString, kBytes };
static_assert(std::is_same_v<std::variant_alternative_t<kString, ListItem>, std::string> &&
              std::is_same_v<std::variant_alternative_t<kFloat, ListItem>, double>);

constexpr std::size_t rounded_up(std::size_t bytes) {
  return std::max((bytes + kWord - 1) / kWord * kWord, kWord);
}

std::span<const std::byte> bytes_of(const ListItem& item) {
  return std::visit(
      [](const auto& value) -> std::span<const std::byte> {
        using T = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::monostate>)
          return {};
        else if constexpr (std::is_arithmetic_v<T>)
          return std::as_bytes(std::span(&value, 1));
        else
          return std::as_bytes(std::span(value));
      },
      item);
}

template <class T>
T number_in(std::span<const std::byte> bytes) {
  T number = {};
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

/// Whether bytes of this length can be a value of this type.
bool is_value(std::uint32_t type, std::size_t length, std::size_t room) {
  switch (type) {
    case kNone:
      return length == 0;
    case kBool:
      return length == sizeof(bool);
    case kInt:
    case kFloat:
      return length == kWord;
    default:
      return type <= kBytes && length <= room;
  }
}

ListItem item_of(std::uint32_t type, std::span<const std::byte> bytes) {
  switch (type) {
    case kBool:
      return number_in<unsigned char>(bytes) != 0;  // any byte is one of the two
    case kInt:
      return number_in<std::int64_t>(bytes);
    case kFloat:
      return number_in<double>(bytes);
    case kString: {
      std::string text(bytes.size(), '\0');
      if (!bytes.empty()) std::memcpy(text.data(), bytes.data(), bytes.size());
      return text;
    }
    case kBytes:
      return Bytes(bytes.begin(), bytes.end());
    default:
      return std::monostate();
  }
}

[[noreturn]] void refuse_shape(const std::string& name, std::string expected, std::string found) {
  throw Error(Status::corrupt, {.tried = "attach to shareable_list \"" + name + "\"",
                                .expected = std::move(expected),
                                .found = std::move(found),
                                .hint = "remove it if nobody uses it"});
}

/// Half a change can't be: there is nothing to repair but the mark.
void nothing_to_repair() {}

/// Writes the value before the newest one is named.
void write_value(std::span<std::byte> at, const ListItem& item) {
  const std::span<const std::byte> bytes = bytes_of(item);
  const std::uint32_t front[2] = {static_cast<std::uint32_t>(item.index()),
                                  static_cast<std::uint32_t>(bytes.size())};
  std::memcpy(at.data(), front, sizeof front);
  if (!bytes.empty()) std::memcpy(at.subspan(kFront).data(), bytes.data(), bytes.size());
}

std::size_t value_offset(std::size_t offset, std::size_t room, std::size_t which) {
  return offset + which * (kFront + room);
}

}  // namespace

std::vector<ShareableList::Slot> ShareableList::shape_of(std::span<const ListItem> items,
                                                         std::span<const Slot> least) {
  std::vector<Slot> slots;
  std::size_t at = kHeader + items.size() * kEntry;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::size_t needed = rounded_up(bytes_of(items[i]).size());
    const std::size_t room = std::max(needed, i < least.size() ? least[i].room : 0);
    if (room > std::numeric_limits<std::uint32_t>::max() / 2) {
      throw std::length_error("a list's item has at most 2 GiB, not " + std::to_string(room) +
                              " bytes");
    }
    slots.push_back({at, room});
    at += 2 * (kFront + room);
  }
  slots.push_back({at, 0});  // the end
  return slots;
}

Segment::Format ShareableList::format_of(std::span<const ListItem> items, std::vector<Slot> slots) {
  return [items, slots = std::move(slots)](std::span<std::byte> object) {
    auto* const header = ::new (object.data()) Header;
    header->count = items.size();
    header->end = slots.back().offset;
    for (std::size_t i = 0; i < items.size(); ++i) {
      auto* const entry = ::new (object.subspan(kHeader + i * kEntry).data()) Entry;
      entry->offset = slots[i].offset;
      entry->room = static_cast<std::uint32_t>(slots[i].room);
      write_value(object.subspan(slots[i].offset), items[i]);
    }
  };
}

ShareableList::ShareableList(std::span<const ListItem> items, const SegmentOptions& options)
    : ShareableList(make_anonymous(items, shape_of(items), options)) {}

Segment ShareableList::make_anonymous(std::span<const ListItem> items, std::vector<Slot> slots,
                                      const SegmentOptions& options) {
  const std::size_t bytes = slots.back().offset;
  return Segment::create_anonymous(kKind, bytes, options, format_of(items, std::move(slots)));
}

Segment ShareableList::make_named(std::string_view name, std::span<const ListItem> items,
                                  std::vector<Slot> slots, const SegmentOptions& options) {
  const std::size_t bytes = slots.back().offset;
  return Segment::create(name, kKind, bytes, options, format_of(items, std::move(slots)));
}

ShareableList ShareableList::create(std::string_view name, std::span<const ListItem> items,
                                    const SegmentOptions& options) {
  return ShareableList(make_named(name, items, shape_of(items), options));
}

ShareableList ShareableList::open(std::string_view name, const SegmentOptions& options) {
  return ShareableList(Segment::open(name, kKind, options));
}

ShareableList ShareableList::open_or_create(std::string_view name, std::span<const ListItem> items,
                                            const SegmentOptions& options) {
  std::vector<Slot> slots = shape_of(items);
  const std::size_t bytes = slots.back().offset;
  return ShareableList(
      Segment::open_or_create(name, kKind, bytes, options, format_of(items, std::move(slots))));
}

ShareableList ShareableList::from_fd(UniqueFd fd, const SegmentOptions& options) {
  return ShareableList(Segment::from_fd(std::move(fd), kKind, options));
}

ShareableList::ShareableList(Segment segment) : segment_(std::move(segment)) {
  static_assert(sizeof(Header) == kHeader && sizeof(Entry) == kEntry);
  const std::size_t size = segment_.object().size();
  if (size < kHeader) refuse_shape(name(), "a header", std::to_string(size) + " bytes");
  const std::uint64_t count = header().count;
  if (count > (size - kHeader) / kEntry) {
    refuse_shape(name(), "items that fit in " + std::to_string(size) + " bytes",
                 std::to_string(count));
  }
  slots_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    // Read once, and used from here on: what others write there later is not looked at.
    const Slot slot = {entry(i).offset, entry(i).room};
    const bool fits = slot.offset % kWord == 0 && slot.room % kWord == 0 && slot.room >= kWord &&
                      slot.offset >= kHeader + count * kEntry && slot.offset <= size &&
                      2 * (kFront + slot.room) <= size - slot.offset;
    if (!fits) {
      refuse_shape(name(), "item " + std::to_string(i) + " in " + std::to_string(size) + " bytes",
                   std::to_string(slot.room) + " bytes at " + std::to_string(slot.offset));
    }
    slots_.push_back(slot);
  }
}

ShareableList::Header& ShareableList::header() const noexcept {
  return *internal::attach_object<Header>(segment_.object());
}

ShareableList::Entry& ShareableList::entry(std::size_t index) const noexcept {
  return *internal::attach_object<Entry>(segment_.object().subspan(kHeader + index * kEntry));
}

const ShareableList::Slot& ShareableList::slot(std::size_t index) const {
  if (index < slots_.size()) return slots_[index];
  throw std::out_of_range("index " + std::to_string(index) + " of a list of " +
                          std::to_string(slots_.size()) + " items");
}

std::size_t ShareableList::newest(std::size_t index) const noexcept {
  // Acquire: pairs with the release in set(), of a writer that was killed before it unlocked.
  return RealEnv::load(entry(index).newest, std::memory_order_acquire) & 1;
}

/// With the lock held.
ListItem ShareableList::read(std::size_t index) const {
  const Slot& at = slot(index);
  const auto value =
      segment_.object().subspan(value_offset(at.offset, at.room, newest(index)), kFront + at.room);
  const auto type = number_in<std::uint32_t>(value);
  const auto length = number_in<std::uint32_t>(value.subspan(sizeof type));
  if (!is_value(type, length, at.room)) refuse_bytes(index, type, length);
  return item_of(type, value.subspan(kFront, length));
}

void ShareableList::refuse_bytes(std::size_t index, std::uint32_t type, std::size_t length) const {
  throw Error(
      Status::corrupt,
      {.tried = "read item " + std::to_string(index) + " of shareable_list \"" + name() + "\"",
       .expected = "a type, and at most " + std::to_string(slot(index).room) + " bytes",
       .found = "type " + std::to_string(type) + ", " + std::to_string(length) + " bytes",
       .hint = "set it anew"});
}

ListItem ShareableList::get(std::size_t index) const {
  static_cast<void>(slot(index));
  const LockGuard<Mutex> hold(header().lock, nothing_to_repair);
  return read(index);
}

void ShareableList::set(std::size_t index, const ListItem& item) const {
  const Slot& at = slot(index);
  const std::size_t length = bytes_of(item).size();
  if (length > at.room) {
    throw std::length_error("item " + std::to_string(index) + " has room for " +
                            std::to_string(at.room) + " bytes, the value has " +
                            std::to_string(length));
  }
  const LockGuard<Mutex> hold(header().lock, nothing_to_repair);
  const std::size_t other = newest(index) ^ 1;
  write_value(segment_.object().subspan(value_offset(at.offset, at.room, other)), item);
  internal::Word<std::uint32_t>& word = entry(index).newest;
  // Relaxed: only who has the lock writes it, and locking orders.
  const std::uint32_t before = RealEnv::load(word, std::memory_order_relaxed);
  // Release: the commit. Whoever finds the new number, also after a kill right here, finds the
  // value.
  RealEnv::store(word, before + 1, std::memory_order_release);
}

std::vector<ListItem> ShareableList::items() const {
  const LockGuard<Mutex> hold(header().lock, nothing_to_repair);
  std::vector<ListItem> all;
  all.reserve(size());
  for (std::size_t i = 0; i < size(); ++i) all.push_back(read(i));
  return all;
}

std::size_t ShareableList::count(const ListItem& item) const {
  const std::vector<ListItem> all = items();
  return static_cast<std::size_t>(std::count(all.begin(), all.end(), item));
}

std::size_t ShareableList::index(const ListItem& item) const {
  const std::vector<ListItem> all = items();
  const auto found = std::find(all.begin(), all.end(), item);
  if (found == all.end()) throw std::invalid_argument(item_text(item) + " is not in this list");
  return static_cast<std::size_t>(found - all.begin());
}

std::size_t ShareableList::room(std::size_t index) const { return slot(index).room; }

std::string ShareableList::format(std::size_t index) const {
  const ListItem item = get(index);
  const std::string room = "[" + std::to_string(slot(index).room) + "]";
  switch (item.index()) {
    case kBool:
      return "bool";
    case kInt:
      return "int";
    case kFloat:
      return "float";
    case kString:
      return "str" + room;
    case kBytes:
      return "bytes" + room;
    default:
      return "none";
  }
}

ShareableList ShareableList::copy(const SegmentOptions& options) const {
  const std::vector<ListItem> all = items();
  return ShareableList(make_anonymous(all, shape_of(all, slots_), options));
}

ShareableList ShareableList::copy(std::string_view name, const SegmentOptions& options) const {
  const std::vector<ListItem> all = items();
  return ShareableList(make_named(name, all, shape_of(all, slots_), options));
}

std::string item_text(const ListItem& item) {
  std::ostringstream out;
  switch (item.index()) {
    case kBool:
      out << (std::get<bool>(item) ? "True" : "False");
      break;
    case kInt:
      out << std::get<std::int64_t>(item);
      break;
    case kFloat:
      out << std::get<double>(item);
      break;
    case kString:
      out << '\'' << std::get<std::string>(item) << '\'';
      break;
    case kBytes:
      out << "b'" << std::hex << std::setfill('0');
      for (const std::byte b : std::get<Bytes>(item))
        out << "\\x" << std::setw(2) << static_cast<int>(b);
      out << '\'';
      break;
    default:
      out << "None";
  }
  return out.str();
}

std::ostream& operator<<(std::ostream& out, const ShareableList& list) {
  out << "shareable_list";
  if (!list.name().empty()) out << " \"" << list.name() << '"';
  out << " [";
  const std::vector<ListItem> all = list.items();
  for (std::size_t i = 0; i < all.size(); ++i) out << (i == 0 ? "" : ", ") << item_text(all[i]);
  return out << "], " << list.header().lock;
}

}  // namespace sluice
