// SPDX-License-Identifier: Apache-2.0
//
// Any sequence of calls on an item store, through two handles, behaves as a std::map from places to
// byte strings, with leases and dead letters beside it, in stores of several sizes, some of which
// grow. And a PriorityQueue as a vector that is sorted after each push.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/leased_items.h"
#include "sluice/ipc/priority_queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

using internal::ItemEnd;
using internal::Lease;
using internal::LeasedItems;
using internal::RealLockEnv;
using Bytes = std::vector<std::byte>;

enum class Step {
  push_back,
  push_front,
  push_three,
  push_that_throws,
  pop_front,
  pop_back,
  pop_three,
  pop_that_throws,
  lease,
  finish,
  fail,
  give_back,
  pop_dead_letter,
  rotate,
  rotate_back,
  drain,
  fill,
};
/// More than once where it takes many to get somewhere.
constexpr std::array kSteps = {
    Step::push_back,  Step::push_front,
    Step::push_three, Step::push_three,
    Step::pop_front,  Step::push_that_throws,
    Step::pop_back,   Step::pop_three,
    Step::lease,      Step::pop_that_throws,
    Step::lease,      Step::lease,
    Step::finish,     Step::fail,
    Step::fail,       Step::fail,
    Step::give_back,  Step::pop_dead_letter,
    Step::rotate,     Step::rotate_back,
    Step::drain,      Step::fill,
};

struct Entry {
  Bytes bytes;
  std::uint32_t attempts = 0;
};
using Row = std::map<std::int64_t, Entry>;

class Model {
 public:
  explicit Model(const internal::ItemPlan& plan)
      : plan_(plan),
        segment_(Segment::create_anonymous(
            {.name = "test", .version = 1, .fingerprint = 1}, internal::item_store_bytes(plan),
            SegmentOptions{},
            [&](std::span<std::byte> bytes) { internal::format_items<RealLockEnv>(bytes, plan); })),
        growth_(segment_, internal::kItemUnitsOffset, "a store"),
        first_(segment_.object(), growth(), false),
        second_(segment_.object(), growth(), false) {}

  void run(Step step, bool first, std::size_t size) {
    store_ = first ? &first_ : &second_;
    switch (step) {
      case Step::push_back:
        return push(ItemEnd::back, 1, size, false);
      case Step::push_front:
        return push(ItemEnd::front, 1, size, false);
      case Step::push_three:
        return push(ItemEnd::back, 3, size, false);
      case Step::push_that_throws:
        return push(ItemEnd::front, 2, size, true);
      case Step::pop_front:
        return pop(ItemEnd::front, 1);
      case Step::pop_back:
        return pop(ItemEnd::back, 1);
      case Step::pop_three:
        return pop(ItemEnd::front, 3);
      case Step::pop_that_throws:
        return pop_that_throws();
      case Step::lease:
        return lease();
      case Step::finish:
      case Step::fail:
      case Step::give_back:
        return end_lease(step, size);
      case Step::pop_dead_letter:
        return pop_dead_letter();
      case Step::rotate:
        return rotate(ItemEnd::back, size);
      case Step::rotate_back:
        return rotate(ItemEnd::front, size);
      case Step::drain:
        return drain();
      case Step::fill:
        for (std::size_t before = queued_.size() + 1; before != queued_.size();) {
          before = queued_.size();
          push(ItemEnd::back, 1, size, false);
        }
        return;
    }
  }

  void check() const {
    for (const LeasedItems* store : {&first_, &second_}) {
      RC_ASSERT(store->size() == queued_.size());
      RC_ASSERT(store->leases() == leased_.size());
      RC_ASSERT(store->dead_letters() == dead_.size());
      RC_ASSERT(store->unfinished() == queued_.size() + leased_.size());
      RC_ASSERT(store->bytes() == used() * internal::kUnitBytes);
    }
  }

 private:
  internal::GrowingMemory* growth() {
    return internal::items_grow<RealLockEnv>(segment_.object()) ? &growth_ : nullptr;
  }

  [[nodiscard]] std::uint64_t used() const {
    std::uint64_t units = 0;
    for (const Row* row : {&queued_, &leased_, &dead_}) {
      for (const auto& [place, entry] : *row) units += internal::units_for(entry.bytes.size());
    }
    return units;
  }

