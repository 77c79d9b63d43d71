// SPDX-License-Identifier: Apache-2.0
//
// The suite for queues on an UnboundedQueue: without a limit, and ordered by producers alone.

#include <gtest/gtest.h>

#include <concepts>
#include <cstddef>
#include <utility>

#include "sluice/lockfree/unbounded_queue.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_checks.h"
#include "sluice/testkit/queue_suite.h"

namespace sluice::tests {
namespace {

using namespace testkit;  // the macro wants the bare name

template <std::movable T>
struct UnboundedAdapter {
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::per_producer_fifo, .bounded = false};

  explicit UnboundedAdapter(std::size_t) {}
  bool try_push(T item) { return queue.try_push(std::move(item)) == Status::ok; }
  bool try_pop(T& item) { return queue.try_pop(item) == Status::ok; }
  bool push(T item) { return queue.push(std::move(item)) == Status::ok; }
  bool pop(T& item) { return queue.pop(item) == Status::ok; }
  void close() { queue.close(); }
  [[nodiscard]] std::size_t size() const { return queue.size(); }

  UnboundedQueue<T> queue;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Unbounded, QueueSuite, QueueKit<UnboundedAdapter>);

}  // namespace
}  // namespace sluice::tests
