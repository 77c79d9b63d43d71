// SPDX-License-Identifier: Apache-2.0
//
// The properties on queues that are as they should be, among them a JoinableQueue and a Deque; and
// on such with a fault, which is found, made small, and told as code.

#include "sluice/testkit/property_suite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/deque.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/lockfree/unbounded_queue.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/deque_model.h"
#include "sluice/testkit/deque_properties.h"
#include "sluice/testkit/joinable_model.h"
#include "sluice/testkit/joinable_properties.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_properties.h"
#include "sluice/tests/testkit/mutex_queue.h"

namespace sluice::tests {

using namespace testkit;  // the macro wants the bare name
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Outside the unnamed namespace, so that the code names them as a test would.
using FifoQueue = MutexQueue<std::uint64_t, QueueOrder::fifo>;
using LifoQueueWithMutex = MutexQueue<std::uint64_t, QueueOrder::lifo>;
using PriorityQueueWithMutex = MutexQueue<std::uint64_t, QueueOrder::priority>;

/// Without a limit; each thread and each party is a producer.
struct PartiesAdapter {
  using value_type = std::uint64_t;
  static constexpr QueueTraits kTraits{.order = QueueOrder::per_producer_fifo, .bounded = false};
  struct Party {
    bool try_push(std::uint64_t item) { return queue->try_push(item) == Status::ok; }
    bool try_pop(std::uint64_t& item) { return queue->try_pop(item) == Status::ok; }
    UnboundedQueue<std::uint64_t>* queue;
  };

  explicit PartiesAdapter(std::size_t) {}
  bool try_push(std::uint64_t item) { return party().try_push(item); }
  bool try_pop(std::uint64_t& item) { return party().try_pop(item); }
  [[nodiscard]] std::size_t size() const { return queue.size(); }
  void close() { queue.close(); }
  Party party() { return {&queue}; }

  UnboundedQueue<std::uint64_t> queue;
};

struct DequeOfIpc {
  using value_type = std::uint64_t;
  static constexpr DequeTraits kTraits{.bounded = true};

  explicit DequeOfIpc(std::size_t capacity) : deque(capacity) {}
  bool try_push_front(std::uint64_t item) { return deque.try_push_front(item) == Status::ok; }
  bool try_push_back(std::uint64_t item) { return deque.try_push_back(item) == Status::ok; }
  bool try_pop_front(std::uint64_t& item) { return deque.try_pop_front(item) == Status::ok; }
  bool try_pop_back(std::uint64_t& item) { return deque.try_pop_back(item) == Status::ok; }
  [[nodiscard]] std::size_t size() const { return deque.size(); }
  void close() { deque.close(); }

  Deque<std::uint64_t> deque;
};

template <std::uint32_t kMaxAttempts>
struct TasksOfIpc {
  using value_type = std::uint64_t;
  using ticket_type = std::optional<JoinableQueue<std::uint64_t>::Task>;
  static constexpr JoinableTraits kTraits{.bounded = true, .max_attempts = kMaxAttempts};

  explicit TasksOfIpc(std::size_t capacity) : queue(capacity, {.max_attempts = kMaxAttempts}) {}
  bool try_push(std::uint64_t item) { return queue.try_push(item) == Status::ok; }
  bool try_pop(ticket_type& ticket) { return queue.try_pop(ticket) == Status::ok; }
  [[nodiscard]] std::uint64_t item_of(const ticket_type& ticket) const { return **ticket; }
  [[nodiscard]] std::uint32_t attempt_of(const ticket_type& ticket) const {
    return ticket->attempt();
  }
  void done(ticket_type ticket) { ticket->done(); }
  void fail(ticket_type ticket) { ticket->fail(); }
  bool try_pop_dead(std::uint64_t& item) {
    JoinableQueue<std::uint64_t>::DeadLetter letter;
    const bool ok = queue.try_pop_dead_letter(letter) == Status::ok;
    item = letter.item;
    return ok;
  }
  [[nodiscard]] std::size_t size() const { return queue.size(); }
  [[nodiscard]] std::size_t unfinished() const { return queue.unfinished(); }
  void close() { queue.close(); }

