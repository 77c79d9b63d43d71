// SPDX-License-Identifier: Apache-2.0
//
// RingParts<T>: what keeps the items of a queue (ipc/queue.h) that are bytes of one size and have a
// limit in number: an MpmcRing, with what it takes to wait beside it, and to end it. Internal.
//
// In memory, behind the header of ipc/queue_core.h (offsets in bytes; who writes it):
//
//     0  state u32 (QueueState) | 4 pushed, an event count     close(); who waits for an item
//   128  popped, an event count                                who waits for room
//   256  the ring (lockfree/mpmc_ring.h)
//
// The end. A producer claims a place in the ring, and only then loads the state: if that is not
// open, it leaves a hole and pushes nothing. A consumer that has found the state closed and then
// the ring drained (MpmcView::is_drained) can therefore tell for good that nothing will come: what
// was claimed before is seen, and who claims later finds it closed. What others are just pushing or
// popping counts as there, so that the end waits for it.
//
// Errors: as ipc/queue.h says. Threads and processes: all calls may overlap; each thread works with
// a side of the ring of its own (ipc/sides_of_threads.h).
//
// If a process dies here: as the ring. A claim of the dead is undone by who waits, once per slice:
// the item of a killed pop is there again, in its old place, so that who had passed it gets it
// after later ones; a killed push has not happened. A close() that was killed has happened or not;
// whom it has not woken finds out at the end of the slice.
//
// Cost: as the ring; two loads of a line that only waiters write.

#ifndef SLUICE_IPC_RING_PARTS_H_
#define SLUICE_IPC_RING_PARTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_face.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/ring_layout.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/sides_of_threads.h"
#include "sluice/lockfree/mpmc_consumer.h"
#include "sluice/lockfree/mpmc_layout.h"
#include "sluice/lockfree/mpmc_producer.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// Of a queue that can't be one.
struct NoRing {};

template <class T>
class RingParts final : public QueueFace {
  using Env = RealLockEnv;
  using View = MpmcView<T, Env>;
  using Producer = MpmcProducer<T, Env>;
  using Consumer = MpmcConsumer<T, Env>;

 public:
  static std::size_t object_bytes(std::size_t items) {
    return kQueueHeaderBytes + kRingOffset + View::bytes_for(items);
  }
  static Segment::Format format(std::size_t items, const QueueRules& rules) {
    return rules.format(QueueEngine::ring, [items](std::span<std::byte> memory) {
      View::format_zeroes(memory.subspan(kRingOffset), items);
    });
  }

  explicit RingParts(Segment segment)
      : QueueFace(std::move(segment), QueueEngine::ring),
        control_(control_of(items_memory())),
        view_(ring()),
        producers_(view_),
        consumers_(view_) {
    if (overflow() == Overflow::block || overflow() == Overflow::fail) return;
    throw Error(Status::corrupt, {.tried = "attach to a queue",
                                  .expected = "a ring, which drops nothing",
                                  .found = "an overflow policy that drops"});
  }
  RingParts(const RingParts&) = delete;
  RingParts& operator=(const RingParts&) = delete;
  ~RingParts() { leave(); }

  // What most calls come to is kept apart from the rest, which has more to remember.

  Status push(const T& item, Waits waits, Deadline deadline) {
    return push_at_once(item) ? Status::ok : push_slowly(item, waits, deadline);
  }

  /// `done` counts on.
  Status push_each(std::span<const T> items, std::size_t& done, Waits waits, Deadline deadline) {
    const auto push_more = [&](std::size_t before, std::size_t& more, const WorkDeadline& until) {
      const auto once = [&](bool& others_are_at_work) {
        return push_some(items.subspan(before), more, others_are_at_work);
      };
      const bool waits_anyway = until.may_wait() && overflow() == Overflow::block;
      return insist(control_->popped, Status::full, once, until, waits_anyway);
    };
    const auto drop_one = [](std::size_t, std::size_t&, const WorkDeadline&) {
      return Status::full;
    };
    const Status status = push_all(
        items.size(), [](std::size_t) { return sizeof(T); }, push_more, drop_one, done, waits,
        deadline);
    // Who was woken for this room may not be the only one whom there is room for.
    if (control_->popped.maybe_waiting() && view_.has_room()) control_->popped.notify_one();
    return status;
  }

  Status pop(T& item, Waits waits, Deadline deadline) {
    return pop_at_once(item) ? Status::ok : pop_slowly(item, waits, deadline);
  }

