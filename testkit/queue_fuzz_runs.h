// SPDX-License-Identifier: Apache-2.0
//
// What testkit/queue_fuzz.h does with one input: a program of calls held to the model, and calls
// between which the shared bytes are scribbled over. Internal.
//
//   const std::string wrong = FuzzedCalls<MyAdapter<CheckedItem>>(capacity).run(steps);
//
// Units, errors, threads, processes, cost: as there. If a process dies here: its input is at fault,
// and who started it says so (testkit/watched_run.h).

#ifndef SLUICE_TESTKIT_QUEUE_FUZZ_RUNS_H_
#define SLUICE_TESTKIT_QUEUE_FUZZ_RUNS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/fuzz_input.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/shared_queue.h"

namespace sluice::internal {

/// A queue for one input, made whichever way there is.
template <class A>
class FuzzedQueue {
 public:
  explicit FuzzedQueue(std::size_t capacity) : queue_(capacity) {}
  A& operator*() { return queue_; }

 private:
  A queue_;
};

template <class A>
  requires(!testkit::LocalAdapter<A>)
class FuzzedQueue<A> {
 public:
  explicit FuzzedQueue(std::size_t capacity) : place_(capacity), mine_(place_.attach()) {}
  A& operator*() { return mine_; }

 private:
  testkit::SharedQueue<A> place_;
  A& mine_;
};

/// A program of calls, and the model beside it.
template <testkit::QueueAdapter A>
class FuzzedCalls {
  using T = typename A::value_type;
  using Call = testkit::QueueCall;
  using Kind = Call::Kind;
  using Party = decltype(testkit::party_of(std::declval<A&>()));

 public:
  explicit FuzzedCalls(std::size_t capacity)
      : queue_(capacity),
        parties_{testkit::party_of(*queue_), testkit::party_of(*queue_)},
        model_(A::kTraits, testkit::capacity_of(*queue_, capacity)) {}

  std::string run(const std::vector<FuzzStep>& steps) {
    for (const FuzzStep& step : steps) {
      if (!take(step)) return text_of_mismatch(calls_, model_);
    }
    while (model_.size() > 0) {
      if (!pop()) return text_of_mismatch(calls_, model_);
    }
    return pop() ? "" : text_of_mismatch(calls_, model_);
  }

 private:
  /// Two, where the queue has them: else it is the same one. A party of its own may be all that may
  /// push.
  static constexpr bool kHasTwo =
      !std::is_reference_v<Party> && A::kTraits.producers > 1 && A::kTraits.consumers > 1;
  struct Parties {
    Party first;
    Party second;
  };

  bool take(const FuzzStep& step) {
    switch (step.call) {
      case FuzzCall::push:
      case FuzzCall::push_again:
        return push();
      case FuzzCall::push_waiting:
        return push_waiting();
      case FuzzCall::pop:
      case FuzzCall::pop_again:
        return pop();
      case FuzzCall::pop_waiting:
        return pop_waiting();
      case FuzzCall::push_batch:
        return push_batch(step.count);
      case FuzzCall::pop_batch:
        return pop_batch(step.count);
      case FuzzCall::size:
        return size();
      case FuzzCall::other_party:
        who_ = kHasTwo ? 1 - who_ : 0;
        return true;
      case FuzzCall::close:
        break;
    }
    return close();
  }

  bool follow(const Call& call) {
    calls_.push_back(call);
    return model_.step(call);
  }
  auto& mine() { return who_ == 0 ? parties_.first : parties_.second; }
  std::uint64_t next() { return testkit::item(who_, ++numbers_[who_]); }