  JoinableQueue<std::uint64_t> queue;
};

INSTANTIATE_TYPED_TEST_SUITE_P(MutexFifo, QueueProperties, FifoQueue);
INSTANTIATE_TYPED_TEST_SUITE_P(MutexLifo, QueueProperties, LifoQueueWithMutex);
INSTANTIATE_TYPED_TEST_SUITE_P(MutexPriority, QueueProperties, PriorityQueueWithMutex);
INSTANTIATE_TYPED_TEST_SUITE_P(Parties, QueueProperties, PartiesAdapter);
INSTANTIATE_TYPED_TEST_SUITE_P(Ipc, DequeProperties, DequeOfIpc);
INSTANTIATE_TYPED_TEST_SUITE_P(IpcThrice, JoinableProperties, TasksOfIpc<3>);
INSTANTIATE_TYPED_TEST_SUITE_P(IpcForEver, JoinableProperties, TasksOfIpc<0>);

// -------------------------------------------------------------------------------------------------
// What is found, and what it looks like

// What never comes back need not be waited for long.
constexpr CheckOptions kOptions{.patience = std::chrono::milliseconds(300)};

struct Finding {
  Fault fault;
  const char* text;
};

std::ostream& operator<<(std::ostream& out, const Finding& finding) { return out << finding.text; }

class QueueFault : public ::testing::TestWithParam<Finding> {};

TEST_P(QueueFault, IsFoundAndToldAsCode) {
  const WithFault broken(GetParam().fault);
  EXPECT_THAT(check_queue_properties<FifoQueue>(kOptions), HasSubstr(GetParam().text));
}

INSTANTIATE_TEST_SUITE_P(
    Each, QueueFault,
    ::testing::Values(Finding{Fault::holds_one_more,
                              " queue(1);\n"
                              "  std::uint64_t out = 0;\n"
                              "  EXPECT_TRUE(queue.try_push(item(0, 1)));\n"
                              "  EXPECT_FALSE(queue.try_push(item(0, 2)));  // gave true\n"
                              "}\n"},
                      Finding{Fault::drops_when_closed,
                              " queue(1);\n"
                              "  std::uint64_t out = 0;\n"
                              "  EXPECT_TRUE(queue.try_push(item(0, 1)));\n"
                              "  queue.close();\n"
                              "  EXPECT_TRUE(queue.try_pop(out));  // gave false\n"
                              "}\n"},
                      Finding{Fault::stale_size,
                              "  EXPECT_TRUE(queue.try_push(item(0, 1)));\n"
                              "  EXPECT_EQ(queue.size(), 1U);  // gave 2\n"
                              "}\n"},
                      Finding{Fault::batch_forgets_last,
                              "  EXPECT_EQ(some1[2], item(0, 3));\n"
                              "  EXPECT_TRUE(queue.try_pop(out));  // gave false\n"
                              "}\n"},
                      Finding{Fault::throws_when_full,
                              "any sequence of calls threw: no room at all\n{\n"},
                      Finding{Fault::dies_at_third,
                              "  queue.try_push(item(0, 3));  // does not return\n"
                              "}\n"},
                      // How small it gets is a matter of time.
                      Finding{Fault::loses_lock, "  // does not return\n}\n"}));

TEST(QueueProperties, TellWhatWasAskedAndHowToAskAgain) {
  const WithFault broken(Fault::holds_one_more);
  CheckOptions options = kOptions;
  options.seed = 77;
  const std::string wrong = check_queue_properties<FifoQueue>(options);
  EXPECT_THAT(wrong, StartsWith("try_push() gave true\n{\n"));
  EXPECT_THAT(wrong, HasSubstr(" of 500, seed 77; 2 steps, made of "));
  EXPECT_EQ(check_queue_properties<FifoQueue>(options), wrong);
  options.in_child = false;
  EXPECT_EQ(check_queue_properties<FifoQueue>(options), wrong);
}

// An order that is not the one it says.
struct NotPriority : MutexQueue<std::uint64_t, QueueOrder::fifo> {
  using MutexQueue::MutexQueue;
  static constexpr QueueTraits kTraits{.order = QueueOrder::priority};
};
struct NotLifo : MutexQueue<std::uint64_t, QueueOrder::fifo> {
  using MutexQueue::MutexQueue;
  static constexpr QueueTraits kTraits{.order = QueueOrder::lifo};
};

TEST(QueueProperties, KnowTheOrders) {
  EXPECT_THAT(check_queue_properties<NotPriority>(kOptions),
              HasSubstr("sluice::tests::NotPriority queue(2);\n"
                        "  std::uint64_t out = 0;\n"
                        "  EXPECT_TRUE(queue.try_push(item(1, 1)));\n"
                        "  EXPECT_TRUE(queue.try_push(item(0, 2)));\n"
                        "  EXPECT_TRUE(queue.try_pop(out));\n"
                        "  EXPECT_EQ(out, item(0, 2));  // gave item(1, 1)\n"));
  EXPECT_THAT(check_queue_properties<NotLifo>(kOptions),
              HasSubstr("  EXPECT_EQ(out, item(0, 2));  // gave item(0, 1)\n"));
}

enum class RowFault : std::uint8_t { none, swaps_ends, forgets, counts_wrong, ignores_close };
RowFault row_fault = RowFault::none;

struct Row {
  using value_type = std::uint64_t;
  static constexpr DequeTraits kTraits{.bounded = true};

