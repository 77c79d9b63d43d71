// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/tracked.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

namespace sluice::testkit {
namespace {

/// The living whose addresses have one hash.
struct Shelf {
  std::mutex mutex;
  std::unordered_map<const void*, std::uint64_t> living;
};

struct Book {
  std::array<Shelf, 16> shelves;
  std::mutex mutex;
  std::string wrong;
};

Book& book() {
  // Never destroyed: items of static life may outlive everything.
  static Book* const kBook = new Book;
  return *kBook;
}

Shelf& shelf_of(const void* item) {
  // Neighbours lie on different shelves; the lowest bits are the same for all.
  return book().shelves[reinterpret_cast<std::uintptr_t>(item) / 16 % 16];
}

std::string name(std::uint64_t id) {
  if (id == Tracked::kNone) return "one without a value";
  return std::to_string(id >> 32) + ":" + std::to_string(static_cast<std::uint32_t>(id));
}

void complain(const std::string& what) {
  const std::scoped_lock lock(book().mutex);
  if (book().wrong.empty()) book().wrong = what;
}

}  // namespace

void Ledger::reset() {
  for (Shelf& shelf : book().shelves) {
    const std::scoped_lock lock(shelf.mutex);
    shelf.living.clear();
  }
  const std::scoped_lock lock(book().mutex);
  book().wrong.clear();
}

std::size_t Ledger::alive() {
  std::size_t count = 0;
  for (Shelf& shelf : book().shelves) {
    const std::scoped_lock lock(shelf.mutex);
    count += shelf.living.size();
  }
  return count;
}

std::string Ledger::wrong() {
  const std::scoped_lock lock(book().mutex);
  return book().wrong;
}

std::string Ledger::verdict() {
  if (std::string first = wrong(); !first.empty()) return first;
  const std::size_t left = alive();
  if (left == 0) return "";
  std::string text = std::to_string(left) + (left == 1 ? " item was" : " items were") +
                     " never destroyed, among them ";
  // The least, so that the same items give the same words.
  std::uint64_t least = Tracked::kNone;
  for (Shelf& shelf : book().shelves) {
    const std::scoped_lock lock(shelf.mutex);
    for (const auto& [place, id] : shelf.living) least = std::min(least, id);
  }
  return text + name(least);
}

void Ledger::born(const void* item, std::uint64_t id) {
  bool is_new = false;
  std::uint64_t old = 0;
  {
    Shelf& shelf = shelf_of(item);
    const std::scoped_lock lock(shelf.mutex);
    const auto [place, made] = shelf.living.try_emplace(item, id);
    is_new = made;
    old = place->second;
    place->second = id;
  }
  if (!is_new) complain("an item was made on top of a living one, " + name(old));
}

void Ledger::died(const void* item) {
  bool lived = false;
  {
    Shelf& shelf = shelf_of(item);
    const std::scoped_lock lock(shelf.mutex);
    lived = shelf.living.erase(item) != 0;
  }
  if (!lived) complain("an item was destroyed twice, or where none had been made");
}

void Ledger::changed(const void* item, std::uint64_t id) {
  Shelf& shelf = shelf_of(item);
  const std::scoped_lock lock(shelf.mutex);
  const auto place = shelf.living.find(item);
  if (place != shelf.living.end()) place->second = id;
}

void Ledger::used(const void* item, Use how) {
  constexpr std::array kHow = {"read", "assigned to", "copied", "moved"};
  bool lives = false;
  {
    Shelf& shelf = shelf_of(item);
    const std::scoped_lock lock(shelf.mutex);
    lives = shelf.living.contains(item);
  }
  if (!lives) {
    complain(std::string("an item was ") + kHow[static_cast<std::size_t>(how)] +
             " where none lives: after its end, or moved there as bytes");
  }
}

}  // namespace sluice::testkit