  /// Appends to `items`, `most` at most: waits for the first.
  Status pop_each(std::vector<T>& items, std::size_t most, std::size_t& done, Waits waits,
                  Deadline deadline) {
    const std::size_t before = items.size();
    const auto some = [&](Consumer& mine) {
      // To count what is there costs as much as some items.
      const std::size_t room =
          most <= kFew ? most : std::clamp<std::size_t>(view_.size(), kFew, most);
      items.resize(before + room);
      done = mine.try_pop_n(std::span(items).subspan(before));
      items.resize(before + done);
      return done != 0 ? Status::ok : mine.status();
    };
    return await_items(
        [&](bool& others_are_at_work) { return pop_once(some, true, others_are_at_work); }, waits,
        deadline);
  }

  /// `use(item)` sees it where it lies, and may pop others meanwhile; it stays if that throws.
  template <class Use>
  Status pop_in_place(Use& use, Waits waits, Deadline deadline) {
    const auto see = [&](Consumer& mine) {
      const T* const item = mine.try_peek();
      if (item == nullptr) return mine.status();
      try {
        use(*item);
      } catch (...) {
        mine.put_back();
        control_->pushed.notify_one();  // there is one for who has found none
        throw;
      }
      mine.release();
      return Status::ok;
    };
    return await_items(
        [&](bool& others_are_at_work) {
          return pop_once<Whose::nobodys>(see, false, others_are_at_work);
        },
        waits, deadline);
  }

  Status close(bool drop) override {
    constexpr auto kClosed = static_cast<std::uint32_t>(QueueState::closed);
    constexpr auto kDropped = static_cast<std::uint32_t>(QueueState::dropped);
    auto seen = static_cast<std::uint32_t>(QueueState::open);
    if (drop) {
      // Seq_cst, both: pairs with the loads in state(); see "The end" above.
      Env::store(control_->state, kDropped, std::memory_order_seq_cst);
    } else {
      Env::cas(control_->state, seen, kClosed, std::memory_order_seq_cst);
    }
    control_->pushed.notify_all();
    control_->popped.notify_all();
    return Status::ok;
  }
  [[nodiscard]] QueueState state() const noexcept override {
    // Seq_cst: pairs with close(). Bytes that are no state are as closed.
    return static_cast<QueueState>(Env::load(control_->state, std::memory_order_seq_cst));
  }

  [[nodiscard]] std::size_t size() const noexcept override {
    return state() == QueueState::dropped ? 0 : view_.count();
  }
  [[nodiscard]] std::size_t bytes() const noexcept override { return size() * kCellBytes; }
  [[nodiscard]] std::size_t max_items() const noexcept override { return view_.capacity(); }
  [[nodiscard]] std::size_t max_bytes() const noexcept override {
    return view_.capacity() * kCellBytes;
  }
  [[nodiscard]] bool has_room_for(std::size_t /*size*/) const noexcept override {
    return view_.has_room();
  }
  [[nodiscard]] std::size_t taken_by(std::size_t /*size*/) const noexcept override {
    return kCellBytes;
  }
  [[nodiscard]] std::uint64_t dropped() const noexcept override { return 0; }
  [[nodiscard]] bool consumers_wait() const noexcept override {
    return control_->pushed.maybe_waiting();
  }
  [[nodiscard]] bool producers_wait() const noexcept override {
    return control_->popped.maybe_waiting();
  }

 private:
  static constexpr std::size_t kFew = std::clamp<std::size_t>(4096 / sizeof(T), 1, 64);
  static constexpr std::size_t kCellBytes = sizeof(typename View::Cell);

  static RingControl* control_of(std::span<std::byte> memory) {
    if (auto* const control = attach_object<RingControl>(memory)) return control;
    throw Error(Status::corrupt, {.tried = "attach to a queue",
                                  .expected = "room for a ring",
                                  .found = std::to_string(memory.size()) + " bytes"});
  }
  [[nodiscard]] std::span<std::byte> ring() const { return items_memory().subspan(kRingOffset); }

  /// Whether a side is used that this thread has already, or one that it has not: so that it can
  /// be used for something else before this use is over.
  enum class Whose : std::uint8_t { own, nobodys };

  /// `use(side)`'s Status, of a side of the ring.
  template <Whose kWhose = Whose::own, class Sides, class Use>
  static Status with_side(Sides& sides, Use use) {
    try {
      return kWhose == Whose::own ? sides.with(use) : sides.with_another(use);
    } catch (const Error& e) {
      // A side is made when a thread needs it, and the ring may be another registry's by then.
      if (e.code() != Status::foreign_registry) throw;
      return Status::foreign_registry;
    }
  }

  [[nodiscard]] auto is_open() const {
    return [this] { return state() == QueueState::open; };
  }

  [[gnu::noinline]] bool push_at_once(const T& item) {
    Producer* const mine = producers_.own();
    if (mine == nullptr || ends_with_producers() || state() != QueueState::open) [[unlikely]]
      return false;
    if (!mine->push_at_once(is_open(), item)) [[unlikely]]
      return false;
    control_->pushed.notify_one();
    return true;
  }