  /// Different in length and content from its neighbours.
  [[nodiscard]] Bytes payload(std::size_t size, std::size_t i) const {
    Bytes bytes((size + 11 * i) % (48 * plan_.units + 60), std::byte{1});
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
      bytes[at] = static_cast<std::byte>(number_ + i + at);
    }
    return bytes;
  }

  [[nodiscard]] Status expected(const Bytes& next) const {
    const std::uint64_t need = internal::units_for(next.size());
    if (need > plan_.units) return Status::too_large;
    if (queued_.size() >= plan_.max_items || used() + need > plan_.units) return Status::full;
    return Status::ok;
  }

  std::int64_t next_place(ItemEnd end) { return end == ItemEnd::back ? ++back_ : --front_; }

  void push(ItemEnd end, std::size_t n, std::size_t size, bool throws_at_the_last) {
    std::vector<Bytes> coming;
    for (std::size_t i = 0; i < n; ++i) coming.push_back(payload(size, i));
    number_ += n;
    Status stop = Status::ok;
    std::size_t fit = 0;
    for (; fit < n && (stop = expected(coming[fit])) == Status::ok; ++fit) {
      if (throws_at_the_last && fit + 1 == n) break;
      queued_[next_place(end)] = {coming[fit]};
    }
    const bool throws = throws_at_the_last && fit + 1 == n && stop == Status::ok;
    std::size_t done = 0;
    try {
      const Status status = store_->push(
          store_->end(end), n, [&](std::size_t i) { return coming[i].size(); },
          [&](std::size_t i, std::span<std::byte> room) {
            if (throws && i + 1 == n) throw std::domain_error("");
            std::ranges::copy(coming[i], room.begin());
          },
          done, Deadline::never());
      RC_ASSERT(!throws);
      RC_ASSERT(status == (fit != 0 ? Status::ok : stop));
    } catch (const std::domain_error&) {
      RC_ASSERT(throws);
    }
    RC_ASSERT(done == fit);
  }

  [[nodiscard]] Row::iterator at(ItemEnd end) {
    return end == ItemEnd::front ? queued_.begin() : std::prev(queued_.end());
  }

  void pop(ItemEnd end, std::size_t n) {
    std::vector<Bytes> got;
    std::size_t done = 0;
    const auto read = [&](std::span<const std::byte> bytes) {
      got.emplace_back(bytes.begin(), bytes.end());
      return Status::ok;
    };
    const Status status = store_->pop(store_->end(end), n, read, done, Deadline::never());
    RC_ASSERT(done == std::min(n, queued_.size()));
    RC_ASSERT(status == (done != 0 ? Status::ok : Status::empty));
    RC_ASSERT(got.size() == done);
    for (const Bytes& bytes : got) {
      RC_ASSERT(bytes == at(end)->second.bytes);
      queued_.erase(at(end));
    }
  }

  void pop_that_throws() {
    std::size_t done = 0;
    const auto read = [](std::span<const std::byte>) -> Status { throw std::domain_error(""); };
    try {
      const Status status =
          store_->pop(store_->end(ItemEnd::back), 1, read, done, Deadline::never());
      RC_ASSERT(status == Status::empty && queued_.empty());
    } catch (const std::domain_error&) {
      RC_ASSERT(!queued_.empty());
    }
    RC_ASSERT(done == 0U);
  }

  void lease() {
    Lease lease;
    const Status status = store_->lease(lease, Deadline::never());
    RC_ASSERT(status == (queued_.empty() ? Status::empty : Status::ok));
    if (status != Status::ok) return;
    auto taken = queued_.extract(queued_.begin());
    RC_ASSERT(lease.attempt == taken.mapped().attempts + 1);
    leases_.emplace_back(lease, taken.key());
    leased_.insert(std::move(taken));
    RC_ASSERT(bytes_of(lease) == leased_.at(leases_.back().second).bytes);
  }
  [[nodiscard]] Bytes bytes_of(const Lease& lease) const {
    Bytes bytes;
    const auto read = [&](std::span<const std::byte> all) {
      bytes.assign(all.begin(), all.end());
      return Status::ok;
    };
    RC_ASSERT(store_->read(lease, read) == Status::ok);
    return bytes;
  }

  void end_lease(Step step, std::size_t which) {
    if (leases_.empty()) return;
    const auto it = leases_.begin() + static_cast<std::ptrdiff_t>(which % leases_.size());
    const auto [lease, place] = *it;
    leases_.erase(it);
    auto ended = leased_.extract(place);
    if (step == Step::finish) {
      RC_ASSERT(store_->finish(lease) == Status::ok);
    } else {
      RC_ASSERT(store_->fail(lease, step == Step::fail) == Status::ok);
      if (step == Step::fail) ++ended.mapped().attempts;
      const bool dies = step == Step::fail && ended.mapped().attempts >= plan_.max_attempts;
      (dies ? dead_ : queued_).insert(std::move(ended));
    }
    RC_ASSERT(store_->finish(lease) == Status::stale);
  }

  void pop_dead_letter() {
    Entry got;
    const auto read = [&](std::span<const std::byte> bytes, std::uint32_t attempts) {
      got = {Bytes(bytes.begin(), bytes.end()), attempts};
      return Status::ok;
    };
    const Status status = store_->pop_dead_letter(read, Deadline::never());
    RC_ASSERT(status == (dead_.empty() ? Status::empty : Status::ok));
    if (status != Status::ok) return;
    RC_ASSERT(got.bytes == dead_.begin()->second.bytes);
    RC_ASSERT(got.attempts == plan_.max_attempts);
    dead_.erase(dead_.begin());
  }

  void rotate(ItemEnd from, std::size_t n) {
    RC_ASSERT(store_->rotate(from, n, Deadline::never()) == Status::ok);
    const ItemEnd to = from == ItemEnd::back ? ItemEnd::front : ItemEnd::back;
    for (n %= std::max<std::size_t>(1, queued_.size()); n != 0; --n) {
      auto moved = queued_.extract(at(from));
      moved.key() = next_place(to);
      queued_.insert(std::move(moved));
    }
  }

  void drain() {
    while (!leases_.empty()) end_lease(Step::finish, 0);
    while (!dead_.empty()) pop_dead_letter();
    while (!queued_.empty()) pop(ItemEnd::front, 3);
    pop(ItemEnd::back, 1);
  }

  internal::ItemPlan plan_;
  Segment segment_;
  internal::GrowingMemory growth_;
  LeasedItems first_, second_;
  LeasedItems* store_ = nullptr;
  Row queued_, leased_, dead_;
  std::vector<std::pair<Lease, std::int64_t>> leases_;
  std::int64_t front_ = 0;
  std::int64_t back_ = -1;
  std::uint64_t number_ = 0;
};

