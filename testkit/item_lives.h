// SPDX-License-Identifier: Apache-2.0
//
// Internal: when each item of a history went in, and when it came out.
//
// If a process dies here: private memory.

#ifndef SLUICE_TESTKIT_ITEM_LIVES_H_
#define SLUICE_TESTKIT_ITEM_LIVES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "sluice/testkit/timed_call.h"

namespace sluice::internal {

inline constexpr std::size_t kNoCall = ~std::size_t{0};

/// A successful push, and its pop, which may be pending. Without a pop that has returned, any pop
/// whose answer is unknown may have taken the item: pop_from is then that of the first.
struct ItemLife {
  std::uint64_t item = 0;
  std::size_t push = kNoCall;
  std::size_t pop = kNoCall;
  std::int64_t push_from = 0;
  std::int64_t push_to = testkit::kNever;
  std::int64_t pop_from = testkit::kNever;
  std::int64_t pop_to = testkit::kNever;

  /// There is a time at which it was in the queue, whatever the order.
  [[nodiscard]] bool was_in() const { return push_to < pop_from; }
  [[nodiscard]] bool was_in_at(std::int64_t time) const {
    return push_to < time && time < pop_from;
  }
};

/// Of a history in which no item is pushed, or popped, twice. If it is, the first one counts, of
/// pops the first that has returned.
class ItemLives {
 public:
  explicit ItemLives(const testkit::History& history);

  [[nodiscard]] std::span<const ItemLife> all() const { return lives_; }
  /// nullptr: nobody has pushed it.
  [[nodiscard]] const ItemLife* find(std::uint64_t item) const {
    const auto at = places_.find(item);
    return at == places_.end() ? nullptr : &lives_[at->second];
  }

 private:
  std::vector<ItemLife> lives_;
  std::unordered_map<std::uint64_t, std::size_t> places_;
};

inline bool is_push(const testkit::QueueCall& call) {
  return call.kind == testkit::QueueCall::Kind::push && call.ok;
}
inline bool is_pop(const testkit::QueueCall& call) {
  return call.kind == testkit::QueueCall::Kind::pop && call.ok;
}
inline bool is_empty_answer(const testkit::QueueCall& call) {
  return call.kind == testkit::QueueCall::Kind::pop && !call.ok;
}
/// It depends on how many items are in the queue, beyond whether there are any.
inline bool counts(const testkit::QueueCall& call) {
  return call.kind == testkit::QueueCall::Kind::size ||
         (call.kind == testkit::QueueCall::Kind::push && !call.ok);
}

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_ITEM_LIVES_H_