  [[gnu::noinline]] Status push_slowly(const T& item, Waits waits, Deadline deadline) {
    std::size_t done = 0;
    return push_each(std::span(&item, 1), done, waits, deadline);
  }

  [[gnu::noinline]] bool pop_at_once(T& item) {
    Consumer* const mine = consumers_.own();
    if (mine == nullptr || state() != QueueState::open) [[unlikely]]
      return false;
    if (!mine->pop_at_once(item)) [[unlikely]]
      return false;
    control_->popped.notify_one();
    return true;
  }

  Status push_some(std::span<const T> items, std::size_t& done, bool& others_are_at_work) {
    // Before as well: so that those that come after the end leave no holes.
    if (state() != QueueState::open) return Status::closed;
    const Status status = with_side(producers_, [&](Producer& mine) {
      done = mine.try_push_n_if(is_open(), items);
      others_are_at_work = mine.others_are_at_work();
      return done != 0 ? Status::ok : mine.status();
    });
    if (status == Status::ok)
      done == 1 ? control_->pushed.notify_one() : control_->pushed.notify_all();
    return status;
  }

  template <Whose kWhose = Whose::own, class Take>
  Status pop_once(Take take, bool many, bool& others_are_at_work) {
    // Before the look at the ring: what was pushed before the queue was closed is seen.
    const QueueState seen = state();
    if (seen == QueueState::dropped) [[unlikely]]
      return Status::closed;
    const Status status = with_side<kWhose>(consumers_, [&](Consumer& mine) {
      const Status s = take(mine);
      if (s == Status::empty) others_are_at_work = mine.others_are_at_work();
      return s;
    });
    if (status == Status::ok) [[likely]] {
      many ? control_->popped.notify_all() : control_->popped.notify_one();
      // Others may have waited for this item's end.
      if (seen != QueueState::open) [[unlikely]]
        control_->pushed.notify_all();
      return status;
    }
    const bool is_over = status == Status::empty && seen != QueueState::open && view_.is_drained();
    return is_over ? Status::closed : status;
  }

  /// Tries it once, and again for as long as it finds nothing, but others at work: so that what
  /// somebody has finished is seen by all, whoever is in the way. timeout if they don't get done.
  /// Who waits anyway is spared that.
  template <class Once>
  Status insist(EventCount& event, Status nothing, Once once, const WorkDeadline& until,
                bool waits_anyway) {
    bool others_are_at_work = false;
    Status status = once(others_are_at_work);
    if (status != nothing || !others_are_at_work || waits_anyway) [[likely]]
      return status;
    const Status waited = event.await(
        until,
        [&] {
          status = once(others_are_at_work);
          return status != nothing || !others_are_at_work;
        },
        [&] { return look_after(); });
    return waited == Status::ok ? status : Status::timeout;
  }

  [[gnu::noinline]] Status pop_slowly(T& item, Waits waits, Deadline deadline) {
    const auto once = [&](bool& others_are_at_work) {
      return pop_once([&](Consumer& mine) { return mine.try_pop(item); }, false,
                      others_are_at_work);
    };
    return await_items(once, waits, deadline);
  }

  template <class Once>
  Status await_items(Once once, Waits waits, Deadline deadline) {
    const Status status = take(
        [&](const WorkDeadline& until) {
          return insist(control_->pushed, Status::empty, once, until, until.may_wait());
        },
        waits, deadline);
    // Who was woken for this item may not be the only one whom there is an item for.
    if (control_->pushed.maybe_waiting() && view_.has_item()) control_->pushed.notify_one();
    return status;
  }

  EventCount& pushed() noexcept override { return control_->pushed; }
  [[nodiscard]] bool has_ended_or_items() const noexcept override {
    const QueueState seen = state();
    return seen == QueueState::dropped || view_.has_item() ||
           (seen != QueueState::open && view_.is_drained());
  }
  Status await_room(std::size_t /*size*/, Deadline deadline) override {
    return control_->popped.await(
        deadline, [&] { return view_.has_room() || state() != QueueState::open; },
        [&] { return look_after(); });
  }
  Status look_after() override {
    std::size_t undone = 0;
    const Status status = with_side(consumers_, [&](Consumer& mine) {
      undone = mine.mend();
      return Status::ok;
    });
    if (undone != 0) {
      control_->pushed.notify_all();
      control_->popped.notify_all();
    }
    return status;
  }
  [[nodiscard]] bool is_settled() override {
    if (view_.is_drained()) return true;
    static_cast<void>(look_after());
    return view_.is_drained();
  }
  void count_dropped(std::size_t /*n*/) noexcept override {}

  RingControl* control_;
  View view_;
  SidesOfThreads<Producer, View> producers_;
  SidesOfThreads<Consumer, View> consumers_;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_RING_PARTS_H_
