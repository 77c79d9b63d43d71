// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/traffic.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/testkit/check_items.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::internal {
namespace {

using testkit::number_of;
using testkit::producer_of;

std::string name(std::uint64_t id) {
  return std::to_string(producer_of(id)) + ":" + std::to_string(number_of(id));
}

}  // namespace

std::string judge_count(const TrafficRecord& record) {
  std::vector<std::vector<bool>> seen;
  for (const std::size_t count : record.pushed) seen.emplace_back(count);
  for (const auto& got : record.popped) {
    for (const std::uint64_t id : got) {
      if (id == kTorn) return "an item was torn: its words are not of one item";
      if (producer_of(id) >= seen.size() || number_of(id) >= seen[producer_of(id)].size()) {
        return "popped " + name(id) + ", which nobody had pushed";
      }
      auto mark = seen[producer_of(id)].begin() + number_of(id);
      if (*mark) return "popped " + name(id) + " twice";
      *mark = true;
    }
  }
  std::size_t lost = 0;
  std::string first;
  for (std::size_t producer = 0; producer < seen.size(); ++producer) {
    for (std::size_t n = 0; n < seen[producer].size(); ++n) {
      if (seen[producer][n]) continue;
      if (lost++ == 0) first = std::to_string(producer) + ":" + std::to_string(n);
    }
  }
  if (lost == 0) return "";
  return "lost " + std::to_string(lost) + (lost == 1 ? " item, " : " items, the first of them ") +
         first;
}

std::string judge_order(const TrafficRecord& record) {
  for (std::size_t consumer = 0; consumer < record.popped.size(); ++consumer) {
    // One more than the number of the last, of each producer.
    std::vector<std::uint64_t> next(record.pushed.size());
    for (const std::uint64_t id : record.popped[consumer]) {
      if (producer_of(id) >= next.size()) continue;  // judge_count() says so
      if (number_of(id) + std::uint64_t{1} <= next[producer_of(id)]) {
        return "one thread popped " + name(id) + " after " +
               name(testkit::item(producer_of(id),
                                  static_cast<std::uint32_t>(next[producer_of(id)] - 1)));
      }
      next[producer_of(id)] = number_of(id) + std::uint64_t{1};
    }
  }
  return "";
}

std::string describe(const TrafficPlan& plan) {
  constexpr std::array kCalls = {"", ", calls that wait", ", batches"};
  return std::to_string(plan.producers) + "x" + std::to_string(plan.consumers) +
         " threads, capacity " + std::to_string(plan.capacity) +
         kCalls[static_cast<std::size_t>(plan.calls)] + ", seed " + std::to_string(plan.seed);
}

std::vector<TrafficPlan> traffic_plans(const testkit::QueueTraits& traits,
                                       const testkit::CheckOptions& options, std::size_t items) {
  std::vector<TrafficPlan> plans;
  std::size_t last = 0;
  for (const std::size_t threads : {1, 2, 4}) {
    TrafficPlan plan{.seed = options.seed, .patience = 2 * options.patience};
    plan.producers = std::min(traits.producers, threads);
    plan.consumers = std::min(traits.consumers, threads);
    const std::size_t all = plan.producers + plan.consumers;
    if (all == last) continue;
    last = all;
    plan.items = std::max<std::size_t>(options.times(items) / plan.producers, 1);
    plan.capacity = 64;
    plans.push_back(plan);
    // A queue that is full most of the time, and empty the rest.
    plan.capacity = 2;
    plan.items = std::max<std::size_t>(plan.items / 4, 1);
    plans.push_back(plan);
  }
  return plans;
}

}  // namespace sluice::internal