  bool push() {
    const std::uint64_t number = next();
    return follow({Kind::push, number, mine().try_push(testkit::make_item<T>(number))});
  }
  bool pop() {
    T item{};
    const bool ok = mine().try_pop(item);
    return follow_pop(item, ok);
  }
  bool follow_pop(const T& item, bool ok) {
    return follow({Kind::pop, ok ? testkit::number_in(item) : 0, ok}) &&
           (!ok || testkit::is_whole(item));
  }
  bool push_waiting() {
    if constexpr (testkit::BlockingAdapter<A>) {
      if (!model_.is_full() || model_.is_closed()) {
        const std::uint64_t number = next();
        return follow({Kind::push, number, mine().push(testkit::make_item<T>(number))});
      }
    }
    return push();
  }
  bool pop_waiting() {
    if constexpr (testkit::BlockingAdapter<A>) {
      if (model_.size() > 0 || model_.is_closed()) {
        T item{};
        const bool ok = mine().pop(item);
        return follow_pop(item, ok);
      }
    }
    return pop();
  }
  bool push_batch(std::size_t count) {
    if constexpr (testkit::BatchAdapter<A>) {
      std::vector<T> items;
      for (std::size_t i = 0; i < count; ++i) items.push_back(testkit::make_item<T>(next()));
      const std::size_t pushed = mine().try_push_n(std::span<const T>(items));
      const bool fits = !model_.is_closed() && model_.capacity() - model_.size() >= count;
      // In vain: as one that is refused; that may not be if it fits.
      if (pushed == 0 && fits) return follow({Kind::push, testkit::number_in(items[0]), false});
      bool good = pushed <= count;
      for (std::size_t i = 0; good && i < pushed; ++i) {
        good = follow({Kind::push, testkit::number_in(items[i]), true});
      }
      return good;
    } else {
      return push();
    }
  }
  bool pop_batch(std::size_t count) {
    if constexpr (testkit::BatchAdapter<A>) {
      std::vector<T> items(count);
      const std::size_t popped = mine().try_pop_n(std::span<T>(items));
      if (popped == 0 && model_.size() >= count) return follow({Kind::pop, 0, false});
      bool good = popped <= count;
      for (std::size_t i = 0; good && i < popped; ++i) {
        good = follow({Kind::pop, testkit::number_in(items[i]), true});
      }
      return good;
    } else {
      return pop();
    }
  }
  bool size() {
    if constexpr (testkit::SizedAdapter<A>) {
      return follow({Kind::size, (*queue_).size(), true});
    } else {
      return pop();
    }
  }
  bool close() {
    if constexpr (testkit::ClosableAdapter<A>) {
      (*queue_).close();
      return follow({Kind::close, 0, true});
    } else {
      return push();
    }
  }

  FuzzedQueue<A> queue_;
  Parties parties_;  // before them the queue, which outlives them
  testkit::QueueModel model_;
  std::uint32_t who_ = 0;
  std::array<std::uint32_t, 2> numbers_ = {};
  std::vector<Call> calls_;
};

/// Calls, and what a peer without rules writes between them.
template <testkit::ProcessAdapter A>
class FuzzedMemory {
  using T = typename A::value_type;

 public:
  explicit FuzzedMemory(std::size_t capacity) : queue_(capacity) { attach(); }

  std::string run(const std::vector<FuzzScribble>& steps) {
    for (const FuzzScribble& step : steps) {
      try {
        take(step);
      } catch (const std::exception&) {
        continue;  // what it says of the bytes
      }
      if (!wrong_.empty()) return wrong_;
    }
    mine_ = nullptr;
    return queue_.margin_is_whole() ? "" : "somebody wrote behind the queue's bytes";
  }

 private:
  void take(const FuzzScribble& step) {
    if (step.action == FuzzAction::scribble) return scribble(queue_.bytes(), step);
    if (step.action == FuzzAction::attach) return attach();
    if (mine_ == nullptr) return;
    auto&& mine = testkit::party_of(*mine_);
    const std::size_t count = step.what % kMostInFuzzBatch + 1;
    T item = testkit::make_item<T>(step.value);
    switch (step.action) {
      case FuzzAction::push:
        static_cast<void>(mine.try_push(item));
        return;
      case FuzzAction::pop:
        static_cast<void>(mine.try_pop(item));
        return;
      case FuzzAction::push_batch:
        if constexpr (testkit::BatchAdapter<A>) {
          expect_at_most(count, mine.try_push_n(std::span<const T>(std::vector<T>(count, item))));
        }
        return;
      case FuzzAction::pop_batch:
        if constexpr (testkit::BatchAdapter<A>) {
          std::vector<T> items(count);
          expect_at_most(count, mine.try_pop_n(std::span<T>(items)));
        }
        return;
      default:
        if constexpr (testkit::SizedAdapter<A>) static_cast<void>(mine_->size());
    }
  }

  void attach() {
    mine_ = nullptr;
    mine_ = &queue_.attach();
  }
  void expect_at_most(std::size_t count, std::size_t said) {
    if (said <= count) return;
    wrong_ = "a batch of " + std::to_string(count) + " items said " + std::to_string(said);
  }

  testkit::SharedQueue<A> queue_;
  A* mine_ = nullptr;
  std::string wrong_;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_QUEUE_FUZZ_RUNS_H_