RC_GTEST_PROP(ItemStoreProperty, BehavesAsARowOfItems, ()) {
  const auto units = *rc::gen::element<std::uint64_t>(1, 3, 10, 100, 5000);
  Model model({.max_items = *rc::gen::element<std::uint64_t>(1, 3, 7, 10000),
               .units = units,
               .first_units = *rc::gen::element<std::uint64_t>(1, 2, units),
               .max_attempts = *rc::gen::element<std::uint32_t>(1, 2)});
  const auto longest = *rc::gen::element<std::size_t>(9, 25, 200, 48 * units + 60);
  const auto steps = *rc::gen::container<std::vector<std::tuple<std::size_t, bool, std::size_t>>>(
      rc::gen::tuple(rc::gen::inRange<std::size_t>(0, kSteps.size()), rc::gen::arbitrary<bool>(),
                     rc::gen::inRange<std::size_t>(0, longest)));
  for (const auto& [step, first, size] : steps) {
    model.run(kSteps.at(step), first, size);
    model.check();
  }
  model.run(Step::drain, true, 0);
  model.check();
}

// -------------------------------------------------------------------------------------------------
// The heap

using Ranked = std::pair<int, int>;

struct ByRank {
  static constexpr std::string_view kTypeName = "test.ByRank";
  bool operator()(const Ranked& a, const Ranked& b) const { return a.first < b.first; }
};

RC_GTEST_PROP(ItemStoreProperty, APriorityQueueBehavesAsASortedVector, ()) {
  const auto capacity = *rc::gen::inRange<std::size_t>(1, 40);
  PriorityQueue<Ranked, ByRank> queue((Capacity(capacity)));
  std::vector<Ranked> model;
  int number = 0;
  for (const int rank : *rc::gen::container<std::vector<int>>(rc::gen::inRange(-6, 6))) {
    if (rank >= 0) {  // pushed, with that rank
      const Ranked item = {rank, number++};
      const bool fits = model.size() < capacity;
      RC_ASSERT(queue.try_push(item) == (fits ? Status::ok : Status::full));
      if (fits) model.push_back(item);
      std::ranges::stable_sort(model, ByRank());
    } else {  // popped, as many
      std::vector<Ranked> got;
      const std::size_t n = std::min(model.size(), static_cast<std::size_t>(-rank));
      RC_ASSERT(queue.try_pop_each(got, static_cast<std::size_t>(-rank)).count == n);
      RC_ASSERT(got ==
                std::vector<Ranked>(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(n)));
      model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(n));
    }
    RC_ASSERT(queue.size() == model.size());
  }
}

}  // namespace
}  // namespace sluice::tests
