// SPDX-License-Identifier: Apache-2.0
//
// Any sequence of calls on a record queue, through two handles, behaves as a std::deque of byte
// strings, in storages and beginnings of several sizes: it says full exactly when the limits say
// so, grows while it is wrapped, and begins anew when it is found empty.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/record_queue.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

using internal::RealLockEnv;
using internal::RecordQueue;
using Bytes = std::vector<std::byte>;

enum class Step {
  push,
  push_three,
  push_that_throws,
  pop,
  pop_four,
  pop_that_refuses,
  pop_that_throws,
  drain,
  fill,
};
constexpr int kSteps = static_cast<int>(Step::fill) + 1;

class Model {
 public:
  explicit Model(const internal::RecordPlan& plan)
      : plan_(plan),
        segment_(Segment::create_anonymous(
            {.name = "test", .version = 1, .fingerprint = 1},
            internal::kRecordStorageOffset + internal::record_storage(plan), SegmentOptions{},
            [&](std::span<std::byte> bytes) {
              internal::format_records<RealLockEnv>(bytes, plan);
            })),
        growth_(segment_, internal::kRecordStorageOffset, "a queue"),
        handles_{RecordQueue(segment_.object(), growth()),
                 RecordQueue(segment_.object(), growth())} {}

  void run(Step step, std::size_t handle, std::size_t size) {
    queue_ = &handles_.at(handle);
    switch (step) {
      case Step::push:
        return push(1, size, false);
      case Step::push_three:
        return push(3, size, false);
      case Step::push_that_throws:
        return push(3, size, true);
      case Step::pop:
        return pop(1, Status::ok);
      case Step::pop_four:
        return pop(4, Status::ok);
      case Step::pop_that_refuses:
        return pop(2, Status::corrupt);
      case Step::pop_that_throws:
        return pop_that_throws();
      case Step::drain:
        while (!items_.empty()) pop(3, Status::ok);
        return pop(1, Status::ok);
      case Step::fill:
        for (std::size_t before = items_.size() + 1; before != items_.size();) {
          before = items_.size();
          push(1, size, false);
        }
        return;
    }
  }

  void check() const {
    std::uint64_t bytes = 0;
    for (const Bytes& item : items_) bytes += internal::record_bytes(item.size());
    for (const RecordQueue& queue : handles_) {
      RC_ASSERT(queue.size() == items_.size());
      RC_ASSERT(queue.bytes() == bytes);
    }
    bytes_ = bytes;
  }

 private:
  internal::GrowingMemory* growth() {
    return internal::records_grow<RealLockEnv>(segment_.object()) ? &growth_ : nullptr;
  }

  /// Different in length and content from its neighbours, and full of what looks like a header.
  [[nodiscard]] Bytes payload(std::size_t size, std::size_t i) const {
    Bytes bytes((size + 5 * i) % (plan_.max_bytes + 9), std::byte{8});
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
      bytes[at] = static_cast<std::byte>(number_ + i + at);
    }
    return bytes;
  }

  [[nodiscard]] Status expected(const Bytes& next, std::uint64_t bytes, std::size_t count) const {
    const std::uint64_t need = internal::record_bytes(next.size());
    if (need > plan_.max_bytes) return Status::too_large;
    if (count >= plan_.max_items || bytes + need > plan_.max_bytes) return Status::full;
    return Status::ok;
  }

  void push(std::size_t n, std::size_t size, bool throws_at_the_last) {
    check();
    std::vector<Bytes> coming;
    for (std::size_t i = 0; i < n; ++i) coming.push_back(payload(size, i));
    number_ += n;
    std::size_t fit = 0;
    Status stop = Status::ok;
    for (std::uint64_t bytes = bytes_; fit < n; ++fit) {
      stop = expected(coming[fit], bytes, items_.size() + fit);
      if (stop != Status::ok) break;
      bytes += internal::record_bytes(coming[fit].size());
    }
    const bool throws = throws_at_the_last && fit == n;
    if (throws) --fit;
    std::size_t done = 0;
    Status status = Status::ok;
    bool thrown = false;
    try {
      status = queue_->push(
          n, [&](std::size_t i) { return coming[i].size(); },
          [&](std::size_t i, std::span<std::byte> room) {
            if (throws && i + 1 == n) throw std::domain_error("");
            std::ranges::copy(coming[i], room.begin());
          },
          done, Deadline::never());
    } catch (const std::domain_error&) {
      thrown = true;
    }
    RC_ASSERT(thrown == throws);
    RC_ASSERT(done == fit);
    if (!thrown) RC_ASSERT(status == (fit != 0 ? Status::ok : stop));
    for (std::size_t i = 0; i < fit; ++i) items_.push_back(coming[i]);
  }

  /// `second`: what the callback says to the second item.
  void pop(std::size_t n, Status second) {
    std::vector<Bytes> got;
    std::size_t done = 0;
    std::size_t asked = 0;
    const Status status = queue_->pop(
        n,
        [&](std::span<const std::byte> bytes) {
          if (++asked == 2 && second != Status::ok) return second;
          got.emplace_back(bytes.begin(), bytes.end());
          return Status::ok;
        },
        done, Deadline::never());
    const std::size_t most = second == Status::ok ? n : 1;
    const std::size_t expected = std::min(most, items_.size());
    RC_ASSERT(done == expected);
    RC_ASSERT(status == (expected != 0 ? Status::ok : Status::empty));
    RC_ASSERT(got.size() == expected);
    for (const Bytes& bytes : got) {
      RC_ASSERT(bytes == items_.front());
      items_.pop_front();
    }
  }

  void pop_that_throws() {
    std::size_t done = 0;
    try {
      RC_ASSERT(queue_->pop(
                    1, [](std::span<const std::byte>) -> Status { throw std::domain_error(""); },
                    done, Deadline::never()) == Status::empty);
      RC_ASSERT(items_.empty());
    } catch (const std::domain_error&) {
      RC_ASSERT(!items_.empty());
    }
    RC_ASSERT(done == 0U);
  }

  internal::RecordPlan plan_;
  Segment segment_;
  internal::GrowingMemory growth_;
  std::array<RecordQueue, 2> handles_;
  RecordQueue* queue_ = nullptr;
  std::deque<Bytes> items_;
  std::uint64_t number_ = 0;
  mutable std::uint64_t bytes_ = 0;
};

RC_GTEST_PROP(RecordQueueProperty, BehavesAsADequeOfRecords, ()) {
  const auto bytes = *rc::gen::element<std::uint64_t>(64, 100, 256, 1000, 4096);
  Model model({.max_items = *rc::gen::element<std::uint64_t>(1, 3, 7, 1000),
               .max_bytes = bytes,
               .first_window = *rc::gen::element<std::uint64_t>(1, 64, 128, 1024, bytes)});
  const auto longest = *rc::gen::element<std::size_t>(9, 60, bytes + 2);
  const auto steps = *rc::gen::container<std::vector<std::tuple<int, std::size_t, std::size_t>>>(
      rc::gen::tuple(rc::gen::inRange(0, kSteps), rc::gen::inRange<std::size_t>(0, 2),
                     rc::gen::inRange<std::size_t>(0, longest)));
  for (const auto& [step, handle, size] : steps) {
    model.run(static_cast<Step>(step), handle, size);
    model.check();
  }
  model.run(Step::drain, 0, 0);
  model.check();
}

}  // namespace
}  // namespace sluice::tests
