// SPDX-License-Identifier: Apache-2.0
//
// Tracked: an item that counts itself, and Throwing: one that also throws when it is told to. With
// them a test finds what a queue does to items beside their order: those that are never destroyed,
// destroyed twice, made on top of others, moved as mere bytes, used before or after their life.
//
//   Ledger::reset();
//   {
//     MyQueue<Tracked> queue(10);
//     queue.try_push(Tracked(7));
//   }
//   EXPECT_EQ(Ledger::verdict(), "");     // "1 item was never destroyed, among them 0:7"
//
//   Throwing::throw_at(3);                // the third copy or move from here throws ItemThrew
//
// The ledger knows each living item by its address, so it finds misuse without reading the dead.
//
// Units: items. Errors: none are thrown, but ItemThrew; Ledger::verdict() says the first wrong that
// was done. Threads: all calls may overlap, but for reset() and verdict(), which want the items at
// rest. If a process dies here: private memory; a forked child goes on with a copy. Cost: a lock
// and a hash look-up for each call on an item.

#ifndef SLUICE_TESTKIT_TRACKED_H_
#define SLUICE_TESTKIT_TRACKED_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>

namespace sluice::testkit {

/// What all Tracked items of this process have lived through since reset().
class Ledger {
 public:
  /// Forgets everything. Items that live on are strangers from now on.
  static void reset();
  /// Items made since reset() and not destroyed yet; while threads work, about so many.
  [[nodiscard]] static std::size_t alive();
  /// The first thing that went wrong, or an empty string.
  [[nodiscard]] static std::string wrong();
  /// The same; and if nothing did, that items are left, which should not be any more.
  [[nodiscard]] static std::string verdict();

 private:
  friend class Tracked;
  enum class Use : std::uint8_t { read, assigned_to, copied, moved };

  static void born(const void* item, std::uint64_t id);
  static void died(const void* item);
  static void changed(const void* item, std::uint64_t id);
  static void used(const void* item, Use how);
};

/// An item with a number, whose makings, uses and end the Ledger notes. Nothing of it throws.
class Tracked {
 public:
  /// Of an item that was made without one, or whose value was moved away.
  static constexpr std::uint64_t kNone = ~std::uint64_t{0};

  /// Without a value: its id is kNone.
  Tracked() noexcept : Tracked(kNone) {}
  /// An item of this number, by which the Ledger names it, as producer:number (testkit/models.h).
  explicit Tracked(std::uint64_t id) noexcept : id_(id) { Ledger::born(this, id_); }
  /// One more item, of the same number.
  Tracked(const Tracked& other) noexcept : id_(copy_of(other)) { Ledger::born(this, id_); }
  /// Takes the number; `other` lives on without one, and wants to be destroyed like any.
  Tracked(Tracked&& other) noexcept : id_(take_from(other)) { Ledger::born(this, id_); }
  /// Takes the same number. Both must live.
  Tracked& operator=(const Tracked& other) noexcept {
    Ledger::used(this, Ledger::Use::assigned_to);
    if (this != &other) set(copy_of(other));
    return *this;
  }
  /// Takes the number, and leaves `other` without one; to itself it does nothing. Both must live.
  Tracked& operator=(Tracked&& other) noexcept {
    Ledger::used(this, Ledger::Use::assigned_to);
    if (this != &other) set(take_from(other));
    return *this;
  }
  /// A second time, or where none was made, it is a wrong that the Ledger notes.
  ~Tracked() { Ledger::died(this); }

  /// Its number, or kNone. To ask one that does not live is a wrong that the Ledger notes.
  [[nodiscard]] std::uint64_t id() const noexcept {
    Ledger::used(this, Ledger::Use::read);
    return id_;
  }

  friend auto operator<=>(const Tracked& a, const Tracked& b) { return a.id() <=> b.id(); }
  friend bool operator==(const Tracked& a, const Tracked& b) { return a.id() == b.id(); }

 private:
  static std::uint64_t copy_of(const Tracked& other) noexcept {
    Ledger::used(&other, Ledger::Use::copied);
    return other.id_;
  }
  static std::uint64_t take_from(Tracked& other) noexcept {
    Ledger::used(&other, Ledger::Use::moved);
    const std::uint64_t id = other.id_;
    other.set(kNone);
    return id;
  }
  void set(std::uint64_t id) noexcept {
    id_ = id;
    Ledger::changed(this, id);
  }

  std::uint64_t id_;
};

/// What Throwing throws, and nobody else: a test can tell it from what a queue throws.
struct ItemThrew : std::exception {
  /// The same words of each item.
  [[nodiscard]] const char* what() const noexcept override { return "an item threw, as told"; }
};

/// A Tracked whose copies and moves throw when told to, with nothing made or changed.
class Throwing : public Tracked {
 public:
  /// Without a number; never throws.
  Throwing() noexcept = default;
  /// An item of this number; to make one from a number never throws.
  explicit Throwing(std::uint64_t id) noexcept : Tracked(id) {}
  /// Throws ItemThrew if throw_at() says so; then no item was made.
  Throwing(const Throwing& other) : Tracked((maybe_throw(), other)) {}
  /// Throws as the copy does; then `other` still has its number.
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): to throw is what it is for.
  Throwing(Throwing&& other) : Tracked((maybe_throw(), static_cast<Tracked&&>(other))) {}
  /// Throws as the copy does; then this item is as it was.
  Throwing& operator=(const Throwing& other) {
    maybe_throw();
    Tracked::operator=(other);
    return *this;
  }
  /// Throws as the copy does; then both items are as they were.
  // NOLINTNEXTLINE(performance-noexcept-move-constructor): as above.
  Throwing& operator=(Throwing&& other) {
    maybe_throw();
    Tracked::operator=(static_cast<Tracked&&>(other));
    return *this;
  }
  ~Throwing() = default;

  /// The n-th copy or move of this thread from now on throws; 0: none.
  static void throw_at(std::size_t n) noexcept { t_left = n; }

 private:
  static void maybe_throw() {
    if (t_left == 0) return;
    --t_left;
    if (t_left == 0) throw ItemThrew();
  }

  static inline constinit thread_local std::size_t t_left = 0;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_TRACKED_H_
