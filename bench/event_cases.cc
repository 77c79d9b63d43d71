// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/event_cases.h"

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/rivals/event.h"
#include "sluice/sync/event.h"
#include "sluice/sync/once.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::bench {
namespace {

/// A line for each direction.
template <class E>
struct Table {
  alignas(kNoSharing) E there;
  alignas(kNoSharing) E back;
  /// Tells the echo, before its last turn, that the slice is over.
  alignas(kNoSharing) std::atomic<std::uint32_t> over = 0;
};

/// A manual event whose one waiter clears it.
class ClearedEvent {
 public:
  void set() { event_.set(); }
  void wait() {
    event_.wait();
    event_.clear();
  }

 private:
  Event event_;
};

template <class E>
Variant pingpong(WaitMode mode, const char* name = "") {
  return {name, [mode] {
            auto shared = std::make_shared<InShared<Table<E>>>();
            const auto lead = [shared, mode](Slice& slice) {
              set_wait_policy({.mode = mode});
              Table<E>& table = **shared;
              const auto trip = [&] {
                table.there.set();
                table.back.wait();
              };
              slice.report(0, 1e9 * slice.seconds_per_call(trip));
              // Relaxed: the event that follows orders it.
              table.over.store(1, std::memory_order_relaxed);
              trip();
              // Relaxed: the barrier before the next slice orders it.
              table.over.store(0, std::memory_order_relaxed);
            };
            const auto echo = [shared, mode](Slice&) {
              set_wait_policy({.mode = mode});
              Table<E>& table = **shared;
              for (bool over = false; !over;) {
                table.there.wait();
                // Relaxed: the event orders it.
                over = table.over.load(std::memory_order_relaxed) != 0;
                table.back.set();
              }
            };
            return Roles{lead, echo};
          }};
}

/// The fast path of whoever comes when it has long been done.
template <class Call>
Variant done(Call call) {
  return {
      "", [call] {
        return Roles{[call](Slice& slice) { slice.report(0, 1e9 * slice.seconds_per_call(call)); }};
      }};
}

Variant sluice_once() {
  auto once = std::make_shared<InShared<Once>>();
  return done([once] {
    (**once).call([] {});
    // The next look is another one, for the compiler.
    asm volatile("" : : : "memory");
  });
}

Variant std_once() {
  auto once = std::make_shared<std::once_flag>();
  return done([once] {
    std::call_once(*once, [] {});
    asm volatile("" : : : "memory");  // as above
  });
}

Variant posix_once() {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  return done([] {
    pthread_once(&once, [] {});
    asm volatile("" : : : "memory");  // as above
  });
}

}  // namespace

void add_event_cases(Suite& suite) {
  suite.add({.group = "event",
             .name = "event/pingpong_asleep",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::futex_pingpong},
            {{"sluice", {pingpong<AutoResetEvent>(WaitMode::block)}},
             {"sluice_event", {pingpong<ClearedEvent>(WaitMode::block)}},
             {"futex", {pingpong<FutexEvent<Wait::block>>(WaitMode::block)}},
             {"pthread_condition", {pingpong<PthreadEvent>(WaitMode::block)}},
             {"eventfd", {pingpong<EventFd>(WaitMode::block)}},
             {"boost_interprocess", {pingpong<BoostEvent>(WaitMode::block)}}});
  suite.add({.group = "event",
             .name = "event/pingpong_awake",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {pingpong<AutoResetEvent>(WaitMode::spin)}},
             {"sluice_event", {pingpong<ClearedEvent>(WaitMode::spin)}},
             {"futex",
              {pingpong<FutexEvent<Wait::spin, Spin::bare>>(WaitMode::spin, "bare"),
               pingpong<FutexEvent<Wait::spin, Spin::pause>>(WaitMode::spin, "pause")}},
             {"pthread_condition", {pingpong<PthreadEvent>(WaitMode::spin)}},
             {"boost_interprocess", {pingpong<BoostEvent>(WaitMode::spin)}}});
  suite.add({.group = "once",
             .name = "once/done",
             .unit = "ns",
             .better = Better::lower,
             .limit = Yardstick::pingpong},
            {{"sluice", {sluice_once()}},
             {"std_call_once", {std_once()}},
             {"pthread_once", {posix_once()}}});
}

}  // namespace sluice::bench
