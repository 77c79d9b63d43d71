// SPDX-License-Identifier: Apache-2.0
//
// BasicLeasedItems: an item store whose items may be leased: taken, and finished later; until then
// they come back should their holder die. And dead letters: items that failed too often. Internal:
// what ipc/joinable_queue.h is made of, and the whole store of all its relatives.
//
//   Lease lease;
//   if (store.lease(lease, deadline) == Status::ok) {
//     store.read(lease, read);
//     store.finish(lease);                       // or store.fail(lease)
//   }
//
// In memory: ipc/item_layout.h. Units: items.
// Errors, as Status: as ipc/item_store.h; finish() and fail(): stale: the lease has ended.
// Threads and processes: all calls may overlap; a lease is its process's, so any thread of that may
// end it.
// If a process dies here: its leases end. Whoever finds nothing else to take, or waits for the last
// item's end, asks whether their holders live; those of the dead are queued again in their old
// place, and have failed once more. Each step is one store of a mark.
// Cost: as ipc/item_store.h. For who finds nothing: a question to the kernel per holder.

#ifndef SLUICE_IPC_LEASED_ITEMS_H_
#define SLUICE_IPC_LEASED_ITEMS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "sluice/ipc/item_guards.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/item_store.h"
#include "sluice/ipc/record_guards.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// What somebody has taken, and not finished.
struct Lease {
  std::uint32_t unit = 0;
  std::uint32_t tag = 0;  ///< the holder
  std::uint64_t key = 0;
  std::uint32_t attempt = 0;  ///< from 1
};

template <class Env>
class BasicLeasedItems : public BasicItemStore<Env> {
  using Base = BasicItemStore<Env>;
  using Base::control_;
  using Base::count_unfinished;
  using Base::get;
  using Base::in_order;
  using Base::units_;

 public:
  using typename Base::Unit;
  using typename Base::Units;

  using Base::Base;

  /// Takes the item in front.
  Status lease(Lease& lease, Deadline deadline) {
    std::size_t done = 0;
    const Telling telling(control_.popped, control_.pushed, done, Base::alike_);
    Held<BasicMutex<Env>> held(control_.lock, deadline);
    if (const Status s = in_order(held); s != Status::ok) return s;
    const QueueState now = Base::state();
    if (now == QueueState::dropped) return Status::closed;
    auto front = Base::end(ItemEnd::front);
    Unit unit = Units::kNone;
    Status status = front.choose(unit);
    // Now and then also where there is no want of items, so that none of the dead's waits for ever.
    const bool its_turn = status == Status::ok && units_.key(unit) % 256 == 0;
    if ((status == Status::empty || its_turn) && take_back_from_the_dead()) {
      control_.pushed.notify_all();
      if (Base::unfinished() == 0) control_.finished.notify_all();
      status = front.choose(unit);
    }
    if (status == Status::empty && now == QueueState::closed) return Status::closed;
    if (status != Status::ok) return status;
    ItemMark mark = units_.mark(unit);
    mark.state = ItemState::leased;
    mark.tag = my_tag();
    lease = {unit, mark.tag, units_.key(unit), mark.attempts + 1};
    Units::set(units_.at(unit).anonymous, 0U);
    units_.set_mark(unit, mark);
    front.remove(unit);
    units_.link(control_.leased, unit, get(control_.leased.last));
    done = 1;
    return Status::ok;
  }

  /// The bytes of a leased item, by its holder, without the lock.
  template <class Read>
  Status read(const Lease& lease, Read read) const {
    return units_.read(lease.unit, read);
  }

  /// Lets finish_oldest() end it as well. By its holder, which has read it: another thread of the
  /// process may end it at once.
  void let_go(const Lease& lease) {
    // Release: pairs with oldest_anonymous(); the bytes were read before.
    Env::store(units_.at(lease.unit).anonymous, 1U, std::memory_order_release);
  }

  /// The item is done with.
  Status finish(const Lease& lease) {
    return finish([&] { return is_held(lease) ? lease.unit : Units::kNone; });
  }

  /// The item of this process's oldest anonymous lease is done with. stale: there is none.
  Status finish_oldest() {
    return finish([this] { return oldest_anonymous(); });
  }

  /// The item is not done with: it comes back, or is a dead letter. `counts`: as an attempt.
  Status fail(const Lease& lease, bool counts = true) {
    bool last = false;
    {
      Held<BasicMutex<Env>> held(control_.lock, Deadline::never());
      if (const Status s = in_order(held); s != Status::ok) return s;
      if (!is_held(lease)) return Status::stale;
      take_back(lease.unit, counts, Base::dead_at_once_);
      last = Base::unfinished() == 0;
    }
    control_.pushed.notify_one();
    if (last) control_.finished.notify_all();
    return Status::ok;
  }

  /// Takes the oldest dead letter: `read(bytes, attempts)`.
  template <class Read>
  Status pop_dead_letter(Read read, Deadline deadline) {
    std::size_t done = 0;
    const Telling telling(control_.popped, control_.pushed, done, Base::alike_);
    Held<BasicMutex<Env>> held(control_.lock, deadline);
    if (const Status s = in_order(held); s != Status::ok) return s;
    ListIndex<Env> letters(control_, units_, control_.dead, ItemEnd::front);
    Unit unit = Units::kNone;
    if (const Status s = letters.choose(unit); s != Status::ok) return s;
    auto with_attempts = [&, attempts = units_.mark(unit).attempts](auto bytes) {
      return read(bytes, attempts);
    };
    const Status status = Base::take(letters, with_attempts);
    if (status == Status::ok) done = 1;
    return status;
  }

