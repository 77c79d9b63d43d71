// SPDX-License-Identifier: Apache-2.0
//
// QueueKillStress<A>: producers and consumers under kill_stress, and what becomes of their items.
// Internal to testkit/queue_crash.h, which says what it demands.
//
// Errors: texts; std::system_error if the machine gives no process or memory. Threads and
// processes: used by one thread, which forks. If a process dies here: that is the point. Cost:
// testkit/kill_stress.h.

#ifndef SLUICE_TESTKIT_QUEUE_KILL_STRESS_H_
#define SLUICE_TESTKIT_QUEUE_KILL_STRESS_H_

#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/item_ledger.h"
#include "sluice/testkit/kill_stress.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_crash_options.h"
#include "sluice/testkit/shared_queue.h"

namespace sluice::internal {

template <testkit::ProcessAdapter A>
class QueueKillStress {
  using T = typename A::value_type;
  using Order = testkit::QueueOrder;

 public:
  explicit QueueKillStress(const testkit::QueueCrashOptions& options)
      : options_(options), queue_(kCapacity), ledger_(kProducers, kConsumers) {}

  std::string run() {
    const std::string wrong = run(Who::producers);
    return wrong.empty() ? run(Who::all) : wrong;
  }

 private:
  /// Who is killed. A consumer that dies may take an item with it, and its death excuses one that
  /// is missing; where none dies, nothing is excused.
  enum class Who : std::uint8_t { producers, all };

  std::string run(Who dies) {
    testkit::KillStress stress{.name = dies == Who::all ? "producers and consumers are killed"
                                                        : "producers are killed"};
    stress.workers = static_cast<unsigned>(kProducers + kConsumers);
    stress.spared = dies == Who::all ? 0 : static_cast<unsigned>(kConsumers);
    stress.setup = [this] {
      queue_.reset();
      ledger_.reset();
    };
    stress.work = [this](unsigned worker) {
      worker < kProducers ? push_for_ever(worker) : pop_for_ever(worker - kProducers);
    };
    stress.progress = [this](unsigned worker) {
      return worker < kProducers ? ledger_.pushed_by(worker)
                                 : ledger_.popped_by(worker - kProducers);
    };
    stress.verdict = [this] { return verdict(); };
    const testkit::KillStressResult result = kill_stress(stress, stress_options());
    if (options_.log != nullptr) *options_.log << "[   STRESS ] " << result << '\n' << std::flush;
    if (result.intact()) return "";
    std::ostringstream text;
    text << result;
    return text.str();
  }

  [[nodiscard]] testkit::KillStressOptions stress_options() const {
    const bool quick = options_.profile == testkit::CrashProfile::quick;
    testkit::KillStressOptions options;
    options.duration = std::chrono::milliseconds(quick ? 250 : 1000);
    if (options_.stress_time.count() > 0) options.duration = options_.stress_time;
    options.min_kills = quick ? 25 : 300;
    // Calls are short: few deaths are in the midst of one, so there must be many.
    options.shortest_interval = std::chrono::microseconds(50);
    options.longest_interval = std::chrono::microseconds(600);
    options.hang_after = options_.hang_after;
    options.verdict_limit = options_.hang_after;
    options.seed = options_.seed;
    return options;
  }

  static constexpr std::size_t kCapacity = 50;
  static constexpr std::size_t kMostWaiting = 10'000;  // where the queue has no bound
  static constexpr std::size_t kProducers = std::min<std::size_t>(2, A::kTraits.producers);
  static constexpr std::size_t kConsumers = std::min<std::size_t>(2, A::kTraits.consumers);

  /// What waits in a queue is no older than so many items, with what was offered again; 0 if that
  /// can't be told.
  static std::uint64_t reach_of(A& queue) {
    const bool known = A::kTraits.bounded && A::kTraits.order == Order::fifo;
    return known ? 4 * std::uint64_t{testkit::capacity_of(queue, kCapacity)} : 0;
  }
  static constexpr bool keeps_order() {
    return A::kTraits.order == Order::fifo || A::kTraits.order == Order::per_producer_fifo;
  }

  void push_for_ever(std::size_t side) {
    sleep_exactly();
    ledger_.settle_producer(side);
    A& queue = queue_.attach();
    auto&& mine = testkit::party_of(queue);
    for (;;) {
      const std::uint64_t number = ledger_.begin_push(side);
      if (number == 0) throw std::runtime_error("more items than there are marks");
      const T item = testkit::make_item<T>(number);
      for (unsigned i = 0; !mine.try_push(item); ++i) rest(i);
      ledger_.end_push(side);
      for (unsigned i = 0; !A::kTraits.bounded && ledger_.waiting() > kMostWaiting; ++i) rest(i);
    }
  }

  void pop_for_ever(std::size_t side) {
    sleep_exactly();
    A& queue = queue_.attach();
    ledger_.settle_consumer(side, reach_of(queue));
    auto&& mine = testkit::party_of(queue);
    for (unsigned in_vain = 0;;) {
      if (pop_one(mine, side)) {
        in_vain = 0;
      } else {
        rest(in_vain++);
      }
    }
  }

  template <class Party>
  bool pop_one(Party& mine, std::size_t side) {
    T item{};
    ledger_.begin_pop(side);
    if (!mine.try_pop(item)) {
      ledger_.end_pop(side);
      return false;
    }
    std::string wrong = testkit::is_whole(item) ? "" : "a torn item comes out";
    if (wrong.empty()) wrong = ledger_.end_pop(side, testkit::number_in(item));
    if (!wrong.empty()) throw std::runtime_error(wrong);
    return true;
  }

  /// Sleeps now and then, as shortly as can be: who sleeps is not killed in the midst of a call,
  /// and who yields may stand still for long on a busy machine.
  static void rest(unsigned in_vain) {
    if (in_vain % 100 == 99) std::this_thread::sleep_for(std::chrono::microseconds(1));
  }
  static void sleep_exactly() { prctl(PR_SET_TIMERSLACK, 1UL); }

  /// In a fresh process, when all are dead.
  std::string verdict() {
    for (std::size_t side = 0; side < kProducers; ++side) ledger_.settle_producer(side);
    A& queue = queue_.attach();
    for (std::size_t side = 0; side < kConsumers; ++side) {
      ledger_.settle_consumer(side, reach_of(queue));
    }
    auto&& mine = testkit::party_of(queue);
    constexpr unsigned kTries = 300;
    const auto end = std::chrono::steady_clock::now() + options_.patience;
    for (unsigned in_vain = 0;
         in_vain < kTries || (ledger_.waiting() > 0 && std::chrono::steady_clock::now() < end &&
                              !ledger_.judge(keeps_order()).empty());) {
      in_vain = pop_one(mine, 0) ? 0 : in_vain + 1;
      rest(in_vain);
    }
    if (!queue_.margin_is_whole()) return "somebody wrote behind the queue's bytes";
    return ledger_.judge(keeps_order());
  }

  const testkit::QueueCrashOptions options_;
  testkit::SharedQueue<A> queue_;
  ItemLedger ledger_;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_QUEUE_KILL_STRESS_H_
