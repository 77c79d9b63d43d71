// SPDX-License-Identifier: Apache-2.0
//
// Internal: what is known of all queues, for a linear_search over a QueueModel. It needs items that
// are pushed and popped once at most: then an item's pop says when the item must have been where.
//
// Dead, since no order of the rest could mend it. Here "a is before b" is by their times:
//   any order     a push of v, if an "empty" that is to come is before the pop of v
//   fifo          a push of v, if the pop of an item that is not in yet is before the pop of v
//   lifo          a push of v onto u, if the pop of u is before that of v; or if there is a w, not
//                 in yet, whose push is before the pop of v, and the pop of v before that of w: it
//                 had to lie beneath
//   priority      a push of v, if the pop of a larger one, to come, is before that of v
//   any order     a pop with an unknown answer, of an item that another is known to have popped
//
// Free, since whatever order there is, this call can be moved to its beginning. Moving a pop makes
// the queue shorter for a while, moving a push makes it longer: so not if a "full", or a size, may
// come before the call, and for a push not if the queue is ever full:
//   any order     a pop that may come now. What comes before it in that order doesn't need its
//                 item: fifo: pushes alone; lifo: what lies above, which is gone by then; priority
//                 and per producer: others' items. "empty" can't come before it.
//   lifo          a push whose pop could come right after it: the two together change nothing
//   per producer  a push, unless an "empty" may come before it: only its own producer's items have
//                 an order with it, and they have it already, if one party pushes them all
//
// Not split by producers: that would be sound only where nothing is ever "empty" or "full", which
// depend on all of them (locality is for objects that answer each for itself).
//
// If a process dies here: private memory.

#ifndef SLUICE_TESTKIT_QUEUE_GUIDE_H_
#define SLUICE_TESTKIT_QUEUE_GUIDE_H_

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "sluice/testkit/item_lives.h"
#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/timed_call.h"

namespace sluice::internal {

class QueueGuide {
 public:
  QueueGuide(const testkit::History& history, const ItemLives& lives, testkit::QueueOrder order,
             std::size_t capacity);

  testkit::Advice operator()(const testkit::SearchPoint& point, const testkit::QueueModel& state,
                             std::size_t index, const testkit::QueueCall& call) const;

 private:
  using Times = std::vector<std::vector<std::int64_t>>;  ///< [lane][how many have come]

  [[nodiscard]] testkit::Advice of_pop(const testkit::SearchPoint& point, std::size_t index,
                                       const testkit::QueueCall& call) const;
  [[nodiscard]] testkit::Advice of_push(const testkit::SearchPoint& point,
                                        const testkit::QueueModel& state, std::size_t index,
                                        const ItemLife& life) const;
  [[nodiscard]] bool is_dead_fifo(const testkit::SearchPoint& point, std::size_t lane,
                                  const ItemLife& life) const;
  [[nodiscard]] bool is_dead_lifo(const testkit::SearchPoint& point,
                                  const testkit::QueueModel& state, const ItemLife& life) const;
  [[nodiscard]] bool is_dead_priority(const testkit::SearchPoint& point,
                                      const ItemLife& life) const;
  [[nodiscard]] bool is_next(const testkit::SearchPoint& point, std::size_t index) const;
  [[nodiscard]] bool has_come(const testkit::SearchPoint& point, std::size_t index) const;
  void note_times(const ItemLives& lives);
  void note_producers(const ItemLives& lives);
  void note_what_lies_beneath(const ItemLives& lives);

  /// The smallest of all lanes.
  static std::int64_t first_of(const Times& times, const testkit::SearchPoint& point);

  const testkit::History& history_;
  const ItemLives& lives_;
  testkit::Lanes lanes_;
  testkit::QueueOrder order_;
  bool is_never_full_;
  bool is_producer_one_lane_ = true;
  std::vector<std::uint32_t> place_;  ///< of each call in its lane
  Times empty_to_;                    ///< the first return of an "empty" that is to come
  Times empty_from_;                  ///< its first beginning
  Times counted_from_;                ///< the first beginning of what counts that is to come
  Times pop_to_;  ///< the first return of a pop of an item whose push is to come in this lane
  /// Of a push: those that must have come before.
  std::unordered_map<std::size_t, std::vector<std::size_t>> beneath_;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_QUEUE_GUIDE_H_