  /// Reads all dead letters, the oldest first: `read(bytes, attempts)`.
  template <class Read>
  Status read_dead_letters(Read read, Deadline deadline) {
    Held<BasicMutex<Env>> held(control_.lock, deadline);
    if (const Status s = in_order(held); s != Status::ok) return s;
    Unit unit = get(control_.dead.first);
    for (Unit i = 0; i < units_.count() && units_.is_unit(unit); ++i) {
      auto with_attempts = [&, attempts = units_.mark(unit).attempts](auto bytes) {
        return read(bytes, attempts);
      };
      if (const Status s = units_.read(unit, with_attempts); s != Status::ok) return s;
      unit = get(units_.at(unit).after);
    }
    return Status::ok;
  }

  /// For who waits, now and then: leases of the dead come back. ok also if that has to wait.
  Status look_after() {
    if (get(control_.leased.count) == 0) return Base::look_after();
    Status status = Status::ok;
    bool came_back = false;
    bool last = false;
    {
      Held<BasicMutex<Env>> held(control_.lock, Base::kPatience);
      status = in_order(held);
      if (status == Status::ok) came_back = take_back_from_the_dead();
      last = came_back && Base::unfinished() == 0;
    }
    if (came_back) control_.pushed.notify_all();
    if (last) control_.finished.notify_all();
    return status == Status::timeout ? Status::ok : status;
  }

 private:
  static std::uint32_t my_tag() { return static_cast<std::uint32_t>(Env::me() >> 32); }

  bool is_held(const Lease& lease) const {
    const ItemMark mark = units_.mark(lease.unit);
    return units_.is_unit(lease.unit) && mark.state == ItemState::leased && mark.tag == lease.tag &&
           mark.tag == my_tag() && units_.key(lease.unit) == lease.key;
  }

  Unit oldest_anonymous() const {
    const std::uint32_t me = my_tag();
    Unit unit = get(control_.leased.first);
    for (Unit i = 0; i < units_.count() && units_.is_unit(unit); ++i) {
      const ItemMark mark = units_.mark(unit);
      const bool mine = mark.state == ItemState::leased && mark.tag == me;
      // Acquire: pairs with let_go().
      const bool let_go =
          mine && Env::load(units_.at(unit).anonymous, std::memory_order_acquire) != 0;
      if (let_go) return unit;
      unit = get(units_.at(unit).after);
    }
    return Units::kNone;
  }

  /// `choose()` says which item is done with, under the lock.
  template <class Choose>
  Status finish(Choose choose) {
    const std::size_t done = 1;
    bool last = false;
    {
      Held<BasicMutex<Env>> held(control_.lock, Deadline::never());
      if (const Status s = in_order(held); s != Status::ok) return s;
      const Unit unit = choose();
      if (unit == Units::kNone) return Status::stale;
      drop(unit);
      last = Base::unfinished() == 0;
    }
    const Notifying telling(control_.popped, done, Base::alike_);  // there may be room
    // Even if there are new ones by now.
    if (last) control_.finished.notify_all();
    return Status::ok;
  }

  /// Frees a leased item.
  void drop(Unit unit) {
    const std::uint64_t n = units_for(units_.length(unit));
    units_.set_mark(unit, ItemMark());
    units_.unlink(control_.leased, unit);
    units_.give(unit, n);
    count_unfinished(~std::uint32_t{0});
  }

  /// A leased item is queued again, in its old place, or becomes a dead letter.
  void take_back(Unit unit, bool failed, bool for_good) {
    if (Base::state() == QueueState::dropped) return drop(unit);
    ItemMark mark = units_.mark(unit);
    if (failed && mark.attempts < ItemMark::kMostAttempts) ++mark.attempts;
    const std::uint32_t most = Base::max_attempts();
    const bool dead = failed && (for_good || (most != 0 && mark.attempts >= most));
    mark.state = dead ? ItemState::dead : ItemState::queued;
    mark.tag = 0;
    units_.set_mark(unit, mark);
    units_.unlink(control_.leased, unit);
    units_.link_by_key(dead ? control_.dead : control_.queued, unit);
    if (dead) count_unfinished(~std::uint32_t{0});
  }

  /// Whether an item came back, or is a dead letter now.
  bool take_back_from_the_dead() {
    std::array<std::pair<std::uint32_t, bool>, 16> asked =
        {};  // holders, and whether they are dead
    asked[my_tag() % asked.size()] = {my_tag(), false};
    bool any = false;
    Unit unit = get(control_.leased.first);
    for (Unit i = 0; i < units_.count() && units_.is_unit(unit); ++i) {
      const Unit next = get(units_.at(unit).after);
      const ItemMark mark = units_.mark(unit);
      auto& [holder, is_dead] = asked[mark.tag % asked.size()];
      if (mark.tag != holder) {
        is_dead = Env::probe(mark.tag) == Liveness::dead;
        holder = mark.tag;
      }
      if (mark.state == ItemState::leased && is_dead) {
        take_back(unit, true, false);
        any = true;
      }
      unit = next;
    }
    return any;
  }
};

/// The store that ships.
using LeasedItems = BasicLeasedItems<RealLockEnv>;

}  // namespace sluice::internal

#endif  // SLUICE_IPC_LEASED_ITEMS_H_