  explicit Row(std::size_t most) : capacity(most) {}
  [[nodiscard]] bool refuses() const {
    return items.size() >= capacity || (closed && row_fault != RowFault::ignores_close);
  }
  bool try_push_front(std::uint64_t item) {
    if (refuses()) return false;
    if (row_fault == RowFault::forgets && items.size() == 2) return true;
    items.push_front(item);
    return true;
  }
  bool try_push_back(std::uint64_t item) {
    if (refuses()) return false;
    items.push_back(item);
    return true;
  }
  bool try_pop_front(std::uint64_t& item) {
    if (items.empty()) return false;
    item = items.front();
    items.pop_front();
    return true;
  }
  bool try_pop_back(std::uint64_t& item) {
    if (items.empty()) return false;
    if (row_fault == RowFault::swaps_ends) return try_pop_front(item);
    item = items.back();
    items.pop_back();
    return true;
  }
  [[nodiscard]] std::size_t size() const {
    return items.size() + (row_fault == RowFault::counts_wrong ? 1 : 0);
  }
  void close() { closed = true; }

  std::size_t capacity;
  bool closed = false;
  std::deque<std::uint64_t> items;
};
INSTANTIATE_TYPED_TEST_SUITE_P(Std, DequeProperties, Row);

TEST(DequeProperties, FindFaultsAndTellThemAsCode) {
  const auto with = [](RowFault fault) {
    row_fault = fault;
    std::string wrong = check_deque_properties<Row>(kOptions);
    row_fault = RowFault::none;
    return wrong;
  };
  EXPECT_THAT(with(RowFault::swaps_ends),
              HasSubstr("{\n"
                        "  sluice::tests::Row deque(2);\n"
                        "  std::uint64_t out = 0;\n"
                        "  EXPECT_TRUE(deque.try_push_back(item(0, 1)));\n"
                        "  EXPECT_TRUE(deque.try_push_back(item(0, 2)));\n"
                        "  EXPECT_TRUE(deque.try_pop_back(out));\n"
                        "  EXPECT_EQ(out, item(0, 2));  // gave item(0, 1)\n"
                        "}\n"));
  EXPECT_THAT(with(RowFault::forgets),
              HasSubstr("  EXPECT_TRUE(deque.try_push_front(item(0, 3)));\n"));
  EXPECT_THAT(with(RowFault::counts_wrong),
              HasSubstr("  EXPECT_EQ(deque.size(), 0U);  // gave 1\n}\n"));
  EXPECT_THAT(with(RowFault::ignores_close),
              HasSubstr("  deque.close();\n"
                        "  EXPECT_FALSE(deque.try_push_back(item(0, 1)));  // gave true\n}\n"));
}

enum class TaskFault : std::uint8_t {
  none,
  forgets_failed,
  comes_back_last,
  counts_no_attempts,
  never_dies,
  forgets_leased,
};
TaskFault task_fault = TaskFault::none;

/// Tasks in a vector by their places.
struct Tasks {
  struct Task {
    std::uint64_t item = 0;
    std::uint64_t place = 0;
    std::uint32_t attempt = 1;
  };
  using value_type = std::uint64_t;
  using ticket_type = Task;
  static constexpr JoinableTraits kTraits{.bounded = true, .max_attempts = 2};

