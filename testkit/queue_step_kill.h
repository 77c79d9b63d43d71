// SPDX-License-Identifier: Apache-2.0
//
// QueueStepKill<A>: the calls of a queue under step_kill, and the survivor that judges what is
// left. Internal to testkit/queue_crash.h, which says what it demands.
//
// Errors: texts; std::system_error if the machine gives no process or memory. Threads and
// processes: used by one thread, which forks. If a process dies here: that is the point. Cost:
// testkit/crash.h.

#ifndef SLUICE_TESTKIT_QUEUE_STEP_KILL_H_
#define SLUICE_TESTKIT_QUEUE_STEP_KILL_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/child.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_crash_options.h"
#include "sluice/testkit/queue_deeds.h"
#include "sluice/testkit/queue_hand.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/testkit/shared_queue.h"

namespace sluice::internal {

/// What the processes of a kill point say.
struct StepKillBoard {
  QueueDeeds victim, other;
  std::atomic<std::uint64_t> capacity = 0, filled = 0;
  Answer filler, helper;
};

template <testkit::ProcessAdapter A>
class QueueStepKill {
  using T = typename A::value_type;
  using Hand = QueueHand<A>;

 public:
  explicit QueueStepKill(const testkit::QueueCrashOptions& options)
      : options_(options), queue_(options.capacity), scratch_(options.capacity) {}

