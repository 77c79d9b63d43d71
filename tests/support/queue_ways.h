// SPDX-License-Identifier: Apache-2.0
//
// Runs the parties of a test over one queue in three ways: as threads that share the handle, as
// forked children that inherit it, and as processes that open it by name (tests/support/lock_ways.h
// has the same for what lies in a struct).
//
//   QueueStage<ByFork, Queue<int>> stage(Capacity(3));
//   const int popper = stage.start([](Queue<int>& q, Notes& notes) { notes[0] = *q.pop(); });
//   stage.wait_until_asleep(popper);
//   EXPECT_EQ(stage->push(7), Status::ok);
//   stage.finish();
//   EXPECT_EQ(stage.notes()[0], 7);
//
// With SLUICE_QUEUES_WITHOUT_RINGS in the environment, a capacity in items is one in bytes as well:
// by that, a Queue is not made as a ring (ipc/queue.h), and the same tests are on the other kind.

#ifndef SLUICE_TESTS_SUPPORT_QUEUE_WAYS_H_
#define SLUICE_TESTS_SUPPORT_QUEUE_WAYS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <string>
#include <type_traits>

#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {

/// What parties tell each other, beside the queue. Zero at the start.
using Notes = std::array<std::atomic<long>, 16>;

/// What a queue is made with.
template <class Q>
struct OptionsOf {
  using Type = QueueOptions;
};
template <class Q>
  requires requires { typename Q::Options; }
struct OptionsOf<Q> {
  using Type = typename Q::Options;
};

/// The same for items of a fixed size.
template <class T>
Capacity also_in_bytes_if_told(const Capacity& capacity) {
  constexpr std::size_t kBytes = internal::fixed_size<T>();
  const bool is_counted =
      capacity.items != Capacity::kNoLimit && capacity.bytes == Capacity::kNoLimit;
  if (kBytes == 0 || !is_counted || std::getenv("SLUICE_QUEUES_WITHOUT_RINGS") == nullptr) {
    return capacity;
  }
  return {capacity.items, capacity.items * (8 + (kBytes + 7) / 8 * 8)};
}

template <class Way, class Q>
class QueueStage {
 public:
  using Options = typename OptionsOf<Q>::Type;
  using Body = std::function<void(Q&, Notes&)>;

  explicit QueueStage(Capacity capacity, const Options& options = {})
      : queue_(make(capacity, options)) {}

  Q* operator->() { return &queue_; }
  Q& operator*() { return queue_; }
  Notes& notes() { return *stage_; }

  int start(Body body) {
    return stage_.start([this, body](Notes& notes) {
      if constexpr (std::is_same_v<Way, ByName>) {
        Q mine = Q::open(queue_.name());
        body(mine, notes);
      } else {
        body(queue_, notes);
      }
    });
  }
  /// In another party, to its end.
  void elsewhere(Body body) { finish(start(std::move(body))); }

  void wait_until_asleep(int party) { stage_.wait_until_asleep(party); }
  void finish(int party) { stage_.finish(party); }
  void finish() { stage_.finish(); }
  void kill(int party) { stage_.kill(party); }

 private:
  static Q make(const Capacity& wanted, const Options& options) {
    const Capacity capacity = also_in_bytes_if_told<typename Q::value_type>(wanted);
    if constexpr (std::is_same_v<Way, ByName>) {
      static int last = 0;
      return Q::create("queue-" + std::to_string(++last), capacity, options);
    } else {
      return Q(capacity, options);
    }
  }

  Q queue_;
  Stage<Way, Notes> stage_;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_QUEUE_WAYS_H_