  explicit Tasks(std::size_t most) : capacity(most) {}
  bool try_push(std::uint64_t item) {
    if (queued.size() >= capacity) return false;
    queued[++last] = {item, last, 1};
    return true;
  }
  bool try_pop(Task& ticket) {
    if (queued.empty()) return false;
    ticket = queued.begin()->second;
    queued.erase(queued.begin());
    ++leased;
    return true;
  }
  static std::uint64_t item_of(const Task& ticket) { return ticket.item; }
  static std::uint32_t attempt_of(const Task& ticket) { return ticket.attempt; }
  void done(const Task&) { --leased; }
  void fail(Task task) {
    --leased;
    if (task_fault == TaskFault::forgets_failed) return;
    if (task.attempt == 2 && task_fault != TaskFault::never_dies) return dead.push_back(task.item);
    if (task_fault != TaskFault::counts_no_attempts) ++task.attempt;
    if (task_fault == TaskFault::comes_back_last) task.place = ++last;
    queued[task.place] = task;
  }
  bool try_pop_dead(std::uint64_t& item) {
    if (dead.empty()) return false;
    item = dead.back();
    dead.pop_back();
    return true;
  }
  [[nodiscard]] std::size_t size() const { return queued.size(); }
  [[nodiscard]] std::size_t unfinished() const {
    return queued.size() + (task_fault == TaskFault::forgets_leased ? 0 : leased);
  }

  std::size_t capacity;
  std::size_t leased = 0;
  std::uint64_t last = 0;
  std::map<std::uint64_t, Task> queued;
  std::vector<std::uint64_t> dead;
};
INSTANTIATE_TYPED_TEST_SUITE_P(Std, JoinableProperties, Tasks);

TEST(JoinableProperties, FindFaultsAndTellThemAsCode) {
  const auto with = [](TaskFault fault) {
    task_fault = fault;
    std::string wrong = check_joinable_properties<Tasks>(kOptions);
    task_fault = TaskFault::none;
    return wrong;
  };
  EXPECT_THAT(with(TaskFault::forgets_failed),
              HasSubstr("{\n"
                        "  sluice::tests::Tasks queue(1);\n"
                        "  std::uint64_t dead = 0;\n"
                        "  EXPECT_TRUE(queue.try_push(item(0, 1)));\n"
                        "  sluice::tests::Tasks::Task task1;\n"
                        "  EXPECT_TRUE(queue.try_pop(task1));\n"
                        "  EXPECT_EQ(queue.item_of(task1), item(0, 1));\n"
                        "  EXPECT_EQ(queue.attempt_of(task1), 1U);\n"
                        "  queue.fail(std::move(task1));\n"
                        "  sluice::tests::Tasks::Task task2;\n"
                        "  EXPECT_TRUE(queue.try_pop(task2));  // gave false\n"
                        "}\n"));
  EXPECT_THAT(with(TaskFault::comes_back_last), HasSubstr(", item(0, 1));  // is another\n}\n"));
  EXPECT_THAT(with(TaskFault::counts_no_attempts), StartsWith("attempt_of() gave 1\n"));
  EXPECT_THAT(with(TaskFault::never_dies), StartsWith("try_pop() gave true\n"));
  EXPECT_THAT(with(TaskFault::forgets_leased),
              HasSubstr("  EXPECT_EQ(queue.unfinished(), 1U);  // gave 0\n}\n"));
}

}  // namespace sluice::tests