  /// The first thing that is wrong, or nothing.
  std::string run() {
    for (const Case& what : cases()) {
      const std::string wrong = check(what);
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

 private:
  enum class Call : std::uint8_t { push, pop, push_batch, pop_batch };
  enum class Fill : std::uint8_t { empty, half, full };
  struct Case {
    std::string name;
    Call call;
    Fill fill;
  };

  [[nodiscard]] std::vector<Case> cases() const {
    std::vector<Case> all = {{"push, half full", Call::push, Fill::half},
                             {"pop, half full", Call::pop, Fill::half}};
    if (is_full()) {
      all.push_back({"push, empty", Call::push, Fill::empty});
      all.push_back({"push, full", Call::push, Fill::full});
      all.push_back({"pop, empty", Call::pop, Fill::empty});
      all.push_back({"pop, full", Call::pop, Fill::full});
    }
    if constexpr (testkit::BatchAdapter<A>) {
      all.push_back({"push of a batch, empty", Call::push_batch, Fill::empty});
      all.push_back({"pop of a batch, full", Call::pop_batch, Fill::full});
    }
    return all;
  }

  [[nodiscard]] bool is_full() const { return options_.profile == testkit::CrashProfile::full; }

  std::string check(const Case& what) {
    const std::string wrong = fill(what.fill);
    if (!wrong.empty()) return what.name + ": " + wrong;
    const testkit::CrashOperation operation = operation_of(what);
    testkit::CrashOptions options = options_.step_kill;
    options.seed = options_.seed;
    options.second_deaths = is_full() ? options_.second_deaths : 0;
    for (const testkit::CrashMode mode : modes_of(operation)) {
      options.mode = mode;
      const testkit::CrashResult result = step_kill(operation, options);
      if (options_.log != nullptr) *options_.log << "[    KILLS ] " << result << '\n' << std::flush;
      if (result.intact()) continue;
      std::ostringstream text;
      if (result.broken == 0) text << testkit::kNoVerdict;
      text << result;
      return text.str();
    }
    return "";
  }

  testkit::CrashOperation operation_of(const Case& what) {
    testkit::CrashOperation op{.name = what.name};
    const Call call = what.call;
    const bool is_push = call == Call::push || call == Call::push_batch;
    op.shared = {queue_.bytes(), board_.bytes()};
    op.setup = [this] {
      queue_.restore(start_image_);
      board_.reset();
    };
    op.prepare = [this] { attach(board_->victim, QueueParty::victim); };
    op.operation = [this, call] { act(call); };
    op.survivor = [this, call](bool completed) { return survive(call, completed); };
    if (!is_full() && (call == Call::push_batch || call == Call::pop_batch)) return op;
    // Where but one may push, or pop, the frozen victim is the one.
    const testkit::QueueTraits traits = A::kTraits;
    const bool may_push = !is_push || traits.producers > 1;
    const bool may_pop = is_push || traits.consumers > 1;
    op.interfere = [this, may_push, may_pop] { interfere(may_push, may_pop); };
    op.prepare_recovery = [this] { attach(board_->other, QueueParty::other); };
    op.recover = [this] { push_and_pop(true, true); };
    return op;
  }

  // -----------------------------------------------------------------------------------------------
  // In processes that die

  /// As a process that has long been at work: on another queue, which is left as it was.
  void attach(QueueDeeds& deeds, QueueParty who) {
    A& scratch = scratch_.attach();
    QueueDeeds nobody;
    Hand warm(scratch, nobody, QueueParty::refill);
    warm.push();
    warm.pop();
    if constexpr (testkit::BatchAdapter<A>) {
      warm.push_batch();
      warm.pop_batch();
    }
    hand_.emplace(queue_.attach(), deeds, who);
  }

  void act(Call call) {
    switch (call) {
      case Call::push:
        hand_->push();
        return;
      case Call::pop:
        hand_->pop();
        return;
      case Call::push_batch:
        if constexpr (testkit::BatchAdapter<A>) hand_->push_batch();
        return;
      case Call::pop_batch:
        if constexpr (testkit::BatchAdapter<A>) hand_->pop_batch();
        return;
    }
  }

  void push_and_pop(bool may_push, bool may_pop) {
    for (unsigned i = 0; may_push && i < options_.recovery_tries && !hand_->push(); ++i) {
    }
    for (unsigned i = 0; may_pop && i < options_.recovery_tries && !hand_->pop(); ++i) {
    }
  }

  /// Beside the frozen victim. Who waits for it for ever, for a lock say, is killed, too.
  void interfere(bool may_push, bool may_pop) {
    Child helper([&] {
      const auto body = [&]() -> std::string {
        hand_.emplace(queue_.attach(), board_->other, QueueParty::other);
        push_and_pop(may_push, may_pop);
        return "";
      };
      give_answer("the interfering process", body, board_->helper);
    });
    if (!helper.wait_for_end(options_.interference_limit)) return;
    const std::string wrong =
        take_answer("the interfering process", helper, options_.interference_limit, board_->helper);
    if (!wrong.empty()) throw std::runtime_error(wrong);
  }

  // -----------------------------------------------------------------------------------------------
  // Before the victims

  /// Puts the start into start_image_, and what is in it into start_.
  std::string fill(Fill fill) {
    queue_.reset();
    board_.reset();
    const std::string wrong = ask(
        "the process that fills the queue", [&] { return fill_in_child(fill); }, kFillLimit,
        board_->filler);
    start_image_ = queue_.image();
    capacity_ = board_->capacity;
    start_.clear();
    for (std::uint32_t n = 1; n <= board_->filled; ++n) start_.push_back(start_item(n));
    return wrong;
  }

  std::string fill_in_child(Fill fill) {
    A& queue = queue_.attach();
    auto&& mine = testkit::party_of(queue);
    const std::size_t capacity = testkit::capacity_of(queue, options_.capacity);
    board_->capacity = capacity;
    // Once round, so that each place holds an old item.
    for (std::uint32_t n = 0; n <= capacity; ++n) {
      T item{};
      const bool ok = mine.try_push(testkit::make_item<T>(refill_item(n))) && mine.try_pop(item);
      if (!ok) return "can't push and pop before anybody has died";
    }
    const std::size_t count = count_of(fill, capacity);
    for (std::uint32_t n = 1; n <= count; ++n) {
      if (!mine.try_push(testkit::make_item<T>(start_item(n)))) return "full too early";
    }
    board_->filled = count;
    return "";
  }

  static std::size_t count_of(Fill fill, std::size_t capacity) {
    if (fill == Fill::empty) return 0;
    return fill == Fill::half ? capacity / 2 : capacity;
  }
  static std::uint64_t start_item(std::uint32_t n) {
    return testkit::item(static_cast<std::uint32_t>(QueueParty::start), n);
  }
  static std::uint64_t refill_item(std::uint32_t n) {
    return testkit::item(static_cast<std::uint32_t>(QueueParty::refill), n);
  }

  // -----------------------------------------------------------------------------------------------
  // After them

  std::string survive(Call call, bool completed) {
    A& queue = queue_.attach();
    auto&& mine = testkit::party_of(queue);
    QueueEvidence evidence{.traits = A::kTraits,
                           .start = start_,
                           .victim = board_->victim,
                           .other = board_->other,
                           .own = 0,
                           .found = {}};
    std::string wrong = completed ? of_the_completed(call) : "";
    if (!wrong.empty()) return wrong;
    const bool must = !may_be_full(evidence, capacity_);
    const T own =
        testkit::make_item<T>(testkit::item(static_cast<std::uint32_t>(QueueParty::survivor), 1));
    if (push_patiently(mine, own, must)) {
      evidence.own = 1;
    } else if (must) {
      return "the survivor can't push, though there is room";
    }
    wrong = drain(mine, evidence);
    if (wrong.empty()) wrong = fill_and_empty(mine);
    if (wrong.empty() && !queue_.margin_is_whole())
      wrong = "somebody wrote behind the queue's bytes";
    return wrong;
  }

  /// A call that had returned before its process died must have done what there was to do.
  [[nodiscard]] std::string of_the_completed(Call call) const {
    const bool is_push = call == Call::push || call == Call::push_batch;
    const bool had_room = !A::kTraits.bounded || start_.size() < capacity_;
    if (is_push && had_room && board_->victim.pushed == 0)
      return "a push into a queue with room was refused";
    if (!is_push && !start_.empty() && board_->victim.popped == 0)
      return "a pop of a queue with items got none";
    return "";
  }

  template <class Party>
  bool push_patiently(Party& mine, const T& item, bool must) const {
    InVain vain(options_.patience);
    do {
      if (mine.try_push(item)) return true;
    } while (vain.again([&] { return must; }));
    return false;
  }

  /// All that comes out, which must be as judge() has it.
  template <class Party>
  std::string drain(Party& mine, QueueEvidence& evidence) const {
    InVain vain(options_.patience);
    do {
      for (T item{}; mine.try_pop(item);) {
        if (!testkit::is_whole(item)) return "a torn item comes out";
        evidence.found.push_back(testkit::number_in(item));
        if (evidence.found.size() > 2 * (capacity_ + QueueDeeds::kMost)) {
          return "more items come out than fit: " + text_of(evidence.found);
        }
      }
    } while (vain.again([&] { return !judge(evidence).empty(); }));
    return judge(evidence);
  }

  /// The whole capacity is there, and no more: twice running, after some rounds at most, since what
  /// a dead one had claimed may be given back by who comes by.
  template <class Party>
  std::string fill_and_empty(Party& mine) const {
    constexpr int kRounds = 5;
    std::size_t room = 0;
    int good = 0;
    std::uint32_t next = 1;
    for (int round = 0; round < kRounds && good < 2; ++round) {
      testkit::QueueModel model({.order = A::kTraits.order, .bounded = false}, 0);
      room = 0;
      while (room <= capacity_ && (A::kTraits.bounded || room < capacity_)) {
        const std::uint64_t number = refill_item(next++);
        if (!push_patiently(mine, testkit::make_item<T>(number), false)) break;
        model.step({testkit::QueueCall::Kind::push, number, true});
        ++room;
      }
      if (room > capacity_) return "holds more than its capacity of " + std::to_string(capacity_);
      const std::string wrong = empty_as(model, mine);
      if (!wrong.empty()) return wrong;
      good = room + options_.room_lost_by_a_death * 2 >= capacity_ ? good + 1 : 0;
    }
    if (good >= 2) return "";
    return "room for " + std::to_string(room) + " items only, of " + std::to_string(capacity_);
  }

  template <class Party>
  std::string empty_as(testkit::QueueModel& model, Party& mine) const {
    InVain vain(options_.patience);
    do {
      for (T item{}; mine.try_pop(item);) {
        const std::uint64_t number = testkit::number_in(item);
        if (!testkit::is_whole(item)) return "the survivors' own item comes out torn";
        if (model.step({testkit::QueueCall::Kind::pop, number, true})) continue;
        return "of the survivors' own items comes out " + text_of(std::array{number}) +
               ", which is not next";
      }
    } while (vain.again([&] { return model.size() > 0; }));
    return model.size() == 0 ? "" : "the survivors' own items don't all come out";
  }

  static constexpr std::chrono::milliseconds kFillLimit{5000};

  const testkit::QueueCrashOptions options_;
  testkit::SharedQueue<A> queue_, scratch_;
  testkit::SharedArea<StepKillBoard> board_;
  typename testkit::SharedQueue<A>::Image start_image_;
  QueueNumbers start_;
  std::size_t capacity_ = 0;
  std::optional<Hand> hand_;  // of a process that is to die
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_QUEUE_STEP_KILL_H_
