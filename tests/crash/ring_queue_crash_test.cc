// SPDX-License-Identifier: Apache-2.0
//
// Queue<T> where it is a ring (ipc/ring_parts.h), killed everywhere while pushing, popping and
// closing: what a push has acknowledged comes out once, and nothing does that was pushed after the
// end.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/ring_parts.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {

/// As the others' (item.h), of a type that travels under a name.
struct RingItem : Item {
  static constexpr std::string_view kTypeName = "test.RingItem";
};

namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::SharedArea;
using Parts = internal::RingParts<RingItem>;

constexpr std::size_t kCapacity = 4;

/// What is known of each number, outside of the queue.
enum Known : std::uint8_t {
  kTried = 1,   ///< a push had begun
  kPushed = 2,  ///< that had returned
  kTaking = 4,  ///< whoever pops now may get it, and die
  kPopped = 8,  ///< a pop of it had returned
};

struct Area {
  std::array<std::uint8_t, 1024> known;
  std::uint64_t next;     ///< the first number that nobody has used
  std::uint64_t takers;   ///< pops that had begun, and not returned
  std::uint64_t lost;     ///< as many as they may have taken along
  std::uint64_t closing;  ///< 1: a close had begun; 2: it had returned
};

class RingQueueCrash : public testing::Test {
 protected:
  /// A recovery is long: some of its points will do.
  static void expect_intact(const CrashOperation& op) {
    tests::expect_intact(op, KillAt::each_instruction, 1);
  }

  RingQueueCrash()
      : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}),
        segment_(Segment::create_anonymous(kind(), Parts::object_bytes(kCapacity), format())) {}

  static SegmentKind kind() {
    return {.name = "queue",
            .version = Queue<RingItem>::kVersion,
            .fingerprint = codec_fingerprint<RingItem>()};
  }
  static Segment::Format format() {
    return Parts::format(kCapacity, internal::QueueRules::of(Capacity(kCapacity), {}));
  }

  [[nodiscard]] Queue<RingItem> open() const { return Queue<RingItem>::from_fd(segment_.fd()); }

  Status push(Queue<RingItem>& queue, std::size_t n, Deadline deadline = 2s) {
    std::vector<RingItem> items;
    for (std::size_t i = 0; i < n; ++i) {
      area_->known.at(area_->next) = kTried;
      items.push_back({Item::of(area_->next++)});
    }
    const std::uint64_t first = items.front().number;
    QueueBatch batch = {Status::ok, 0};
    if (n == 1) {
      batch.status = queue.push(items[0], deadline);
      batch.count = batch.status == Status::ok ? 1 : 0;
    } else {
      batch = queue.push_each(items, deadline);
    }
    for (std::size_t i = 0; i < batch.count; ++i) area_->known.at(first + i) |= kPushed;
    return batch.status;
  }

  void take(const RingItem& item, std::string& wrong) {
    if (!item.is_whole() || item.number >= area_->next) {
      wrong = "a torn item";
    } else if ((area_->known.at(item.number) & kPopped) != 0) {
      wrong = "twice";
    } else {
      area_->known.at(item.number) |= kPopped;
    }
  }

  /// What is wrong goes to `wrong`.
  Status pop(Queue<RingItem>& queue, std::size_t n, std::string& wrong, Deadline deadline = 2s) {
    std::vector<RingItem> items;
    area_->takers += n;
    Status status = Status::ok;
    if (n == 1) {
      RingItem item{};
      status = queue.pop(item, deadline);
      if (status == Status::ok) items.push_back(item);
    } else {
      status = queue.pop_each(items, n, deadline).status;
    }
    for (const RingItem& item : items) take(item, wrong);
    area_->takers -= n;
    return status;
  }

  void must_push(std::size_t n) {
    if (push(*queue_, n) != Status::ok) throw std::logic_error("push failed");
  }
  void must_pop(std::size_t n) {
    std::string wrong;
    if (pop(*queue_, n, wrong) != Status::ok) throw std::logic_error("pop failed");
    if (!wrong.empty()) throw std::logic_error(wrong);
  }
  void close(bool drop = false) {
    area_->closing = 1;
    queue_->close(drop ? Remaining::dropped : Remaining::delivered);
    area_->closing = 2;
  }

  /// Takes what is there, which must be all that was pushed, but for what the dead have taken.
  std::string drain(Queue<RingItem>& queue) {
    area_->lost += area_->takers;  // of the dead
    area_->takers = 0;
    std::string wrong;
    Status status = Status::ok;
    while (status == Status::ok && wrong.empty()) status = pop(queue, 1, wrong, 20ms);
    if (!wrong.empty()) return wrong;
    const Status expected = queue.is_closed() ? Status::closed : Status::timeout;
    if (status != expected) return "pop: " + std::string(to_string(status));
    std::uint64_t missing = 0;
    for (std::uint64_t i = 0; i < area_->next; ++i) {
      missing += (area_->known.at(i) & (kPushed | kPopped)) == kPushed ? 1 : 0;
    }
    if (missing > area_->lost) return "acknowledged, and lost";
    return queue.empty() ? "" : "not empty after all";
  }

  std::string inspect() {
    Queue<RingItem> queue = open();
    if (area_->closing == 2 && !queue.is_closed()) return "open again";
    if (area_->closing == 0 && queue.is_closed()) return "closed by nobody";
    if (const std::string wrong = drain(queue); !wrong.empty()) return wrong;
    if (queue.is_closed()) return push(queue, 1) == Status::closed ? "" : "pushed after the end";
    // More than once around, to the brim.
    for (int i = 0; i < 3; ++i) {
      for (std::size_t n = 0; n < kCapacity; ++n) {
        if (push(queue, 1) != Status::ok) return "no room for " + std::to_string(n + 1);
      }
      if (queue.size() != kCapacity || !queue.full()) return "not full";
      if (push(queue, 1, 0s) != Status::timeout) return "more than there is room for";
      if (const std::string wrong = drain(queue); !wrong.empty()) return wrong;
    }
    return "";
  }

  /// With `before` items in it, after once around.
  CrashOperation on_queue(const std::string& name, std::size_t before,
                          std::function<void()> operation) {
    CrashOperation op{.name = name};
    op.shared = {area_.bytes(), segment_.object()};
    op.setup = [this, before] {
      area_.reset();
      std::ranges::fill(segment_.object(), std::byte{0});
      format()(segment_.object());
      queue_.emplace(open());
      for (std::size_t i = 0; i < kCapacity + 1; ++i) must_push(1), must_pop(1);
      for (std::size_t i = 0; i < before; ++i) must_push(1);
      area_->lost = 0;
    };
    op.prepare = [] { attach(); };
    op.operation = std::move(operation);
    op.survivor = [this](bool) { return inspect(); };
    op.interfere = [this] {
      // The frozen one may have claimed anything.
      Queue<RingItem> queue = open();
      static_cast<void>(push(queue, 1, 1ms));
      if (queue.size() > kCapacity) throw std::logic_error("more than there can be");
    };
    op.prepare_recovery = [this] {
      attach();
      queue_.emplace(open());
    };
    op.recover = [this] {
      std::string wrong;
      static_cast<void>(pop(*queue_, 1, wrong, 0s));
      static_cast<void>(push(*queue_, 1, 0s));
    };
    return op;
  }

  SharedArea<Area> area_;
  std::optional<Queue<RingItem>> queue_;

 private:
  ScopedWaitPolicy slices_;

 protected:
  Segment segment_;
};

