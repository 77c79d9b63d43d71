// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/item_lives.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sluice/testkit/models.h"
#include "sluice/testkit/timed_call.h"

namespace sluice::internal {

using testkit::kNever;

ItemLives::ItemLives(const testkit::History& history) {
  for (std::size_t i = 0; i < history.size(); ++i) {
    const auto& timed = history[i];
    if (!is_push(timed.call) || !places_.try_emplace(timed.call.value, lives_.size()).second) {
      continue;
    }
    lives_.push_back({timed.call.value, i, kNoCall, timed.from, timed.to, kNever, kNever});
  }
  std::int64_t unknown = kNever;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const auto& timed = history[i];
    if (timed.call.kind != testkit::QueueCall::Kind::pop) continue;
    if (!timed.answered) unknown = std::min(unknown, timed.from);
    const auto at = places_.find(timed.call.value);
    if (!timed.answered || !timed.call.ok || at == places_.end()) continue;
    ItemLife& life = lives_[at->second];
    if (life.pop != kNoCall && !history[life.pop].is_pending()) continue;
    life.pop = i;
    life.pop_from = timed.from;
    life.pop_to = timed.to;
  }
  for (ItemLife& life : lives_) {
    if (life.pop_to == kNever) life.pop_from = std::min(life.pop_from, unknown);
  }
}

}  // namespace sluice::internal
