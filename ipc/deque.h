// SPDX-License-Identifier: Apache-2.0
//
// Deque<T>: a row of items between any number of threads and processes that grows and shrinks at
// both ends. T is any type that travels (ipc/codec.h). For one way through, ipc/queue.h is quicker.
//
//   Deque<std::string> line(16);                                  // at most 16
//   if (line.push_back("a") != Status::ok) return;                // a
//   if (line.push_front("urgent") != Status::ok) return;          // urgent a
//   std::optional<std::string> first = line.pop_front();          // a
//   Deque<int> last_ten(10, {.overflow = Overflow::drop_oldest}); // pushing drops at the other end
//   auto named = Deque<int>::create("row", 100);                  // elsewhere: Deque<int>::open
//
// In memory: a segment of kind `deque` (ipc/item_parts.h). An item of up to 24 encoded bytes takes
// 64, and for each further 48 another 64.
//
// Units and errors: as ipc/queue.h. Threads and processes: as ipc/queue.h; each call on one item
// takes effect at one moment.
//
// If a process dies here: a push and a pop are committed by one store each; rotate(), item by item.
// Whoever takes the lock next makes the order anew from the items. Sleepers whom the dead would
// have woken find out at the end of their slice (10 to 80 ms).
//
// Cost: as ipc/lifo_queue.h.

#ifndef SLUICE_IPC_DEQUE_H_
#define SLUICE_IPC_DEQUE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_queue.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Items between threads and processes, pushed and popped at two ends: a handle.
template <class T>
class Deque : public internal::ItemQueue<Deque<T>, T> {
  using Base = internal::ItemQueue<Deque<T>, T>;
  using Waits = internal::Waits;
  using End = internal::ItemEnd;

 public:
  /// What the stamps of its segments call it; another kind is refused with Status::mismatch.
  static constexpr std::string_view kKindName = "deque";
  /// What it calls itself for people.
  static constexpr std::string_view kName = "Deque";

  /// Without a name: for threads, children that are forked later, and whoever is sent fd(). It
  /// grows as needed: see Capacity.
  Deque() : Deque(Capacity::unlimited()) {}
  /// Without a name, too. Throws Error, also for limits that no queue can have.
  explicit Deque(Capacity capacity, const QueueOptions& options = {})
      : Base(Base::plan(capacity, options)) {}

  /// Under a name that must be free.
  static Deque create(std::string_view name, Capacity capacity, const QueueOptions& options = {}) {
    return Deque(Base::make(name, Base::plan(capacity, options)));
  }
  /// What is there, or a new one; race-free. What is there keeps its capacity.
  static Deque open_or_create(std::string_view name, Capacity capacity,
                              const QueueOptions& options = {}) {
    return Deque(Base::make_or_open(name, Base::plan(capacity, options)));
  }

  /// Adds an item at the back; waits for room until the deadline, unless the deque's Overflow says
  /// otherwise: drop_oldest drops at the front.
  Status push_back(const T& item, Deadline deadline = Deadline::never()) {
    return push(End::back, item, Waits::yes, deadline);
  }
  /// Adds an item at the front; waits as push_back(), but drop_oldest drops at the back.
  Status push_front(const T& item, Deadline deadline = Deadline::never()) {
    return push(End::front, item, Waits::yes, deadline);
  }
  /// As push_back(), but full instead of waiting.
  Status try_push_back(const T& item) { return push(End::back, item, Waits::no, Deadline::now()); }
  /// As push_front(), but full instead of waiting.
  Status try_push_front(const T& item) {
    return push(End::front, item, Waits::no, Deadline::now());
  }

  /// Takes the last item; waits for one. Empty when the stream has ended: status() tells how.
  /// Throws Error where anything else is wrong.
  std::optional<T> pop_back() {
    return Base::item_or_end([this](T& item) { return pop_back(item); });
  }
  /// Takes the first item; otherwise as pop_back().
  std::optional<T> pop_front() {
    return Base::item_or_end([this](T& item) { return pop_front(item); });
  }
  /// Takes the last item, but gives up at the deadline, and says with a Status how it ended; `item`
  /// means something if that is ok.
  Status pop_back(T& item, Deadline deadline = Deadline::never()) {
    return Base::pop_one(at(End::back), item, Waits::yes, deadline);
  }
  /// The same, with the first item.
  Status pop_front(T& item, Deadline deadline = Deadline::never()) {
    return Base::pop_one(at(End::front), item, Waits::yes, deadline);
  }
  /// As pop_back(), but empty instead of waiting.
  Status try_pop_back(T& item) {
    return Base::pop_one(at(End::back), item, Waits::no, Deadline::now());
  }
  /// As pop_front(), but empty instead of waiting.
  Status try_pop_front(T& item) {
    return Base::pop_one(at(End::front), item, Waits::no, Deadline::now());
  }
  /// Drops the last item unread, as where it is corrupt: ok, or what try_pop_back() says of none.
  Status skip_back() { return Base::skip_one(at(End::back)); }
  /// Drops the first item unread; otherwise as skip_back().
  Status skip_front() { return Base::skip_one(at(End::front)); }

  /// Moves the last `n` items to the front, one after the other; the first -n to the back if `n` is
  /// negative. At one moment, unless this process dies in between.
  void rotate(std::int64_t n = 1) {
    const bool forward = n >= 0;
    const std::uint64_t steps =
        forward ? static_cast<std::uint64_t>(n) : ~static_cast<std::uint64_t>(n) + 1;
    const Status status =
        Base::parts().items().rotate(forward ? End::back : End::front, steps, Deadline::never());
    if (status != Status::ok) throw Error(status, {.tried = "rotate a deque"});
  }

 private:
  friend Base;

  explicit Deque(Segment segment) : Base(std::move(segment)) {}
  static std::uint64_t fingerprint() { return codec_fingerprint<T>(); }

  Status push(End end, const T& item, Waits waits, Deadline deadline) {
    return Base::push_some(end, std::span(&item, 1), waits, deadline).status;
  }
  [[nodiscard]] auto at(End end) const {
    return [this, end] { return Base::parts().items().end(end); };
  }
};

}  // namespace sluice

#endif  // SLUICE_IPC_DEQUE_H_