TEST_F(RingQueueCrash, Push) {
  expect_intact(on_queue("ring queue push", 2, [this] { must_push(1); }));
}

TEST_F(RingQueueCrash, Pop) {
  expect_intact(on_queue("ring queue pop", 2, [this] { must_pop(1); }));
}

TEST_F(RingQueueCrash, Batches) {
  CrashOperation pushing = on_queue("ring queue push of two", 1, [this] { must_push(2); });
  CrashOperation popping = on_queue("ring queue pop of two", 3, [this] { must_pop(2); });
  pushing.recover = popping.recover = nullptr;  // as for one, and long
  expect_intact(pushing);
  expect_intact(popping);
}

TEST_F(RingQueueCrash, Close) {
  expect_intact(on_queue("ring queue close", 2, [this] { close(); }));
}

TEST_F(RingQueueCrash, CloseThatDrops) {
  CrashOperation op = on_queue("ring queue close, dropping", 2, [this] { close(true); });
  op.survivor = [this](bool completed) -> std::string {
    Queue<RingItem> queue = open();
    if (completed && !queue.is_closed()) return "acknowledged, and not closed";
    if (!queue.is_closed()) return inspect();
    RingItem item{};
    if (queue.try_pop(item) != Status::closed || !queue.empty()) return "dropped, and still there";
    return push(queue, 1) == Status::closed ? "" : "pushed after the end";
  };
  op.recover = nullptr;
  expect_intact(op);
}

TEST_F(RingQueueCrash, PushesAndPopsAfterTheEnd) {
  expect_intact(on_queue("ring queue push and pop after close", 2, [this] {
    close();
    if (push(*queue_, 1) != Status::closed) throw std::logic_error("pushed after the end");
    must_pop(1);
  }));
}

/// Says that it is pushed before it is.
TEST_F(RingQueueCrash, MutantThatAcknowledgesTooEarlyIsFound) {
  CrashOperation op = on_queue("mutant: push acknowledged too early", 1, [this] {
    const std::uint64_t number = area_->next++;
    area_->known.at(number) = kTried | kPushed;
    if (queue_->push({Item::of(number)}) != Status::ok) throw std::logic_error("push failed");
  });
  expect_found(op, "acknowledged, and lost");
}

}  // namespace
}  // namespace sluice::tests
